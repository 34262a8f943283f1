"""How results become commits, how they are counted, and what decides that a video is done."""

import io
import json
import re
import sys
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from pipelines.cluster.failures import Failure
from pipelines.config import EXECUTION, Config, IngestConfig
from pipelines.extraction.faces.detectors import open_detector
from pipelines.extraction.types import Clip, Extraction, FaceCrop
from pipelines.ingest.commit import QUEUED, commit_results, open_store
from pipelines.ingest.dry_run import plan
from pipelines.ingest.embed import Embedder, SourceResult, failed_result
from pipelines.ingest.job import ingest
from pipelines.ingest.sources.resume import Window, limit_windows
from pipelines.ingest.sources.source import Source
from pipelines.ingest.telemetry import IngestMetrics, Rate
from stores import Store, StoreUnavailable, VideoRows, config_hash, run_id
from tests.support.ingest_world import BOX, TINY, extract, offline, sources_in, write_files
from vclip.errors import InputError

RUN = run_id()


def _done(number: int, size: int = 0) -> SourceResult:
    source = Source((f"{number}.mp4",), f"{number}.mp4", 10, 1.0, video_id=f"v{number}", config_hash="c")
    failed = failed_result(source, RUN, Failure("no video"))
    crop = FaceCrop(0.0, BOX, 75.0, 0.5, 0.5, 0.5, 0.5, bytes(size))
    clip = Clip(0.0, 1.0, BOX, 0.9, (crop,), ())
    vectors = {"face": np.zeros((1, 2), np.float32)}
    return replace(failed, extraction=replace(failed.extraction, clips=(clip,)), faces=vectors) if size else failed


class Recorder:
    """A store that notes what is committed, and holds it unless told otherwise."""

    def __init__(self, foreign: str = ""):
        self.batches: list[list[str]] = []
        self.foreign = foreign

    def commit(self, batch):
        self.batches.append([rows.video["video_id"] for rows in batch])
        return frozenset(self.batches[-1]) - {self.foreign}


def test_a_batch_is_full_by_number_or_by_size():
    store = Recorder()
    stream = iter([_done(0), _done(1), _done(2), _done(3, 700_000), _done(4, 400_000), _done(5)])
    passed = list(commit_results(store, stream, IngestConfig(commit_every=3, commit_mb=1, commit_every_s=1000)))
    assert store.batches == [["v0", "v1", "v2"], ["v3", "v4"], ["v5"]]
    assert [result.source.video_id for result, _ in passed] == [f"v{number}" for number in range(6)]


def test_what_is_done_does_not_wait_for_what_hangs():
    store = Recorder()

    def stream():
        yield _done(0)
        deadline = time.monotonic() + 30
        while not store.batches and time.monotonic() < deadline:
            time.sleep(0.02)
        yield _done(1)

    list(commit_results(store, stream(), IngestConfig(commit_every_s=0.2)))
    assert store.batches == [["v0"], ["v1"]]


def test_what_another_run_has_done_is_passed_on_as_not_held():
    passed = list(commit_results(Recorder("v1"), iter([_done(0), _done(1)]), IngestConfig()))
    assert [held for _, held in passed] == [True, False]


def test_an_error_of_the_stream_ends_the_job_and_one_of_the_store_ends_the_stream():
    def stream():
        yield _done(0)
        raise KeyError("the cluster is gone")

    with pytest.raises(KeyError):
        list(commit_results(Recorder(), stream(), IngestConfig()))

    class Full(Recorder):
        def commit(self, batch):
            raise StoreUnavailable("no space")

    asked = []

    def endless():
        while True:
            asked.append(time.monotonic())
            yield _done(len(asked))

    with pytest.raises(StoreUnavailable):
        list(commit_results(Full(), endless(), IngestConfig(commit_every=1)))
    assert len(asked) <= 2 * QUEUED  # nobody goes on reading for a store that is full


def test_rows_that_the_store_refuses_become_a_failed_row(tmp_path):
    store = Store.create(str(tmp_path / "store"), {"face": 2}, {"voice": 2})
    good, bad = _done(0), _done(1)
    bad = replace(bad, extraction=Extraction("done", "", 4.0))  # done, and no clips
    list(commit_results(store, iter([good, bad]), IngestConfig()))
    reasons = {key: row["reason"] for key, row in store.ledger().items()}
    assert reasons["v0"] == "no video"
    assert reasons["v1"].startswith("internal error: StoreError")
    assert {row["video_id"]: row["duration_s"] for row in store.query("videos").to_pylist()} == {"v0": 0.0, "v1": 4.0}


