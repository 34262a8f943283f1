"""Queries, searches and pairs equal what numpy and plain Python find in the same rows."""

import numpy as np
import pytest

from stores import Store, StoreError
from stores.maintenance.compact import compact
from tests.support.store_world import FACE_COLUMN, FACES, LATER, RUN, VOICES, contents, crashed_commit, video


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Store:
    """40 videos: some replaced, one empty, one whose commit crashed."""
    store = Store.create(str(tmp_path_factory.mktemp("world") / "store"), FACES, VOICES)
    store.commit([video(number) for number in range(30)])
    store.commit([video(number, LATER, "b", clips=number % 4) for number in range(20, 40)])
    crashed_commit(store, [video(50), video(3, LATER, "b")])
    return store


def test_readers_see_the_newest_rows_of_committed_videos_and_no_others(world):
    kept = [video(number) for number in range(20)]
    kept += [video(number, LATER, "b", clips=number % 4) for number in range(20, 40)]
    for table in ("clips", "faces", "voices"):
        key = world.snapshot().schema(table).names[0]
        expected = [row[key] for rows in kept for row in getattr(rows, table)]
        assert sorted(world.query(table, [key])[key].to_pylist()) == sorted(expected)
        assert world.count(table) == len(expected)
    seen = world.nearest("faces", np.ones(8), k=1000).rows["video_id"].to_pylist()
    assert sorted(seen) == sorted(rows.video["video_id"] for rows in kept for _ in rows.faces)
    assert set(world.pairs()["video_id"]) == set(seen)


@pytest.mark.parametrize(
    ("where", "keep"),
    [
        ("end_s - start_s > 2", lambda row: row["end_s"] - row["start_s"] > 2),
        ("gender = 'f' AND start_s < 9", lambda row: row["gender"] == "f" and row["start_s"] < 9),
        ("identity IS NULL OR identity IN ('person1')", lambda row: row["identity"] in (None, "person1")),
        ("video_id LIKE '%7' AND NOT (start_s > 5)", lambda row: row["video_id"][-1] == "7" and row["start_s"] <= 5),
        ("true -- all", lambda row: True),
        ("false", lambda row: False),
    ],
)
def test_filters_equal_plain_python(world, where, keep):
    expected = {row["clip_id"] for row in contents(world)["clips"] if keep(row)}
    found = world.query("clips", ["clip_id"], where)["clip_id"].to_pylist()
    assert len(found) == len(expected) == world.count("clips", where)
    assert set(found) == expected


def test_order_and_limit_act_on_visible_rows(world):
    starts = sorted((row["start_s"] for row in contents(world)["clips"]), reverse=True)
    assert world.query("clips", ["start_s"], limit=7, order="-start_s")["start_s"].to_pylist() == starts[:7]
    durations = world.query("clips", {"duration_s": "end_s - start_s"}, limit=3)
    assert durations.column_names == ["duration_s"]
    assert durations.num_rows == 3


def test_media_come_only_when_asked_for(world):
    assert "image" not in world.query("faces", limit=1).column_names
    assert len(world.query("faces", ["image"], limit=1)["image"][0].as_py()) == 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"table": "clip"}, "unknown table 'clip'; did you mean 'clips'"),
        ({"table": "clips", "select": ["gendre"]}, "clips: unknown column 'gendre'; did you mean 'gender'"),
        ({"table": "clips", "select": ["sharpness"]}, "clips: unknown column 'sharpness'; known: clip_id, "),
        ({"table": "clips", "where": "gendre = 'f'"}, "clips: unknown column 'gendre'; did you mean 'gender'"),
        (
            {"table": "clips", "where": "gender = f"},
            "unknown column 'f'; known: age, .*; text stands in single quotes",
        ),
        ({"table": "clips", "order": "begin"}, "clips: unknown column 'begin'"),
        ({"table": "clips", "where": "start_s >"}, "not SQL that LanceDB understands"),
        ({"table": "clips", "where": "start_s > 1 oops"}, "not SQL that LanceDB understands"),
        ({"table": "clips", "where": "start_s = 'soon'"}, "not SQL that LanceDB understands"),
        ({"table": "clips", "where": ""}, "not SQL that LanceDB understands"),
        ({"table": "clips", "where": "true) OR (true"}, "not SQL that LanceDB understands"),
        ({"table": "clips", "where": "gender = 'f"}, "not SQL that LanceDB understands"),
        ({"table": "clips", "limit": 0}, "limit 0, expected at least 1"),
    ],
)
def test_a_query_that_makes_no_sense_says_so_in_one_line(world, arguments, message):
    with pytest.raises(StoreError, match=message) as caught:
        world.query(**arguments)
    assert "\n" not in str(caught.value)
    assert "/home/" not in str(caught.value)


@pytest.mark.parametrize(("where", "threshold"), [(None, -1.0), ("quality > 0.7", 0.7), ("quality > 2", 2.0)])
def test_nearest_equals_brute_force(world, where, threshold):
    probe = np.random.default_rng(0).normal(size=8).astype(np.float32) * 3
    rows = [row for row in contents(world)["faces"] if row["quality"] > threshold]
    vectors = np.array([row[FACE_COLUMN] for row in rows], np.float32).reshape(-1, 8)
    expected = vectors @ probe / np.linalg.norm(vectors, axis=1) / np.linalg.norm(probe)
    found = world.nearest("faces", probe, k=5, where=where).rows
    order = np.argsort(-expected)[:5]
    assert found["face_id"].to_pylist() == [rows[index]["face_id"] for index in order]
    np.testing.assert_allclose(found["cosine"].to_numpy(), expected[order], rtol=1e-5)
    assert {"image", FACE_COLUMN}.isdisjoint(found.column_names)


