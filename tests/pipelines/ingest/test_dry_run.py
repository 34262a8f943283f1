"""`vclip ingest --dry-run`: one sentence, words in its table, and a cost that follows what was probed."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from pipelines.extraction.video.probe import probe_media
from pipelines.ingest.cost import (
    PER_FILE_S,
    PROBED,
    START_S,
    Probed,
    cost_of,
    earlier_runs,
    seconds_of,
    seconds_on,
    workers_for,
)
from pipelines.ingest.dry_run import READ_BYTES, Plan, plan
from pipelines.ingest.sources.listing import list_videos
from pipelines.ingest.sources.source import Source, source_of
from pipelines.wording import HOUR_S
from stores import Store
from tests.support.ingest_world import TINY, offline

FILES, LENGTH_S = PROBED + 40, 2.0


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("video") / "one.mp4"
    drawn = ["-f", "lavfi", "-i", "testsrc=size=128x96:rate=10", "-f", "lavfi", "-i", "sine"]
    subprocess.run([get_ffmpeg_exe(), "-v", "error", *drawn, "-t", str(LENGTH_S), path], check=True)
    return path


@pytest.fixture(scope="module")
def folder(video, tmp_path_factory) -> Path:
    """So many files that only a part is probed, every twelfth of them broken."""
    folder = tmp_path_factory.mktemp("videos")
    whole = video.read_bytes()
    for number in range(FILES):
        content = bytes(len(whole)) if number % 12 == 0 else whole
        (folder / f"{number:04d}.mp4").write_bytes(content + number.to_bytes(8, "big"))
    (folder / "notes.txt").write_text("")
    return folder


def test_it_opens_with_a_sentence_and_its_table_has_words(folder, tmp_path, vclip, monkeypatch):
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))
    options = ("ingest", str(folder), "--store", str(tmp_path / "store"), "--config", "offline", "--dry-run")
    said = vclip(*options)
    assert said.code == 0, said.err
    first, *table = said.out.splitlines()
    assert first.startswith(f"{FILES:,} videos to do, ")
    assert first.endswith(".")
    for word in ("if they do nothing else", "of one core", "a store of"):
        assert word in first
    assert f"{PROBED:,} of {FILES:,}" in said.out  # a sample, and it says so
    assert "1 .txt" in said.out
    assert not [line for line in table if "_" in line]
    assert not (tmp_path / "store").exists()

    found = json.loads(vclip(*options, "--json").out)
    whole_s = LENGTH_S * FILES * 11 / 12
    assert found["video_s"] == pytest.approx(whole_s, rel=0.1)
    assert found["probed_unreadable"] == pytest.approx(PROBED / 12, abs=12)
    assert found["core_s"] > 0
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 3.0 * found["cores"], 0.0))
    busy = json.loads(vclip(*options, "--json").out)
    assert busy["estimate_s"] == pytest.approx(4 * found["estimate_s"])
    assert f"shared with {round(busy['load'])} other processes " in vclip(*options).out.splitlines()[0]
    assert (found["workers_hour"], found["estimated_from"]) == (1, "the rates in docs/sizing.md")


def test_the_work_follows_length_size_rate_and_models(video):
    config = offline()
    small = replace(probe_media(video, config.extraction.media), width_px=640, height_px=360, side_px=640.0)
    talk = replace(small, rate_hz=25.0, duration_s=HOUR_S)
    core_h = seconds_of(talk, config) / HOUR_S
    assert core_h == pytest.approx(0.101, rel=0.15)  # docs/sizing.md; `offline` embeds each crop twice, mirrored
    assert seconds_of(replace(talk, duration_s=2 * HOUR_S), config) == pytest.approx(2 * core_h * HOUR_S)
    large = replace(talk, width_px=1920, height_px=1080, side_px=1920.0)
    dearer = (large, replace(talk, rate_hz=60.0))
    assert all(seconds_of(one, config) > 1.1 * core_h * HOUR_S for one in dearer)
    assert seconds_of(replace(talk, width_px=320, height_px=180, side_px=320.0), config) < 0.7 * core_h * HOUR_S
    assert seconds_of(talk, offline("extraction.tracks.detector=yunet:x.onnx")) < 0.9 * core_h * HOUR_S
    assert seconds_of(talk, offline("encoders.face=open_clip:a/b")) > 1.3 * core_h * HOUR_S
    assert seconds_of(replace(talk, audio_streams=()), config) == 0


def test_hours_cores_and_workers_agree(video):
    config = offline()
    probe = replace(probe_media(video, config.extraction.media), duration_s=HOUR_S)
    cost = cost_of([Probed(10**6, probe)] * 5, config, files=1000, size_bytes=10**9)
    assert cost.video_s == pytest.approx(1000 * HOUR_S)
    assert cost.core_s == pytest.approx(1000 * (seconds_of(probe, config) + PER_FILE_S))
    workers = workers_for(cost.core_s, HOUR_S, 1000)
    assert seconds_on(cost.core_s, 0, workers, config) <= HOUR_S < seconds_on(cost.core_s, 0, workers - 1, config)
    assert seconds_on(cost.core_s, cost.longest_s, 10**6, config) == START_S + cost.longest_s  # one worker's video
    assert workers_for(1e9, HOUR_S, 7) == 7
    assert cost_of([Probed(10**6, replace(probe, duration_s=0.0))], config, 10, 10**7) is None


def test_earlier_runs_decide_where_there_are_some(video):
    config = offline()
    probe = replace(probe_media(video, config.extraction.media), duration_s=HOUR_S)
    cost = cost_of([Probed(10**6, probe)], config, files=100, size_bytes=10**8)
    run = {"size_bytes": 10**8, "video_s": cost.video_s, "videos": {"done": 100}, "cores": 4.0}
    run["took_s"] = 3 * seconds_on(cost.core_s, 0, 4, config)  # three times as long as docs/sizing.md says
    store = Store.create("memory://", {"face": 2}, {"voice": 2})
    for cores in (4.0, 16.0):
        earlier = earlier_runs(store, cores, [run, {"speakers": 3}])
        assert earlier.runs == 1
        assert earlier.ratio(cost, 100, cores, config) == pytest.approx(3, rel=0.1)
    assert earlier_runs(store, 4.0, [{"speakers": 3}]) is None


def test_more_bytes_than_can_be_read_are_known_by_their_names(video, tmp_path):
    config = offline(*TINY)
    real = source_of([video], {})
    huge = [replace(real, uri=f"/a/{n}.mp4", size_bytes=int(READ_BYTES)) for n in range(2)]
    found = plan([*huge, Source((str(tmp_path / "x"),), "x", None, None)], str(tmp_path / "store"), config)
    assert (found.new, found.doubles, found.unreadable) == (3, None, 0)
    assert "not looked for" in dict(found.rows())["copies of other inputs"]
    both = plan([replace(real, uri=f"/a/{n}.mp4") for n in range(2)], str(tmp_path / "store"), config)
    assert (both.new, both.doubles) == (1, 1)


def test_nothing_to_do_says_so():
    done = Plan("work/store", known=3)
    assert done.sentence() == "Nothing to do: of 3 inputs the store work/store has all."
    assert list(done.rows()) == [("in the store already", "3")]
    torn = Plan("work/store", unreadable=2)
    assert torn.sentence() == "Nothing to do: no input can be ingested."
    assert list(torn.rows()) == [("cannot be read", "2")]


def test_a_link_to_nothing_or_in_a_circle_is_one_video_more_and_hides_no_copies(tmp_path, video):
    """Its size is unknown, as that of a file on a web server, which may be large."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (folder / name).write_bytes(video.read_bytes())
    (folder / "dangling.mp4").symlink_to("nowhere.mp4")
    (folder / "circle.mp4").symlink_to("circle.mp4")
    found = plan(list_videos([folder]), str(tmp_path / "store"), offline())
    assert (found.new, found.doubles, found.unreadable) == (1, 1, 2)