def test_how_a_job_runs_does_not_decide_what_is_done():
    base = Config()
    names = {"threads": 7, "open_limit_s": 1.0, "stall_limit_s": 1.0, "slow_limit_s": 1.0, "slow_limit_ratio": 2.0}
    names |= {"memory_limit_mb": 2048, "ffmpeg": "/opt/ffmpeg"}
    assert set(names) == EXECUTION["extraction"]["media"]  # every one is a field: `Config` knows no others
    media = {"extraction": {"media": names}}
    other = Config.model_validate(media | {"ingest": {"extract_cpus": 2, "embed_batch": 1, "commit_mb": 1}})
    assert config_hash(other.clip_settings()) == config_hash(base.clip_settings())
    for deciding in ({"extraction": {"media": {"rate_hz": 10}}}, {"encoders": {"face": "dlib"}}):
        assert config_hash(Config.model_validate(deciding).clip_settings()) != config_hash(base.clip_settings())


def test_new_keys_and_new_defaults_leave_older_stores_as_they_are():
    """A store of version 0.1 holds this hash for its defaults; another would have all its videos processed again.

    Its faces are without their mirror image, which the defaults have since added.
    """

    def config_of(**extraction):
        encoders = {"face": "open_clip:ViT-B-32-quickgelu/openai"}
        return Config.model_validate({"encoders": encoders, "extraction": extraction})

    def hash_of(**extraction):
        return config_hash(config_of(**extraction).clip_settings())

    def former_of(**extraction):
        return config_hash(config_of(**extraction).former_clip_settings())

    then = "dfc02a387641eca2"
    assert former_of() == then
    assert hash_of(speaking={"threshold": 0.5}) == then  # the default of that version
    others = [
        {},
        {"tracks": {"whole_s": 0.4}},
        {"speaking": {"backend": "lr_asd"}},
        {"speaking": {"threshold": 0.45}},
    ]
    assert len({then, *(hash_of(**other) for other in others)}) == 5
    for other in others[1:3]:
        with_then = other | {"speaking": {**other.get("speaking", {}), "threshold": 0.5}}
        assert former_of(**other) == hash_of(**with_then) != then
    for threshold in (0.45, 0.5):  # chosen, so it is no default
        assert former_of(speaking={"threshold": threshold}) == hash_of(speaking={"threshold": threshold})


def test_a_store_of_the_former_preset_says_how_to_continue(tmp_path):
    """The preset `offline` embedded faces without their mirror image before."""
    uri = str(tmp_path / "store")
    open_store(uri, offline("encoders.face=dlib"))
    with pytest.raises(InputError, match=r"continue with --set encoders\.face=dlib, or bring the store to the other"):
        open_store(uri, offline())
    assert Store.open(uri).spaces("faces") == {"dlib/resnet-v1-128/crop1": 128}
    open_store(uri, offline("encoders.face=dlib"))


def test_a_limit_leaves_out_the_rest_and_their_other_names():
    sources = [Source((), str(number), 1, 1.0, video_id=f"v{number}") for number in range(9)]
    windows = [
        Window(todo=sources[:3], duplicates=[replace(sources[1], uri="again")]),
        Window(todo=sources[3:6], duplicates=[replace(sources[3], uri="a"), replace(sources[5], uri="b")]),
        Window(todo=sources[6:]),
    ]
    limited = list(limit_windows(iter(windows), 4))
    assert [source.uri for window in limited for source in window.todo] == ["0", "1", "2", "3"]
    assert [source.uri for window in limited for source in window.duplicates] == ["again", "a"]


class Registry:
    """Stands for ray.util.metrics."""

    def __init__(self):
        registry = self
        self.values = Counter()

        class Metric:
            def __init__(self, name, description="", *more):
                self.name, self.keys = name, set(more[-1] if more else ())

            def inc(self, value=1.0, tags=None):
                assert set(tags or {}) == self.keys
                registry.values[(self.name, *(tags or {}).values())] += value

            observe = inc

        self.Counter = self.Histogram = Metric


