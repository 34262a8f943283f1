"""People may ask to be removed: of what was theirs no byte is left, and what was others' is all there."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stores import Store, StoreError, tombstone
from stores.maintenance.byte_scan import PROBE, fingerprint, occurring
from stores.maintenance.check import check
from stores.maintenance.delete import delete, is_deletion_unfinished
from stores.maintenance.deletion_plan import plan_deletion
from stores.maintenance.index import build_index
from tests.support.interposed import Interposed, killed
from tests.support.places import IN_BUCKET, contents_of, copy_store
from tests.support.store_world import FACES, LATER, RUN, VOICES, contents, crashed_commit, video

PERSON = "somebody in particular"


def of_person(number: int, first_clip_only: bool = False, **kwargs):
    """A video of theirs, or one in which they are seen beside another."""
    rows = video(number, **kwargs)
    names = [PERSON, "another" if first_clip_only else PERSON]
    return replace(rows, clips=[clip | {"identity": name} for clip, name in zip(rows.clips, names, strict=True)])


@pytest.fixture(scope="module")
def filled(new_uri) -> Store:
    """4,203 videos with 16,812 faces; the person is in three videos, in one of them with another.

    The first commit's faces fill a fragment, which no compaction touches; the others are merged.
    """
    store = Store.create(new_uri(), FACES, VOICES)
    store.commit([video(number) for number in range(4100)])
    store.commit([of_person(5001), of_person(5002), of_person(5003, first_clip_only=True)])
    store.commit([video(number) for number in range(4100, 4200)])
    face = store.query("faces", ["face_id"], "video_id = 'video5001'", limit=1)["face_id"][0].as_py()
    made = {"run_id": RUN, "text": "Hello.", "tts": "morph", "space": "s", "speaker_vector": [0.5], "models": {}}
    store.add_generations(
        [
            made | {"generation_id": "generation-a", "face": f"work/store#{face}", "audio_uri": "/out/a.wav"},
            made | {"generation_id": "generation-b", "face": "/photos/other.jpg", "audio_uri": "/out/b.wav"},
        ]
    )
    return store


@pytest.fixture
def peopled(filled, new_uri) -> Store:
    uri = new_uri()
    copy_store(filled.uri, uri)
    return Store.open(uri)


def _all_bytes(store: Store) -> bytes:
    return b"".join(contents_of(store.uri))


@pytest.mark.parametrize("full_scan", [False, True])
def test_a_person_out_of_sixteen_thousand_faces_leaves_no_byte(peopled, full_scan):
    """Looked for here by plain `in`, so that the store's own search is not its own witness."""
    assert peopled.count("faces") == 16_812
    mine = [of_person(5001), of_person(5002)]
    keys = (("clips", "clip_id"), ("faces", "face_id"), ("voices", "voice_id"))
    ids = [row[key] for v in mine for table, key in keys for row in getattr(v, table)]
    media = [face["image"] for v in mine for face in v.faces] + [voice["audio"] for v in mine for voice in v.voices]
    vectors = [vector.tobytes() for v in mine for row in (*v.faces, *v.voices) for vector in row["vectors"].values()]
    before = _all_bytes(peopled)
    assert all(blob in before for blob in (*media, *vectors))
    assert all(name.encode() in before for name in ids)
    build_index(peopled, "faces")
    others = contents(peopled)
    plan = plan_deletion(peopled, people=[PERSON])
    assert plan.rows == {
        "videos": 2,
        "clips": 5,
        "faces": 10,
        "voices": 5,
        "speakers": 0,
        "generations": 1,
        "edits": 0,
    }
    assert plan.shared == ["video5003"]
    assert [row["audio_uri"] for row in plan.generations] == ["/out/a.wav"]

    done = delete(peopled, plan, full_scan=full_scan)
    if full_scan:
        counts = {kind: sum(found.values()) for kind, found in done.before.found.items()}
        assert (counts["image"], counts["audio"], counts["vectors"]) == (10, 5, 15)
        assert counts["ids"] >= 2 + 5 + 10 + 5 + 1
        assert counts["names"] >= 2 + 1
    assert done.after.found == {}
    # Of more than 16,400 faces of 200 bytes and 8 floats in a file of their own, none is theirs.
    assert (done.after.skipped_bytes > 16_400 * 232) == (not full_scan)
    assert done.after.searched_bytes + done.after.skipped_bytes == sum(map(len, contents_of(peopled.uri)))
    assert [name.partition(".")[0] for name in done.indices] == ["faces"]
    assert not any(names for _, _, names in os.walk(os.path.join(peopled.uri, "faces.lance", "_indices")))
    after = _all_bytes(peopled)
    assert not any(blob in after for blob in (*media, *vectors))
    assert not any(name.encode() in after for name in (*ids, "video5001", "video5002", "video5001.mp4"))
    gone = {name for listed in plan.ids.values() for name in listed}
    left = contents(peopled)
    for table, key in keys:
        assert left[table] == [row for row in others[table] if row[key] not in gone]
    shared = peopled.query("videos", ["n_clips", "n_faces", "n_voices"], "video_id = 'video5003'").to_pylist()
    assert shared == [{"n_clips": 1, "n_faces": 2, "n_voices": 1}]
    assert peopled.query("generations", ["generation_id"])["generation_id"].to_pylist() == ["generation-b"]