def test_nearest_says_what_does_not_fit(world):
    with pytest.raises(StoreError, match=r"shape \(7,\), expected \(8,\)"):
        world.nearest("faces", np.ones(7))
    with pytest.raises(StoreError, match="expected 'clip/x'"):
        world.nearest("faces", np.ones(8), "clip/x")
    with pytest.raises(StoreError, match="clips: found vectors of no space"):
        world.nearest("clips", np.ones(8))


def test_pairs_are_aligned_with_their_ids(world):
    pairs = world.pairs(where="start_s < 20")
    rows = contents(world)
    clips = {row["clip_id"]: row for row in rows["clips"] if row["start_s"] < 20}
    assert sorted(clips) == pairs["clip_id"].tolist()
    for name in ("video_id", "identity", "gender", "split"):
        assert pairs[name].tolist() == [clips[key][name] or "" for key in sorted(clips)]
    for table, vectors, clip in (("faces", "faces", "face_clip"), ("voices", "voices", "voice_clip")):
        column = next(name for name in rows[table][0] if name.startswith("vector_"))
        own = [row for row in rows[table] if row["clip_id"] in clips]  # sorted by id, as the arrays are
        assert pairs[clip].dtype == np.int64
        assert pairs["clip_id"][pairs[clip]].tolist() == [row["clip_id"] for row in own]
        assert np.array_equal(pairs[vectors], np.array([row[column] for row in own], np.float32))
    qualities = [row["quality"] for row in rows["faces"] if row["clip_id"] in clips]
    assert pairs["face_quality"].tolist() == qualities


def test_pairs_need_a_face_and_a_voice(store):
    whole, mute = video(1), video(2)
    silent = type(mute)(mute.video, mute.clips, mute.faces, [])
    store.commit([whole, silent])
    assert set(store.pairs()["video_id"]) == {"video0001"}
    empty = store.pairs(where="false")
    assert empty["faces"].shape == (0, 8)
    assert empty["voice_clip"].shape == (0,)


def test_an_empty_store_answers(store):
    assert store.count("clips") == 0
    assert store.ledger() == {}
    assert store.pairs()["faces"].shape == (0, 8)
    assert store.nearest("voices", np.ones(6)).rows.num_rows == 0


def test_a_version_is_read_again_after_later_commits(store):
    store.commit([video(number) for number in range(4)])
    version, before = store.version(), store.pairs()
    store.commit([video(1, LATER, "b"), video(9)])
    store.delete_video("video0002")
    again = store.snapshot(version)
    assert again.version == version
    assert again.count("clips") == len(before["clip_id"]) == 8
    assert set(again.query("clips", ["run_id"])["run_id"].to_pylist()) == {RUN}
    with pytest.raises(StoreError, match="clips: version 99 is gone"):
        store.snapshot(version | {"clips": 99})


def test_a_snapshot_whose_bytes_were_compacted_away_says_so(store):
    store.commit([video(1)])
    store.commit([video(2)])
    snapshot = store.snapshot()
    compact(store, keep_versions_s=0)
    with pytest.raises(
        StoreError, match=r"faces: version 3 cannot be read any more: a deletion or a compaction removed files"
    ):
        snapshot.query("faces")


def test_speakers_and_generations_are_merged_by_id(store):
    speaker = {"run_id": RUN, "tts": "morph", "space": "resemblyzer/ge2e-256", "gender": "f"}
    store.add_speakers([speaker | {"speaker_id": name, "vector": np.ones(6, np.float32)} for name in "ba"])
    store.add_speakers([speaker | {"speaker_id": "b", "vector": np.zeros(6), "tts": "vits"}])
    assert store.speakers()["speaker_id"].to_pylist() == ["a", "b"]
    assert store.speakers(tts="vits")["vector"].to_pylist() == [[0.0] * 6]
    assert store.speakers(space="other").num_rows == 0
    kept = {"speaker_id": "voice-1", "name": "ann", "provenance": {"face": "ann.jpg"}, "vector": [0.5, 1e-9]}
    store.add_speakers([speaker | kept])
    assert store.speakers()["speaker_id"].to_pylist() == ["a", "b"]  # a kept voice is no known speaker
    (row,) = store.kept_voices().to_pylist()
    assert (row["name"], row["provenance"], row["vector"]) == (
        "ann",
        '{"face": "ann.jpg"}',
        np.float32([0.5, 1e-9]).tolist(),
    )
    store.remove_speakers(["voice-1"])
    assert store.kept_voices().num_rows == 0
    assert store.speakers().num_rows == 2
    generation = {"generation_id": "g", "run_id": RUN, "face": "a.jpg", "text": "Hello", "tts": "morph"}
    generation |= {"space": "s", "speaker_vector": [1.0], "audio_uri": "g.wav", "scores": {"informed": 0.5}}
    store.add_generations([generation, generation | {"generation_id": "h"}])
    store.add_generations([generation | {"text": "Bye"}])
    assert store.query("generations", ["text"], order="generation_id")["text"].to_pylist() == ["Bye", "Hello"]
    with pytest.raises(StoreError, match="unknown column 'nick'"):
        store.add_speakers([speaker | {"speaker_id": "c", "nick": "x", "vector": [1.0]}])