def test_metrics_count_videos_clips_drops_and_seconds():
    registry = Registry()
    metrics = IngestMetrics(registry)
    extraction = Extraction("done", "", 4.0, seconds={"decode": 1.5, "faces": 0.5})
    for state, clips in (("done", [{}, {}]), ("empty", [])):
        metrics.add(VideoRows({"state": state, "funnel": {"shots": 3, "drop:silent": 2}}, clips), extraction)
    assert registry.values == {
        ("vclip_videos_total", "done"): 1, ("vclip_videos_total", "empty"): 1, ("vclip_clips_total",): 2,
        ("vclip_drops_total", "silent"): 4, ("vclip_stage_seconds", "decode"): 3.0,
        ("vclip_stage_seconds", "faces"): 1.0,
    }  # fmt: skip


def test_the_rate_is_that_of_the_last_minutes():
    now = [0.0]
    rate = Rate(clock=lambda: now[0])
    assert str(rate) == ""
    now[0] = 1000.0  # starting up
    rate.add(60)
    for _ in range(100):
        now[0] += 4.0
        rate.add(36.0)
    assert str(rate) == "9 h of video per hour"


def in_this_process(store, sources, config, run_id, extract):
    """Stands in for the cluster."""
    embedder = Embedder(config.encoders, "cpu")
    detector = open_detector(config.extraction.tracks.detector)

    def results():
        for source in sources:
            try:
                yield from embedder.embed([SourceResult(source, run_id, extract(source, config, detector))])
            except IndexError as error:
                yield failed_result(source, run_id, Failure.of_defect(error))

    yield from commit_results(store, results(), config.ingest)


def test_a_dry_run_says_what_the_run_then_does_and_writes_nothing(tmp_path):
    folder, store = write_files(tmp_path / "videos", 8), str(tmp_path / "store")
    write_files(folder, 1, first=50, does="raises")
    (folder / "zz_copy.mp4").write_bytes((folder / "0001.mp4").read_bytes())
    sources, config = sources_in(folder), offline(*TINY)
    first = plan(sources, store, config)
    assert (first.new, first.known, first.doubles, first.estimate_s) == (9, 0, 1, None)
    assert not (tmp_path / "store").exists()

    done = ingest(sources, store, config, extract, limit=5, process=in_this_process)
    assert done.videos.total() == 5
    then = plan(sources, store, config)
    assert (then.new, then.known, then.doubles) == (4, 5 + 1, 0)
    assert then.estimate_s > 0
    assert then.estimated_from == "1 earlier run into this store"

    ingest(sources, store, config, extract, process=in_this_process)
    last = plan(sources, store, config)
    assert (last.new, last.again, last.known, last.failed) == (0, 0, 10, 1)
    assert plan(sources, store, config, retry_failed=True).again == 1
    cured = Extraction("empty", "nobody speaks", 4.0)
    again = ingest(sources, store, config, lambda *given: cured, retry_failed=True, process=in_this_process)
    assert again.videos == {"empty": 1}
    assert plan(sources, store, config).failed == 0


def test_progress_shows_what_waits_for_the_next_commit(tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def late(*given):
        yield from [None, None]
        time.sleep(0.3)  # bars are drawn ten times a second
        yield from in_this_process(*given)

    sources = sources_in(write_files(tmp_path / "videos", 3))
    monkeypatch.setattr(sys, "stderr", Terminal())
    for name, value in (("TERM", "xterm"), ("COLUMNS", "200")):
        monkeypatch.setenv(name, value)
    ingest(sources, str(tmp_path / "store"), offline(*TINY), extract, process=late)
    shown = sys.stderr.getvalue()
    assert re.search("0/3 videos *2 wait to be stored", shown)
    assert "wait" not in shown.rpartition("3/3 videos")[2]


def test_a_run_is_recorded_with_what_was_asked_and_what_it_did(tmp_path):
    folder, store = write_files(tmp_path / "videos", 3), str(tmp_path / "store")
    sources, config = sources_in(folder), offline(*TINY)
    summary = ingest(sources, store, config, extract, inputs=["videos/"], process=in_this_process)
    (row,) = Store.open(store).query("runs").to_pylist()
    assert row["run_id"] == summary.run_id
    assert json.loads(row["command"])["inputs"] == ["videos/"]
    assert json.loads(row["config"])["encoders"]["face"] == config.encoders.face
    assert json.loads(row["summary"])["videos"] == {"done": 2, "empty": 1}
    assert json.loads(row["summary"])["video_s"] == 12.0
    ingest(sources, store, config, extract, process=in_this_process)
    assert Store.open(store).count("runs") == 1  # who did nothing writes nothing