def test_who_was_deleted_does_not_come_back_and_the_tombstone_names_nobody(store):
    store.commit([of_person(1), video(2)])
    delete(store, plan_deletion(store, people=[PERSON]))
    assert store.commit([of_person(1, run=LATER, config="b"), video(3)]) == {"video0003"}
    assert store.count("clips", f"identity = '{PERSON}'") == 0
    (row,) = store.query("videos", where="state = 'deleted'").to_pylist()
    assert row["video_id"] == tombstone("video0001")
    assert row["uris"] == []
    assert not plan_deletion(store, people=[PERSON])


@pytest.mark.parametrize("crashed_at", ["clips", "videos"])
def test_a_deletion_that_was_killed_is_found_again_and_finished(store, crashed_at):
    store.commit([of_person(1), of_person(2, first_clip_only=True), video(3)])
    dying = Store(store.uri, Interposed(store.db).before(crashed_at, "delete", killed))
    with pytest.raises(KeyboardInterrupt):
        delete(dying, plan_deletion(store, people=[PERSON], videos=["video0001"]))
    assert {"video0001", "video0002"} & store.ledger().keys()
    done = delete(store, plan_deletion(store, people=[PERSON], videos=["video0001"]))
    assert done.after.found == {}
    assert store.count("clips") == 3
    assert set(store.ledger()) == {"video0002", "video0003", tombstone("video0001"), tombstone("video0002")}


def test_bytes_that_a_killed_deletion_has_left_go_with_the_next(store):
    theirs = of_person(1)
    store.commit([theirs, of_person(2, first_clip_only=True), video(3)])
    assert not is_deletion_unfinished(store)

    # The rows are gone, and the first that comes next is a list of the tables whose bytes are to be freed.
    dying = Store(store.uri, Interposed(store.db).before("", "list_tables", killed))
    with pytest.raises(KeyboardInterrupt):
        delete(dying, plan_deletion(store, people=[PERSON]))
    assert not plan_deletion(store, people=[PERSON])
    assert [problem.kind for problem in check(store, {}).problems] == ["half_deleted"]
    assert theirs.faces[0]["image"] in _all_bytes(store)
    assert is_deletion_unfinished(store)
    delete(store, plan_deletion(store, people=[PERSON]))
    assert theirs.faces[0]["image"] not in _all_bytes(store)
    assert not is_deletion_unfinished(store)


