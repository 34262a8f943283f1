"""What a node's writer takes, and when it writes it."""

import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from pipelines.extraction.types import Candidate
from pipelines.ingest.embed import Embedder, SourceResult
from pipelines.ingest.writers import THUMBNAILS, Writer, sent
from stores import Store, run_id
from stores.fragments import unite
from tests.support import ROOT
from tests.support.ingest_world import BOX, TINY, contents, extract, offline, sources_in, write_files
from vclip.errors import InputError

SPACES = {"faces": {"tiny-faces": 2}, "voices": {"tiny-voices": 2}}


@pytest.fixture
def store(tmp_path):
    return Store.create(str(tmp_path / "store"), SPACES["faces"], SPACES["voices"])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Embedded videos: two clips each, and one without."""
    folder, run = write_files(tmp_path_factory.mktemp("videos"), 12, clips=2), run_id()
    write_files(folder, 1, first=50, clips=0)
    embedder = Embedder(offline(*TINY).encoders, "cpu")
    sources = [replace(source, video_id=f"v{n}", config_hash="c") for n, source in enumerate(sources_in(folder))]
    return embedder.embed([SourceResult(source, run, extract(source, offline())) for source in sources])


def _give(writer: Writer, result: SourceResult, at_once: int = 1 << 20) -> bool:
    """Hands a video over as a task does."""
    return _give_parts(writer, [result], at_once)


def _give_parts(writer: Writer, parts: Iterable[SourceResult], at_once: int) -> bool:
    whole = False
    for method, *args in sent(parts, SPACES, at_once):
        whole = getattr(writer, method)(*args)
    return whole


def _faces(result: SourceResult):
    return result.rows.faces


def _voices(result: SourceResult):
    return result.rows.voices


def _writer(store: Store, results, most_videos=256, most_mb=512.0) -> Writer:
    return Writer(store.uri, results[0].run_id, most_videos, most_mb)


def test_only_the_actor_of_a_node_may_end_its_process(store, results):
    before = set(threading.enumerate())
    _writer(store, results)
    assert set(threading.enumerate()) == before


def test_rows_that_come_through_a_writer_are_those_of_a_commit(store, results, tmp_path):
    writer = _writer(store, results)
    assert all(_give(writer, result, at_once=2_000) for result in results)
    ((written, done),), _ = writer.collect(0.0)
    assert [one.source for one in map(pickle.loads, done)] == [result.source for result in results]
    assert store.commit_written(written) == {result.source.video_id for result in results}
    other = Store.create(str(tmp_path / "other"), SPACES["faces"], SPACES["voices"])
    other.commit([result.rows for result in results])
    assert contents(store.uri) == contents(other.uri)


def test_no_media_and_no_vector_come_with_what_is_committed(store, results):
    writer = _writer(store, results)
    for result in results:
        _give(writer, result)
    found = pickle.dumps(writer.collect(0.0))
    media = [row["image"] for r in results for row in _faces(r)]
    media += [row["audio"] for r in results for row in _voices(r)]
    assert len(media) == 48
    assert not any(one in found for one in media)
    assert not any(np.asarray(x, np.float32).tobytes() in found for r in results for x in r.faces["tiny-faces"])


def test_a_fragment_is_written_when_it_is_full_or_old(store, results):
    writer = _writer(store, results, most_videos=5)
    for result in results[:12]:
        _give(writer, result)
    found, _ = writer.collect(1000.0)
    assert [len(written.videos) for written, _ in found] == [5, 5]
    assert writer.collect(1000.0) == ([], False)
    time.sleep(0.05)
    ((written, _),), _ = writer.collect(0.01)
    assert len(written.videos) == 2
    faces, voices = ([row for r in results[:3] for row in rows(r)] for rows in (_faces, _voices))
    size = sum(len(row["image"]) for row in faces) + sum(len(row["audio"]) for row in voices)
    writer = _writer(store, results, most_mb=size / 1e6)
    for result in results[:6]:
        _give(writer, result)
    assert len(writer.collect(1000.0)[0]) == 2


def test_a_video_whose_worker_died_while_it_was_sent_is_taken_once_and_whole(store, results):
    writer, result = _writer(store, results), results[0]
    calls = list(sent([result], SPACES, 100))
    assert len(calls) > 3
    for name, *args in calls[:2]:
        getattr(writer, name)(*args)
    assert writer.collect(0.0)[0] == []
    assert _give(writer, result, at_once=100)
    assert _give(writer, result)  # done again, because the worker died just after it
    ((written, done),), _ = writer.collect(0.0)
    assert (len(written.videos), len(done)) == (1, 1)
    store.commit_written(unite([written]))
    assert (store.count("clips"), store.count("faces"), store.count("voices")) == (2, 2, 2)


def test_parts_of_a_video_make_the_fragment_of_the_whole(store, results, tmp_path):
    embedder, whole = Embedder(offline(*TINY).encoders, "cpu", clips_at_once=1), results[0]
    parts, writer = list(embedder.parts(whole)), _writer(store, results)
    assert len(parts) == 2
    assert _give_parts(writer, parts, 100)
    ((written, (done,)),), _ = writer.collect(0.0)
    assert len(pickle.loads(done).rows.faces) == 2
    store.commit_written(written)
    other = Store.create(str(tmp_path / "other"), SPACES["faces"], SPACES["voices"])
    other.commit([whole.rows])
    assert contents(store.uri) == contents(other.uri)


def test_a_writer_forgets_a_video_that_fails_while_it_is_sent(store, results):
    def parts():
        yield results[0]
        raise InputError("its last clip is silent")

    writer = _writer(store, results)
    with pytest.raises(InputError):
        _give_parts(writer, parts(), 100)
    assert writer.collect(0.0)[0] == []
    *_, (_, *args) = sent([results[0]], SPACES, 100)
    assert not writer.add(*args)  # nothing is left of what was sent before


def test_a_writer_that_has_started_anew_takes_no_half_of_a_video(store, results):
    *_, (name, *args) = sent([results[0]], SPACES, 100)
    assert name == "add"
    assert not _writer(store, results).add(*args)


def test_the_report_gets_thumbnails_of_some_videos_of_a_fragment(store, results):
    writer = _writer(store, results)
    candidate = Candidate(0.0, 1.0, BOX, 0, 0.3, "silent", b"JPEG")
    kept = replace(candidate, outcome="kept", thumbnail=b"")
    for n, result in enumerate(results):  # the first dropped nothing, and take no place of those that did
        extraction = replace(result.extraction, candidates=(candidate if n >= 3 else kept,))
        _give(writer, replace(result, extraction=extraction))
    ((_, done),), _ = writer.collect(0.0)
    found = [pickle.loads(one).extraction for one in done]
    shown = [bool(one.candidates[0].thumbnail) for one in found]
    assert shown == [False] * 3 + [True] * THUMBNAILS + [False] * (len(results) - 3 - THUMBNAILS)
    assert {one.clips for one in found} == {()}


def test_an_extraction_without_clips_is_a_row_of_the_ledger_alone(store, results):
    writer = _writer(store, results)
    assert _give(writer, results[-1])
    ((written, _),), _ = writer.collect(0.0)
    assert written.files == {}
    store.commit_written(written)
    assert store.ledger()["v12"]["state"] == "empty"


@pytest.mark.parametrize(
    ("module", "left_out"),
    [("writers", "torch cv2"), ("workers", "lancedb lance pandas librosa numba scipy sklearn matplotlib")],
)
def test_what_runs_on_every_node_loads_only_what_it_needs(module, left_out):
    code = f"import sys, pipelines.ingest.{module}; print(set('{left_out}'.split()) & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout == "set()\n"
