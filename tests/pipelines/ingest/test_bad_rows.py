"""One bad row is one row: whatever the rows of a table hold, each is accounted for and nothing is raised.

50 examples each; VCLIP_EXAMPLES=2000 for more.
"""

import atexit
import functools
import json
import os
import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.extraction.types import Extraction
from pipelines.files.remote import RemoteConfig
from pipelines.generation.manifest import read_jobs
from pipelines.ingest.commit import commit_results
from pipelines.ingest.embed import SourceResult, failed_result
from pipelines.ingest.importers.feature_clips import Vectors, clips_of_table
from pipelines.ingest.importers.pairs import pair_sources
from pipelines.ingest.sources.listing import list_videos
from pipelines.ingest.sources.manifest import read_labels
from pipelines.ingest.sources.resume import pending
from stores import Store
from tests.support.ingest_world import offline
from vclip.association.trials.features import checked_features
from vclip.errors import InputError

MANY = settings(
    max_examples=int(os.environ.get("VCLIP_EXAMPLES", "50")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
QUICK = RemoteConfig(stall_s=0.2, limit_s=0.5, retries=0, pause_s=0)

# Any code point: NUL, controls and lone surrogates too.
ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=12)
HOSTILE = st.sampled_from(
    [
        *("a\0b.mp4", "a\ud800.mp4", "caf\udce9.mp4", "http://[x/a.mp4", "http://exa\u2100mple.com/x", "ftp://x/y"),
        *("http://127.0.0.1:99999/a", "http://127.0.0.1:9/a b\n.mp4", "https://:0/", "http:///", "s3://", "s3:///a"),
        *("file://%00", "file://[", "://", "//", "/", ".", "..", "~", "-rf", "../" * 3000, "a" * 5000, "a/" * 3000),
        *("\u202e4pm.a", "Jose\u0301.mp4", "Jos\xe9.mp4", "[x]", "*", "gs://\0", "http://a" + "b" * 70 + ".c/"),
        *("http://\ud800/", "http://user:pa@ss@[::1", "1e400", "NaN", "' OR 1=1 --", '"', "\ufeff", "good.mp4 "),
    ]
)
NAME = ANY_TEXT | HOSTILE
NUMBER = st.integers() | st.floats() | st.just(10**400)
VALUE = st.recursive(
    st.none() | st.booleans() | NUMBER | NAME,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=5,
)
COLUMNS = st.sampled_from(["identity", "split", "gender", "age", " Identity", "camera", "", "file", "uri", "labels"])
ROW = st.dictionaries(COLUMNS | ANY_TEXT, VALUE, max_size=4)


@st.composite
def _rows(draw, names, values=VALUE):
    """Rows of a table: objects with odd values, and what is no object."""
    odd = draw(st.lists(st.tuples(st.dictionaries(st.sampled_from(names), values), ROW), max_size=5))
    return [more | own for own, more in odd] + draw(st.lists(VALUE, max_size=1))


@st.composite
def _lines(draw):
    """The lines of a CSV after its header: some of cells, some of anything."""
    cell = st.one_of(ANY_TEXT, HOSTILE, st.sampled_from(["Ann", '"a""b"', '"', '"x']))
    return draw(st.lists(st.lists(cell, max_size=4).map(",".join) | ANY_TEXT, max_size=5))


def _jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _delimited(path, header, lines):
    path.write_bytes("\n".join([header, *lines]).encode("utf-8", "surrogatepass"))
    return path


def _accounted(store, listing):
    """Commits what can be said about each source, as the job does; returns uri -> its row in the store."""
    config = offline().ingest
    done = Extraction("empty", "nobody speaks", 1.0)
    for window in pending(listing, store, "settings", config=QUICK):
        results = [failed_result(source, RUN, failure) for source, failure in window.unreadable]
        results += [SourceResult(source, RUN, done) for source in window.todo]
        committed = list(commit_results(store, iter(results), config))
        assert len(committed) == len(results)
        names = {}
        for source in [*window.renamed, *window.duplicates]:
            names.setdefault(source.video_id, []).append(source.ledger_entry)
        store.add_uris(names)
    rows = store.query("videos").to_pylist()
    return {entry["uri"]: row for row in rows for entry in row["uris"]}


@functools.cache
def _empty_store():
    """Copied for each example, because making one takes longer."""
    folder = Path(tempfile.mkdtemp(prefix="vclip-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    Store.create(str(folder / "store"), {"face": 2}, {"voice": 2})
    return folder / "store"


RUN = "20260101T000000000000-00000000"


def _check(listing, where):
    shutil.rmtree(where / "store", ignore_errors=True)
    store = Store.open(str(shutil.copytree(_empty_store(), where / "store")))
    found = _accounted(store, listing)
    assert {source.uri for source in listing} == found.keys()
    for source in listing:
        row = found[source.uri]
        assert row["state"] in ("empty", "failed")
        assert row["reason"]
        assert "\n" not in row["reason"]
        assert "internal error" not in row["reason"], row["reason"]
    again = list(pending(listing, store, "settings", config=QUICK))
    assert not [source for window in again for source in [*window.todo, *(s for s, _ in window.unreadable)]]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "good.mp4").write_text("film")
    return tmp_path


def _or_one_line(read):
    """What `read` returns; None where the table as a whole is wrong because it gives a video two rows."""
    try:
        return read()
    except InputError as error:
        line = str(error)
    assert "\n" not in line
    assert "different labels" in line or "each id once" in line, line
    return None


@MANY
@given(rows=_rows(["file", "uri", "path"]))
def test_rows_of_a_manifest_of_objects(folder, rows):
    path = _jsonl(folder / "m.jsonl", [{"file": "good.mp4"}, *rows])
    _check_manifest(folder, path, 1 + len(rows))


@MANY
@given(lines=_lines())
def test_rows_of_a_manifest_of_text(folder, lines):
    _check_manifest(folder, _delimited(folder / "m.csv", "file,identity", ["good.mp4,", *lines]), None)


@MANY
@given(cells=st.lists(st.binary(max_size=8), max_size=5))
def test_rows_of_a_manifest_whose_text_is_not_utf8(folder, cells):
    names = pa.array([b"good.mp4", *cells], pa.binary())
    text = pa.StringArray.from_buffers(len(names), names.buffers()[1], names.buffers()[2])
    pq.write_table(pa.table({"file": text, "identity": text}), folder / "m.parquet")
    _check_manifest(folder, folder / "m.parquet", None)


def _check_manifest(folder, path, rows):
    listing = _or_one_line(lambda: list_videos([path], config=QUICK))
    if listing is not None:
        assert rows is None or len(listing) <= rows
        sources = list(listing)
        assert str(folder / "good.mp4") in {source.uri for source in sources}
        _check(sources, folder)


LABELS = st.dictionaries(st.sampled_from(["identity", "gender", "camera"]), NAME, max_size=2)


@MANY
@given(rows=_rows(["file"]), good=LABELS)
def test_rows_of_labels(folder, rows, good):
    path = _jsonl(folder / "labels.jsonl", [{"file": "good.mp4", **good}, {"file": "x"}, *rows])
    (folder / "other.mp4").write_text("other film")
    listing = _or_one_line(lambda: list_videos([folder], read_labels(path), config=QUICK))
    if listing is not None:
        sources = list(listing)
        assert {os.path.basename(source.uri) for source in sources} == {"good.mp4", "other.mp4"}
        _check(sources, folder)


@MANY
@given(rows=_rows(["id", "identity", "face", "voice"]))
def test_rows_of_a_table_of_pairs(folder, rows):
    good = {"id": "good id", "identity": "Ann", "face": "good.mp4", "voice": "good.mp4"}
    path = _jsonl(folder / "pairs.jsonl", [good, *rows])
    sources = _or_one_line(lambda: pair_sources(path))
    if sources is not None:
        assert len(sources) == 1 + len(rows)
        _check(sources, folder)


@functools.cache
def _vectors(name):
    return Vectors(checked_features({name: [1.0, 2.0]}, "vectors")[0], {})


@MANY
@given(rows=_rows(["id", "identity", "face", "voice"]))
def test_rows_of_a_table_of_features(folder, rows):
    good = {"id": "good id", "identity": "Ann", "face": "good.mp4", "voice": "good.mp4"}
    path = _jsonl(folder / "features.jsonl", [good, *rows])
    clips = _or_one_line(lambda: clips_of_table(path, _vectors("good.mp4"), _vectors("good.mp4")))
    if clips is not None:
        assert len(clips) == 1 + len(rows)
        assert (clips[0].faces, clips[0].voices, clips[0].problem) == ([0], [0], "")
        for clip in clips:
            assert clip.problem or (clip.faces and clip.voices)
            json.dumps([clip.name, dict(clip.labels)]).encode()


@MANY
@given(rows=_rows(["face", "face_id", "text", "voices", "seed", "face_index"]))
def test_rows_of_a_manifest_of_speech(folder, rows):
    path = _jsonl(folder / "speech.jsonl", [{"face": "a.jpg", "text": "Hi."}, *rows])
    jobs = read_jobs(str(path), 3, None, 0, QUICK)
    assert [job.row for job in jobs] == list(range(1, len(rows) + 2))
    assert jobs[0].reason == ""
    for job in jobs:
        assert "internal error" not in job.reason
        json.dumps([job.id, job.text, str(job.photo)]).encode()
