"""`vclip ingest` end to end: the sample, broken files among it, through the installed command and Ray."""

import json
import shutil

import numpy as np
import pytest

from stores import Store
from tests.support.vclip_command import OFFLINE

pytestmark = pytest.mark.slow


def _videos(store: str) -> dict[str, dict]:
    """file name -> ledger row; a row stands under each of its names."""
    rows = Store.open(store).query("videos").to_pylist()
    return {uri["uri"].rpartition("/")[2]: row for row in rows for uri in row["uris"]}


def _arguments(ingested, *more):
    labels = ingested.folder / "labels.csv"
    return ("ingest", ingested.folder, "--store", ingested.store, "--labels", labels, "--config", OFFLINE, *more)


def test_every_input_is_a_row_with_a_state_and_a_reason(ingested):
    videos = _videos(ingested.store)
    assert set(videos) == {path.name for path in ingested.folder.rglob("*.mp4")}
    for name, row in videos.items():
        assert row["state"] in ("done", "empty", "failed")
        assert bool(row["reason"]) == (row["state"] != "done"), name
        assert "\n" not in row["reason"]
        assert (row["n_clips"] > 0) == (row["state"] == "done")


def test_speaking_videos_give_clips_and_the_traps_give_none(ingested):
    state = {name: row["state"] for name, row in _videos(ingested.store).items()}
    speaking = [name for name in state if name.endswith("_speaking.mp4")]
    traps = [name for name in state if "_silent" in name or "_voice_over" in name]
    assert (len(speaking), len(traps)) == (6, 4)
    assert {state[name] for name in speaking} == {"done"}
    assert {state[name] for name in traps} == {"empty"}


def test_broken_files_are_failed_rows_that_say_what_was_found(ingested):
    videos = _videos(ingested.store)
    for name in ("text.mp4", "empty.mp4", "truncated.mp4"):
        assert videos[name]["state"] == "failed"
        assert "internal error" not in videos[name]["reason"]


def test_the_summary_adds_up(ingested):
    summary, store = ingested.summary, Store.open(ingested.store)
    assert summary["videos"] == {"done": 6, "empty": 4, "failed": 3}
    assert summary["known"] == 0
    assert summary["rows"] == {table: store.count(table) for table in ("clips", "faces", "voices")}
    assert sum(summary["reasons"].values()) == 7
    funnels = [json.loads(row["funnel"]) for row in store.query("videos").to_pylist()]
    assert summary["funnel"]["clips"] == sum(funnel.get("clips", 0) for funnel in funnels) == store.count("clips")


def test_labels_reach_the_clips(ingested):
    clips = Store.open(ingested.store).query("clips").to_pylist()
    by_file = {clip["video_uri"].rpartition("/")[2]: clip for clip in clips}
    for number in range(6):
        clip = by_file[f"{number:03d}_speaking.mp4"]
        assert clip["identity"] == f"person-{number:03d}"
        assert json.loads(clip["labels"]) == {"kind": "speaking"}


def test_rows_are_whole(ingested):
    """Each clip has faces and voices of its own within its time, with unit vectors in the named spaces."""
    store = Store.open(ingested.store)
    pairs = store.pairs()
    assert len(pairs["clip_id"]) == store.count("clips")
    for vectors in (pairs["faces"], pairs["voices"]):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    clips = {clip["clip_id"]: clip for clip in store.query("clips").to_pylist()}
    for face in store.query("faces").to_pylist():
        clip = clips[face["clip_id"]]
        assert clip["start_s"] <= face["time_s"] <= clip["end_s"]
    for voice in store.query("voices").to_pylist():
        clip = clips[voice["clip_id"]]
        assert clip["start_s"] <= voice["start_s"] < voice["end_s"] <= clip["end_s"] + 1e-6


def test_one_content_under_two_names_is_ingested_once(ingested):
    videos = _videos(ingested.store)
    assert videos["zz_copy_of_000.mp4"] == videos["000_speaking.mp4"]
    assert len(videos["000_speaking.mp4"]["uris"]) == 2


def test_a_second_run_does_no_work_and_says_so(ingested, vclip):
    before = Store.open(ingested.store).version()
    answer = vclip(*_arguments(ingested))
    assert answer.code == 0
    assert answer.out == (f"nothing to do: the store {ingested.store} has all 14 inputs under this configuration\n")
    assert answer.err == ""
    assert Store.open(ingested.store).version() == before
    summary = json.loads(vclip(*_arguments(ingested, "--json")).out)
    assert (summary["known"], summary["videos"], summary["rows"]) == (14, {}, {})


def test_a_known_content_under_a_new_name_only_has_the_name_recorded(ingested, vclip, tmp_path):
    store = shutil.copytree(ingested.store, tmp_path / "store")
    renamed = shutil.copy(ingested.folder / "001_speaking.mp4", tmp_path / "renamed.mp4")
    clips = Store.open(store).query("clips", order="clip_id")
    answer = vclip("ingest", renamed, "--store", store, "--config", OFFLINE)
    assert answer.code == 0
    assert "nothing to do" in answer.out
    videos = _videos(str(store))
    assert videos["renamed.mp4"] == videos["001_speaking.mp4"]
    assert Store.open(store).query("clips", order="clip_id") == clips


def test_another_extraction_configuration_does_the_video_again(ingested, vclip, tmp_path):
    store = shutil.copytree(ingested.store, tmp_path / "store")
    video, text = ingested.folder / "002_speaking.mp4", ingested.folder / "broken" / "text.mp4"
    before = _videos(str(store))
    assert Store.open(store).count("faces", f"video_id = '{before[video.name]['video_id']}'") > 1
    one_crop = ("--set", "extraction.clips.crops=1")
    answer = vclip("ingest", video, text, "--store", store, "--config", OFFLINE, *one_crop, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["videos"] == {"done": 1, "failed": 1}
    after = _videos(str(store))
    again = {"002_speaking.mp4", "text.mp4"}
    assert {name for name in after if after[name]["run_id"] != before[name]["run_id"]} == again
    for name in again:
        assert after[name]["config_hash"] != before[name]["config_hash"]
    clips = after[video.name]["n_clips"]
    assert Store.open(store).count("faces", f"video_id = '{after[video.name]['video_id']}'") == clips
    # How the cluster is used does not decide what a video gives.
    answer = vclip("ingest", video, "--store", store, "--config", OFFLINE, *one_crop, "--set", "ingest.embed_batch=2")
    assert "nothing to do" in answer.out
