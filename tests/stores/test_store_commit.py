"""What was committed is read back once and whole, whatever happened in between."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

import stores
from stores import Store, StoreError
from stores.maintenance.compact import sweep
from tests.support import ROOT
from tests.support.interposed import Interposed, killed
from tests.support.store_world import FACE_COLUMN, FACES, LATER, RUN, VOICES, contents, video

FACE_SPACE = "dlib/resnet-v1-128/crop1"
WITHOUT = ("created_at", "run_id", "revision")


def test_what_is_committed_is_read_back(store):
    given = video(4)
    assert store.commit([given]) == {"video0004"}
    names = {table: store.snapshot().schema(table).names for table in ("clips", "faces", "voices")}
    for table, rows in (("clips", given.clips), ("faces", given.faces), ("voices", given.voices)):
        found = {row[names[table][0]]: row for row in store.query(table, names[table]).to_pylist()}
        assert len(found) == len(rows)
        for row in rows:
            read = found[row[names[table][0]]]
            for name in ("image", "audio", "start_s", "end_s", "time_s", "clip_id", "identity", "split"):
                assert read.get(name) == row.get(name)
            assert read["video_id"] == "video0004"
    face = given.faces[0]
    (read,) = store.query("faces", [FACE_COLUMN], f"face_id = '{face['face_id']}'").to_pylist()
    assert np.array_equal(np.float32(read[FACE_COLUMN]), face["vectors"][FACE_SPACE])


def test_labels_have_columns_and_the_rest_is_json(store):
    store.commit([video(1)])
    row = store.query("clips", ["gender", "consent", "labels"], limit=1).to_pylist()[0]
    assert row == {"gender": "f", "consent": None, "labels": '{"camera": "left"}'}


def test_what_could_not_be_measured_passes_no_filter(store):
    store.commit([video(5)])  # its snr_db is NaN, which SQL takes for larger than any number
    assert store.count("voices") == 2
    assert store.count("voices", "snr_db > 10") == 0


def test_a_repeated_commit_changes_nothing(store):
    batch = [video(number) for number in range(5)]
    held = store.commit(batch)
    assert len(held) == 5
    before, version = contents(store, without=()), store.version()
    assert store.commit(batch) == held
    assert contents(store, without=()) == before
    assert store.version() == version


def test_another_configuration_replaces_a_videos_rows(store):
    store.commit([video(0), video(1)])
    assert store.commit([video(1, LATER, "b", clips=1)]) == {"video0001"}
    assert store.count("clips", "video_id = 'video0001'") == 1
    assert store.count("clips", "video_id = 'video0000'") == 2
    assert store.ledger()["video0001"]["config_hash"] == "b"
    assert sweep(store, older_than_s=0) == 0  # the old rows are gone already


def test_names_are_united(store):
    store.commit([video(1)])
    store.add_uris({"video0001": [{"uri": "/copy.mp4", "size_bytes": 1, "etag": "x"}]})
    store.commit([video(1, LATER, "b")])
    uris = {entry["uri"]: entry for entry in store.ledger()["video0001"]["uris"]}
    assert set(uris) == {"/data/video0001.mp4", "/copy.mp4"}
    assert uris["/copy.mp4"] == {"uri": "/copy.mp4", "size_bytes": 1, "mtime_s": None, "etag": "x"}
    with pytest.raises(StoreError, match="no video 'other'"):
        store.add_uris({"other": ["/x.mp4"]})


def test_empty_and_failed_videos_are_in_the_ledger(store):
    failed = replace(video(8, clips=0), video=video(8).video | {"state": "failed", "reason": "not a video"})
    store.commit([video(7, clips=0), failed])
    assert {key: row["state"] for key, row in store.ledger().items()} == {"video0007": "empty", "video0008": "failed"}


# The ledger rows are merged when the data are written; the superseded clips are deleted at last.
@pytest.mark.parametrize("broken", [("videos", "merge_insert"), ("clips", "delete")], ids=["ledger", "remove"])
@pytest.mark.parametrize("again", [RUN, LATER])
def test_a_crash_in_a_commit_leaves_readers_with_the_old_state_or_the_new(store, broken, again):
    old_run = "20250101T000000000000-0000000a"
    store.commit([video(0, old_run), video(1, old_run)])
    old = contents(store)
    batch = [video(1, RUN, "b"), video(2, RUN, "b")]
    with pytest.raises(KeyboardInterrupt):
        Store(store.uri, Interposed(store.db).before(*broken, killed)).commit(batch)
    assert store.db.open_table("clips").count_rows("video_id = 'video0001'") == 4  # both are on disk
    undisturbed = Store.create(store.uri + "2", FACES, VOICES)
    undisturbed.commit([video(0, old_run), *batch])
    assert contents(store) == (old if broken[0] == "videos" else contents(undisturbed))

    store.commit([replace(rows, video=rows.video | {"run_id": again}) for rows in batch])
    assert contents(store, WITHOUT) == contents(undisturbed, WITHOUT)
    sweep(store, older_than_s=0)
    assert contents(store, WITHOUT) == contents(undisturbed, WITHOUT)
    for table in ("clips", "faces", "voices"):
        assert store.db.open_table(table).count_rows() == undisturbed.count(table)


def test_killing_commits_changes_nothing(tmp_path):
    store = Store.create(str(tmp_path / "killed"), FACES, VOICES)
    moments = random.Random(0)
    for _ in range(4):
        process = _writer(store, stores.run_id(), "a", 0, 400)
        time.sleep(moments.uniform(0.02, 0.5))
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        ledger = store.ledger()
        assert store.count("clips") == 2 * len(ledger)
        assert store.count("faces") == 4 * len(ledger)
    numbers = range(len(store.ledger()) + 8)
    batch = [video(number, stores.run_id()) for number in numbers]
    store.commit([rows for rows in batch if rows.video["video_id"] not in store.ledger()])
    undisturbed = Store.create(str(tmp_path / "undisturbed"), FACES, VOICES)
    undisturbed.commit(batch)
    assert contents(store, WITHOUT) == contents(undisturbed, WITHOUT)


@pytest.mark.parametrize("second", [(24, 48), (0, 24)], ids=["different videos", "the same videos"])
def test_two_processes_lose_and_double_nothing(tmp_path, second):
    store = Store.create(str(tmp_path / "store"), FACES, VOICES)
    writers = [_writer(store, RUN, "a", 0, 24), _writer(store, LATER, "b", *second)]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert len(store.ledger()) == second[1]
    for table, each in (("videos", 1), ("clips", 2), ("faces", 4), ("voices", 2)):
        assert store.count(table) == each * second[1]
    sweep(store, older_than_s=0)
    assert store.count("clips") == store.db.open_table("clips").count_rows() == 2 * second[1]


def test_deleting_a_video_removes_its_rows(store):
    store.commit([video(0), video(1)])
    assert store.delete_video("video0001")
    assert not store.delete_video("video0001")
    assert store.count("clips", "video_id = 'video0001'") == 0
    assert store.count("faces") == 4
    assert "video0001" not in store.ledger()


def _changed(table: str, **values) -> stores.VideoRows:
    rows = video(1)
    first, *rest = getattr(rows, table)
    return replace(rows, **{table: [first | values, *rest]})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            _changed("faces", vectors={FACE_SPACE: np.zeros(7)}),
            r"faces \w+: a vector of shape \(7,\).*expected \(8,\)",
        ),
        (_changed("faces", vectors={FACE_SPACE: np.full(8, np.nan)}), "not finite"),
        (_changed("faces", vectors={"clip/other": np.zeros(8)}), "'clip/other'.*'dlib/resnet-v1-128/crop1'"),
        (_changed("faces", vectors={}), "vectors of no space.*'dlib/resnet-v1-128/crop1'"),
        (_changed("faces", clip_id="other"), "video video0001 has no clip 'other'"),
        (_changed("faces", quallity=1.0), "unknown column 'quallity'; did you mean 'quality'"),
        (_changed("faces", box=(0, 0, 1)), "faces.box: expected fixed_size_list"),
        (_changed("clips", start_s=None), "clips .*: no start_s"),
        (_changed("clips", start_s="soon"), "clips.start_s: expected double"),
        (_changed("voices", voice_id=video(1).voices[1]["voice_id"]), "voice_id '.*' twice"),
        (replace(video(1), clips=[]), "has no clip|state 'done' with 0 clips"),
        (replace(video(1), video=video(1).video | {"state": "finished"}), "state 'finished', expected one of"),
        (replace(video(1), video=video(1).video | {"run_id": "today"}), "run_id 'today': expected"),
        (replace(video(1), video=video(1).video | {"config_hash": ""}), "no config_hash"),
    ],
)
def test_a_row_that_does_not_fit_is_named_and_nothing_is_written(store, rows, message):
    before = store.version()
    with pytest.raises(StoreError, match=message) as caught:
        store.commit([video(0), rows])
    assert "\n" not in str(caught.value)
    assert store.version() == before


def _writer(store: Store, run: str, config: str, first: int, last: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.support.store_writer", store.uri, run, config, str(first), str(last)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    return process
