"""A deletion that is killed at any of its steps is finished by the next one, from the plan in its row of `runs`."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from lancedb.index import BTree

from stores import Store
from stores.maintenance.check import check
from stores.maintenance.delete import delete, is_deletion_unfinished, unfinished_plans
from stores.maintenance.deletion_plan import plan_deletion
from stores.schema import EMBEDDED
from stores.snapshot import Snapshot
from tests.support.dying import Dying, Killed
from tests.support.places import IN_BUCKET, contents_of, copy_store
from tests.support.store_world import FACES, RUN, VOICES, video

PERSON = "somebody in particular"
NAME = "/data/a film of theirs.mp4"


def _theirs(number: int, clips: int = 2):
    """A video in which the person has the first clips, and another the last."""
    rows = video(number, clips=3)
    names = [PERSON] * clips + ["another"] * (3 - clips)
    mine = [clip | {"identity": name} for clip, name in zip(rows.clips, names, strict=True)]
    return replace(rows, clips=mine)


@pytest.fixture(scope="module")
def filled(new_uri) -> Store:
    """A store with all that can hold a person: rows, tags, an index, edits, generations, runs, a scratch table."""
    store = Store.create(new_uri(), FACES, VOICES)
    with store.run({"job": "ingest", "inputs": [NAME, "/data/other.mp4"]}, {}) as run:
        whole = _theirs(1, clips=3)
        whole = replace(whole, video=whole.video | {"uris": [NAME], "run_id": run.run_id})
        store.commit([whole, _theirs(2), video(3)])
    store.tag("theirs")
    clips = store.query("clips", ["clip_id"], f"identity = '{PERSON}'", order="clip_id")["clip_id"].to_pylist()
    store.label(clips[:1], "gender", "f", "me", "seen")
    store.reject(clips[1:2], "me", "blurred")
    made = {"run_id": RUN, "text": "Hello.", "tts": "morph", "space": "s", "speaker_vector": [0.5], "models": {}}
    face = store.query("faces", ["face_id"], "video_id = 'video0001'", limit=1)["face_id"][0].as_py()
    for name, of in (("a", f"work/store#{face}"), ("b", NAME), ("c", "/photos/other.jpg")):
        row = {"generation_id": f"generation-{name}", "face": of, "audio_uri": f"/out/{name}.wav"}
        store.add_generations([made | row])
    store.db.open_table("faces").create_index("face_id", config=BTree())
    store.db.create_table("embedding_faces_x", store.db.open_table("faces").to_arrow().select(["face_id"]))
    return store


def _seek(store: Store) -> list[str]:
    """What a reader of bytes finds of the person; by plain `in`, and in texts as Lance decodes them."""
    everything = b"".join(contents_of(store.uri))
    mine = [_theirs(1, clips=3), _theirs(2)]
    clips = {clip["clip_id"] for rows in mine for clip in rows.clips if clip["identity"] == PERSON}
    rows = [row for v in mine for row in (*v.faces, *v.voices) if row["clip_id"] in clips]
    found = [f"media of {row['clip_id']}" for row in rows if row.get("image", row.get("audio")) in everything]
    found += [
        f"vector of {row['clip_id']}"
        for row in rows
        for vector in row["vectors"].values()
        if vector.tobytes() in everything
    ]
    names = [*clips, *(row.get("face_id", row.get("voice_id")) for row in rows), PERSON, NAME, "vclip-deletion-plan"]
    texts = json.dumps(
        [store.db.open_table(table).to_arrow().to_pylist() for table in store.info()["rows"]], default=str
    )
    return found + [name for name in names if name.encode() in everything or name in texts]


def _finished(store: Store) -> None:
    assert _seek(store) == []
    assert not is_deletion_unfinished(store)
    assert check(store, {}).problems == []
    assert set(store.tags()) == set()
    for table in ("videos", "clips", "faces", "voices", "speakers", "generations", "edits"):
        assert not store.db.open_table(table).tags.list(), table
    assert store.count("clips") == 1 + 2
    assert store.query("generations", ["generation_id"])["generation_id"].to_pylist() == ["generation-c"]
    assert store.edits() == []
    assert "embedding_faces_x" not in store.db.list_tables().tables


def _no_middle(filled: Store, store: Store) -> None:
    """Readers see each clip with its faces and voice, and each video with or without them; `check` names the rest."""
    killed = Store.open(store.uri).snapshot()
    of_clip = Counter(row["clip_id"] for table in EMBEDDED for row in killed.query(table, ["clip_id"]).to_pylist())
    assert of_clip == dict.fromkeys(killed.query("clips", ["clip_id"])["clip_id"].to_pylist(), 3)  # 2 faces, a voice
    before, seen, after = _clips(filled.snapshot()), _clips(killed), {"video0002": 1, "video0003": 2}
    assert all(seen.get(video) in (before[video], after.get(video)) for video in before)
    assert all(store.snapshot(tag).count("clips") for tag in store.tags())
    named = {problem.kind for problem in check(store, {}).problems}
    assert named <= {"half_deleted", "uncommitted"}
    assert "half_deleted" in named or seen in (before, after)


def _clips(snapshot: Snapshot) -> dict[str, int]:
    return dict(Counter(snapshot.query("clips", ["video_id"])["video_id"].to_pylist()))


def _copied(filled: Store, new_uri) -> Store:
    uri = new_uri()
    copy_store(filled.uri, uri)
    return Store.open(uri)


def _calls(filled: Store, new_uri) -> int:
    store = _copied(filled, new_uri)
    with Dying() as undisturbed:
        delete(store, plan_deletion(store, people=[PERSON]))
    _finished(store)
    return undisturbed.count


@pytest.mark.skipif(IN_BUCKET, reason="puts a file into a table's folder")
def test_the_plan_of_a_deletion_that_was_killed_while_it_recorded_it_is_removed(filled, new_uri):
    """Its data file is written, and no version names it."""
    store = _copied(filled, new_uri)
    data = Path(store.uri, "runs.lance", "data")
    before = set(data.iterdir())
    with Dying(after=("LanceTable.delete", 0)), pytest.raises(Killed):
        delete(store, plan_deletion(store, people=[PERSON]))
    written = set(data.iterdir()) - before
    assert written
    for number, file in enumerate(sorted(written)):
        shutil.copy(file, data / f"{number:032x}.lance")
    store = Store.open(store.uri)
    assert delete(store, plan_deletion(store, people=[PERSON])).after.found == {}
    _finished(store)


@pytest.mark.skipif(IN_BUCKET, reason="puts a file into a table's folder")
def test_files_that_lance_had_not_renamed_yet_when_it_was_killed_are_removed(filled, new_uri):
    store = _copied(filled, new_uri)
    clip, face = _theirs(1, clips=3).clips[0], _theirs(1, clips=3).faces[0]
    for name, content in {
        "edits.lance/_versions/18446744073709551605.manifest#1": f"subject = '{clip['clip_id']}'".encode(),
        "faces.lance/data/0.lance#2": face["image"],
        "runs.lance/_transactions/0.txn#1": PERSON.encode(),
    }.items():
        Path(store.uri, name).write_bytes(content)
    assert delete(store, plan_deletion(store, people=[PERSON])).after.found == {}
    _finished(store)


@pytest.mark.slow
@pytest.mark.parametrize("third", range(3))
def test_killed_at_any_changing_call_and_run_again_leaves_nothing(filled, new_uri, third):
    for at in range(1 + third, _calls(filled, new_uri) + 1, 3):
        store = _copied(filled, new_uri)
        with Dying(at), pytest.raises(Killed):
            delete(store, plan_deletion(store, people=[PERSON]))
        _no_middle(filled, store)
        planned = any(unfinished_plans(store.db).values()) or bool(plan_deletion(store, people=[PERSON]))
        store = Store.open(store.uri)
        done = delete(store, plan_deletion(store, people=[PERSON]))
        assert done.after.found == {}, at
        assert done.plan.rows["faces"] == 10 or not planned, at
        _finished(store)