def test_a_person_goes_with_all_that_was_corrected(store):
    store.commit([of_person(1), video(2), of_person(3), video(4)])
    theirs = store.query("clips", ["clip_id"], f"identity = '{PERSON}'", order="clip_id")["clip_id"].to_pylist()
    others = store.query("clips", ["clip_id"], "video_id = 'video0002'", order="clip_id")["clip_id"].to_pylist()
    store.reject(theirs[:1], "me", "blurred")
    store.label(others[:1], "identity", "their real name", "me", "seen")
    store.label(others[1:], "gender", "f", "me", "seen")
    store.merge_people(PERSON, "their real name", "me", "told so")
    with pytest.raises(StoreError, match=f"'{PERSON}' was corrected to be 'their real name'; delete that person"):
        plan_deletion(store, people=[PERSON])
    plan = plan_deletion(store, people=["their real name"])
    assert set(plan.ids["clips"]) == {*theirs, others[0]}
    done = delete(store, plan)
    assert done.after.found == {}
    assert PERSON.encode() not in _all_bytes(store)
    assert [edit["subject"] for edit in store.edits()] == others[1:]
    left = store.query("clips", ["clip_id", "gender"], "video_id = 'video0002'").to_pylist()
    assert left == [{"clip_id": others[1], "gender": "f"}]


@pytest.mark.skipif(IN_BUCKET, reason="puts a file beside a table's own")
@pytest.mark.parametrize("place", ["faces.lance/copy.bin", "copy.bin", "voices.lance/data/copy.bin"])
def test_the_proof_finds_bytes_in_a_file_that_no_version_names(store, place):
    theirs = of_person(1)
    store.commit([theirs, video(2)])
    plan = plan_deletion(store, people=[PERSON])
    copy = Path(store.uri, place)
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(b"head" + theirs.faces[0]["image"] + theirs.voices[0]["vectors"][next(iter(VOICES))].tobytes())
    assert delete(store, plan).after.found == {"image": {place: 1}, "vectors": {place: 1}}


def test_rows_that_no_reader_sees_go_as_well(store):
    store.commit([video(2)])
    crashed_commit(store, [of_person(1)])
    assert store.count("clips") == 2
    done = delete(store, plan_deletion(store, people=[PERSON]), full_scan=True)
    assert done.rows["faces"] == 4
    assert done.before.found["image"]
    assert done.after.found == {}


def test_tags_that_hold_them_go_and_others_stay(store):
    store.commit([video(2)])
    store.tag("without")
    store.commit([of_person(1)])
    store.tag("with")
    done = delete(store, plan_deletion(store, people=[PERSON]))
    assert done.tags == ["with"]
    assert done.after.found == {}
    assert set(store.tags()) == {"without"}
    assert store.snapshot("without").count("clips") == 2


def test_nothing_is_deleted_beside_a_job_that_writes(store):
    store.commit([of_person(1)])
    with store.run({"job": "ingest"}, {}) as run, pytest.raises(StoreError, match=f"run {run.run_id} may be writing"):
        delete(store, plan_deletion(store, people=[PERSON]))
    assert store.count("clips") == 2


def test_what_runs_were_asked_to_do_forgets_the_file(store):
    with store.run({"inputs": ["/data/video0001.mp4", "/data/video0002.mp4"]}, {}) as run:
        store.commit([video(1, run.run_id)])
    delete(store, plan_deletion(store, videos=["video0001"]))
    assert b"/data/video0001.mp4" not in _all_bytes(store)
    assert "/data/video0002.mp4" in store.query("runs", ["command"], f"run_id = '{run.run_id}'")["command"][0].as_py()


def test_asking_for_nothing_or_no_sql_is_an_error(store):
    with pytest.raises(StoreError, match="no person, video, clip or filter"):
        plan_deletion(store)
    with pytest.raises(StoreError, match="identitty"):
        plan_deletion(store, where="identitty = 'a'")
    assert not plan_deletion(store, people=["nobody"])


@pytest.mark.parametrize("piece", [7, 64, 1000, 10_000])
def test_bytes_are_found_wherever_they_stand_and_not_where_they_do_not(piece):
    rng = np.random.default_rng(0)
    data = rng.bytes(5000)
    there = [data[:PROBE], data[-PROBE:], data[100:3000], data[4000:4100], data[990:1010], data[2000:2013]]
    alike = [data[100:150] + b"x" + data[151:200], rng.bytes(40), b"\0" * 64, data[4990:] + b"more"]
    pieces = (data[start : start + piece] for start in range(0, len(data), piece))
    assert occurring(pieces, map(fingerprint, [*there, *alike])) == set(map(fingerprint, there))
