"""The report of an ingest run: the counts, what it is made of, and that it stays small."""

import gc
import html.parser
import json
import re
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.config import Config
from pipelines.extraction.types import KEPT, Candidate, Extraction
from pipelines.ingest.job import Summary
from pipelines.ingest.report import STEPS, RunReport, kind_of, report_folder, reported
from pipelines.ingest.streaming_stats import Examples, Histogram, Kinds, Largest, TimeBins, evenly
from stores import VideoRows
from vclip.errors import InputError

NASTY = '<script>alert("&")</script>'
IMAGE = cv2.imencode(".jpg", np.full((96, 96, 3), 127, np.uint8))[1].tobytes()


class _Page(html.parser.HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.tags, self.links, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.words.append(data)


def _video(
    number: int, state: str, reason: str = "", tracks: int = 1, speech: int = 1, outcomes: tuple[str, ...] = ()
) -> tuple[VideoRows, Extraction]:
    candidates = tuple(
        Candidate(i, i + 2, (0, 0, 1, 1), 0, 0.25, outcome, IMAGE) for i, outcome in enumerate(outcomes)
    )
    kept = outcomes.count(KEPT)
    funnel = {"tracks": tracks, "speech_stretches": speech, "candidates": len(outcomes)} if state != "failed" else {}
    duration_s = 0.0 if state == "failed" else 10.0
    video = {
        "uris": [{"uri": f"/films/{number}.mp4"}], "state": state, "reason": reason, "duration_s": duration_s,
        "funnel": funnel,
    }  # fmt: skip
    clip = {"start_s": 1.0, "end_s": 4.0, "speaking_score": 0.9}
    face = {"size_px": 100.0, "sharpness": 0.6, "frontality": 0.7, "quality": 0.5, "face_id": "face"}
    rows = VideoRows(video, [clip] * kept, [face] * 3 * kept, [{"speech_ratio": 0.8, "snr_db": 12.0}] * kept)
    seconds = {"decode": 1.0 + number % 7, "speech": 0.5}
    return rows, Extraction(state, reason, duration_s, (), funnel, candidates, seconds)


VIDEOS = (
    _video(0, "done", outcomes=(KEPT, KEPT, "not_speaking")),
    _video(1, "done", outcomes=(KEPT, "small_face")),
    _video(2, "empty", "no visible speaker", outcomes=("not_speaking",)),
    _video(3, "empty", "no speech found", speech=0),
    _video(4, "empty", "no face found", tracks=0, speech=0),
    _video(5, "failed", "not a readable video (Invalid data, 17 bytes)"),
    _video(6, "failed", "not a readable video (Invalid data, 4096 bytes)"),
)


def _images(face_ids):
    return dict.fromkeys(face_ids, IMAGE)


@pytest.fixture
def report() -> RunReport:
    report = RunReport(Config(), _images)
    for rows, extraction in VIDEOS:
        report.add(rows, extraction)
    return report


@pytest.fixture
def summary() -> Summary:
    summary = Summary("work/store", "20260101T000000-ab", 3, took_s=20.0, config=Config().model_dump())
    summary.passed_over.update({".txt": 2})
    summary.videos.update(done=2, empty=3, failed=2)
    summary.rows.update(clips=3, faces=9, voices=3)
    return summary


def test_the_funnel_and_the_drops_add_up(report):
    result = report.to_json()
    assert result["videos_through"] == dict(zip(STEPS, (7, 5, 4, 3, 3, 2), strict=True))
    assert result["dropped"] == {"not_speaking": 2, "small_face": 1}
    assert result["candidates"] == 6
    assert result["reasons"]["not a readable video (Invalid data, … bytes)"] == 2
    assert {item["uri"] for item in result["failed_examples"]} == {"/films/5.mp4", "/films/6.mp4"}
    assert result["clips_s"] == 9.0  # sums of whole numbers are exact
    assert result["video_s"] == 50.0
    assert {name: h["count"] for name, h in result["distributions"].items()} == {
        **dict.fromkeys(("face size, px", "face sharpness", "face frontality", "face quality"), 9),
        **dict.fromkeys(
            ("speech ratio", "signal to noise, dB", "clip length, s", "active speaker score of clips"), 3
        ),
        "active speaker score of dropped candidates": 3,
    }
    assert result["stages_s"] == {"decode": 7.0 + sum(range(7)), "speech": 3.5}
    assert [item["uri"] for item in result["slowest"]][:2] == ["/films/6.mp4", "/films/5.mp4"]
    assert sum(result["videos_over_time"]["sums"]) == 7


def test_a_video_that_failed_while_it_was_embedded_counts_as_failed(report):
    rows, _ = _video(7, "failed", "internal error: out of memory")
    report.add(rows, VIDEOS[0][1])
    assert report.funnel["inputs"] == 8
    assert report.funnel["readable"] == 5


def test_the_report_is_two_whole_files(report, summary, tmp_path):
    page = report.write(tmp_path / "runs" / "a", summary)
    assert {path.name for path in page.parent.iterdir()} == {"summary.json", "report.html"}
    result = json.loads((page.parent / "summary.json").read_text())
    assert result["ended"] == "complete"
    assert (result["run_id"], result["store"], result["known"]) == (summary.run_id, "work/store", 3)
    assert result["config"] == json.loads(json.dumps(Config().model_dump()))
    assert result["versions"]["torch"]
    text = page.read_text()
    assert "Not complete" not in text
    seen = _Page(text)
    assert "script" not in seen.tags
    assert seen.links
    assert all(link.startswith("data:") for link in seen.links)
    assert not re.search(r"https?://|url\(", text)
    words = " ".join(seen.words)
    for expected in (
        "the lips do not move with the speech",
        "/films/5.mp4",
        "min_face_px",
        "2 files (.txt)",
        "signal to noise, dB",
        "torch",
    ):
        assert expected in words


def test_a_run_that_did_not_end_says_so(report, summary, tmp_path):
    page = report.write(tmp_path, summary, ended="stopped by Ctrl-C")
    assert "Not complete: stopped by Ctrl-C" in " ".join(_Page(page.read_text()).words)
    assert json.loads((tmp_path / "summary.json").read_text())["ended"] == "stopped by Ctrl-C"


def test_an_empty_run_has_a_report_too(summary, tmp_path):
    assert (
        RunReport(Config(), _images).write(tmp_path, Summary("s", "r", 0)).read_text().startswith("<!doctype html>")
    )


def test_what_files_are_called_cannot_become_markup(summary, tmp_path):
    report = RunReport(Config(), _images)
    rows, extraction = _video(0, "failed", NASTY)
    rows.video["uris"][0]["uri"] = f"/films/{NASTY}.mp4"
    report.add(rows, extraction)
    rows, extraction = _video(1, "done", outcomes=(KEPT, NASTY))
    rows.video["uris"][0]["uri"] = NASTY
    report.add(rows, Extraction("done", "", 1.0, (), {}, extraction.candidates, {NASTY: 3.0}))
    seen = _Page(report.write(tmp_path, summary, ended=NASTY).read_text())
    assert "script" not in seen.tags
    assert NASTY in " ".join(seen.words)


def test_the_report_of_many_videos_is_no_larger(report, summary, tmp_path):
    """Every video brings its own name, reason and images; ten times as many take no more memory."""
    report.write(tmp_path, summary)  # libraries fill their caches when the first chart is drawn
    report, held, sizes = RunReport(Config(), _images), [], []
    tracemalloc.start()
    try:
        for number in range(5_000):
            outcomes = (KEPT, "not_speaking", "low_snr", f"new reason {number}")
            report.add(*_video(number, "done", outcomes=outcomes))
            report.add(*_video(number, "failed", f"ffmpeg said {chr(0x4E00 + number % 9000)} at {number}"))
            if number in (500, 4_999):
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
                sizes.append(report.write(tmp_path, summary).stat().st_size)
    finally:
        tracemalloc.stop()
    assert held[1] < 1.2 * held[0]
    assert sizes[1] < 1.1 * sizes[0] < 2e6


@pytest.mark.parametrize(
    ("error", "expected"),
    [(None, ""), (KeyboardInterrupt(), "stopped by Ctrl-C"), (OSError("disk full"), "disk full")],
)
def test_a_run_leaves_its_report_however_it_ends(summary, tmp_path, capsys, error, expected):
    summary.store = str(tmp_path / "store")

    def run() -> None:
        with reported(summary.store, Config()) as observe:
            for rows, extraction in VIDEOS:
                observe(rows, extraction, summary)
            if error:
                raise error

    if error:
        with pytest.raises(type(error)):
            run()
    else:
        run()
    folder = tmp_path / "store.runs" / summary.run_id
    result = json.loads((folder / "summary.json").read_text())
    assert expected in result["ended"]
    assert (result["ended"] == "complete") == (error is None)
    assert sum(result["videos"].values()) == result["videos_through"]["inputs"] == len(VIDEOS)
    assert f"report: {folder / 'report.html'}" in capsys.readouterr().err


def test_a_run_that_goes_on_leaves_drafts(summary, tmp_path):
    with reported("s3://bucket/store", Config(), tmp_path / "report", draft_every_s=0.0) as observe:
        observe(*VIDEOS[0], summary)
        assert "still running" in (tmp_path / "report" / "report.html").read_text()
    assert "still running" not in (tmp_path / "report" / "report.html").read_text()


def test_a_run_without_work_or_place_leaves_no_report(summary, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with reported("store", Config()):
        pass
    with reported("s3://bucket/store", Config()) as observe:
        observe(*VIDEOS[0], summary)
    assert "no report" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_report_that_cannot_be_written_ends_no_job(summary, tmp_path, capsys):
    (tmp_path / "store.runs").write_text("in the way")
    with reported(str(tmp_path / "store"), Config()) as observe:
        observe(*VIDEOS[0], summary)
    assert "no report" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"store\.runs"), reported("s", Config(), tmp_path / "store.runs" / "x"):
        pass


@pytest.mark.slow
def test_an_ingest_leaves_its_report_beside_the_store(ingested):
    printed = ingested.summary
    folder = Path(f"{ingested.store}.runs") / printed["run_id"]  # other tests search the store, which leaves files
    result = json.loads((folder / "summary.json").read_text())
    assert result["ended"] == "complete"
    assert {name: result[name] for name in ("run_id", "videos", "rows", "funnel")} == {
        name: printed[name] for name in ("run_id", "videos", "rows", "funnel")
    }
    assert list(result["videos_through"].values()) == sorted(result["videos_through"].values(), reverse=True)
    assert result["videos_through"]["with clips"] == printed["videos"]["done"]
    assert result["candidates"] == printed["funnel"]["candidates"]
    drops = {k.removeprefix("drop:"): n for k, n in printed["funnel"].items() if k.startswith("drop:")}
    assert result["dropped"] == drops
    assert {"decode", "speech", "crops"} <= result["stages_s"].keys()
    assert result["distributions"]["clip length, s"]["count"] == printed["rows"]["clips"]
    page = (folder / "report.html").read_text()
    for name in ("text.mp4", "empty.mp4", "truncated.mp4"):
        assert name in page
    assert page.count("data:image/jpeg") >= printed["rows"]["clips"] > 0


def test_a_report_lies_beside_a_local_store():
    assert str(report_folder("work/store", "run")) == "work/store.runs/run"
    assert str(report_folder("work/store/", "run")) == "work/store.runs/run"
    assert report_folder("s3://bucket/store", "run") is None


def test_reasons_that_differ_in_figures_only_are_one_kind():
    assert kind_of("ends early: 1.5 of 20.0 s") == kind_of("ends early: 13 of 2.25 s")
    assert kind_of("no face found") == "no face found"


def test_a_histogram_counts_as_numpy_does_and_loses_nothing():
    values = np.random.default_rng(0).normal(0.5, 0.4, 2000)
    histogram = Histogram(evenly(0, 1, 25))
    for value in values:
        histogram.add(float(value))
    inside = values[(values >= 0) & (values < 1)]
    expected = np.histogram(inside, np.linspace(0, 1, 26))[0]
    expected[0] += (values < 0).sum()
    expected[-1] += (values >= 1).sum()
    assert histogram.counts == expected.tolist()
    assert histogram.mean == pytest.approx(values.mean(), rel=1e-9)  # 2000 sums in float64, in another order
    assert histogram.quantile(0.5) == pytest.approx(np.median(values), abs=0.04)


@pytest.mark.parametrize("in_one_call", [False, True])
@pytest.mark.parametrize("values", [[2.0] * 9, [60.0] * 9, [-3.0] * 9, [0.1] * 5 + [70.0] * 4, [0.3]])
def test_a_quantile_lies_within_the_values_also_of_equal_ones_and_beyond_the_bins(values, in_one_call):
    """All clips of two seconds have a median of two seconds, whatever the bin."""
    histogram = Histogram(evenly(0, 30, 60))
    if in_one_call:
        histogram.add_all(np.array(values))
    else:
        for value in values:
            histogram.add(value)
    found = [histogram.quantile(share) for share in (0, 0.05, 0.5, 0.95, 1)]
    assert (found[0], found[-1]) == (min(values), max(values))
    assert found == sorted(found)
    assert histogram.quantile(0.5) == np.median(values)


def test_the_largest_are_kept_in_order():
    values = np.random.default_rng(0).permutation(500)
    largest = Largest(7)
    for value in values:
        largest.add(float(value), {"value": int(value)})
    assert [item["value"] for item in largest.items()] == list(range(499, 492, -1))


def test_examples_are_drawn_evenly_from_all():
    drawn = np.zeros(100)
    for seed in range(400):
        examples = Examples(5, seed)
        for i in range(100):
            examples.add(i)
        drawn[examples.items] += 1
    assert drawn.sum() == 2000
    assert abs(drawn[:50].sum() - 1000) < 100


def test_beyond_the_limit_all_other_kinds_are_one():
    kinds = Kinds(3, 2)
    for i in range(100):
        kinds.add("often")
        kinds.add(f"once {i}", i)
    counts = kinds.to_json()
    assert len(counts) <= 4
    assert counts["often"] == 100
    assert sum(counts.values()) == 200


def test_time_is_summed_without_loss_however_long_it_gets():
    over, rng = TimeBins(bins=16), np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 5000, 3000))
    for time_s in times:
        over.add(float(time_s), 2.0)
    assert len(over.sums) <= 16
    expected = np.histogram(times, np.arange(len(over.sums) + 1) * over.width_s)[0] * 2.0
    assert over.sums == expected.tolist()
