"""Deleting a person from a store that holds all that may name one."""

import json
from dataclasses import replace

from lancedb.index import BTree

from benchmarks.reliability.operations import Operation
from benchmarks.reliability.operations.starts import empty, opened, place, state
from benchmarks.reliability.states import State
from pipelines.files.output_store import Output
from pipelines.files.remote import RemoteConfig
from pipelines.maintenance.delete import delete
from stores import VideoRows
from stores.schema import TABLES
from tests.support.places import contents_of
from tests.support.store_world import video


def of_person() -> list[VideoRows]:
    """Returns a video of person2, and one that shows them in two clips and another in the third."""
    shared = video(5, clips=3)
    names = ("person2", "person2", "another")
    clips = [{**clip, "identity": name} for clip, name in zip(shared.clips, names, strict=True)]
    return [video(2), replace(shared, clips=clips)]


def their_bytes() -> list[bytes]:
    """Returns the names, media and vectors of person2, none of which a deletion may leave."""
    clips = {clip["clip_id"] for rows in of_person() for clip in rows.clips if clip["identity"] == "person2"}
    rows = [row for of in of_person() for row in (*of.faces, *of.voices) if row["clip_id"] in clips]
    media = [row.get("image") or row["audio"] for row in rows]
    vectors = [vector.tobytes() for row in rows for vector in row["vectors"].values()]
    named = ["person2", "video0002", "vclip-deletion-plan", *clips]
    named += [row.get("face_id") or row["voice_id"] for row in rows]
    return [*media, *vectors, *(name.encode() for name in named)]


def peopled(where: str) -> None:
    """Makes a store with all that may hold a person: tags, an index, edits, generations, a scratch table, reports."""
    empty(where)
    store = opened(where)
    with store.run({"job": "ingest", "inputs": ["/data/video0002.mp4"]}, {}) as run:
        batch = [*of_person(), video(3)]
        store.commit([replace(rows, video={**rows.video, "run_id": run.run_id}) for rows in batch])
    store.tag("kept")
    clips = store.query("clips", ["clip_id"], "identity = 'person2'", order="clip_id")["clip_id"].to_pylist()
    store.label(clips[:1], "age", "30", "ann", "seen")
    made = {"run_id": run.run_id, "text": "Hello.", "tts": "morph", "space": "s", "speaker_vector": [0.5]}
    for name, face in (("a", "/data/video0002.mp4"), ("b", "/photos/other.jpg")):
        row = {"generation_id": f"generation-{name}", "face": face, "audio_uri": f"/out/{name}.wav", "models": {}}
        store.add_generations([made | row])
    store.db.open_table("faces").create_index("face_id", config=BTree())
    store.db.create_table("embedding_faces_x", store.db.open_table("faces").to_arrow())
    report = {"inputs": ["/data/video0002.mp4"], "people": ["person2", "another"]}
    Output(f"{place(where)}.runs", RemoteConfig()).write("1/summary.json", [json.dumps(report).encode()])


def remove(where: str) -> None:
    """Deletes person2."""
    found = delete(place(where), people=["person2"], carry_out=True).found_after
    assert not found, found


def deletion_state(where: str) -> State:
    """Returns the state of a store and its reports, and what a byte search finds of person2 there."""
    found, store = state(where), opened(where)
    snapshot = store.snapshot()
    parts = [
        row for table in ("faces", "voices") for row in snapshot.query(table, ["clip_id"])["clip_id"].to_pylist()
    ]
    clips = snapshot.query("clips", ["clip_id"])["clip_id"].to_pylist()
    if any(parts.count(clip) != 3 for clip in clips) or not set(parts) <= set(clips):  # two faces and a voice
        found["clips without their faces and voices"] = ""
    tables = [store.db.open_table(name).to_arrow().to_pylist() for name in TABLES]
    everything = b"".join([*contents_of(where), repr(tables).encode()])  # Lance compresses text
    if any(needle in everything for needle in their_bytes()):
        found["bytes of the person"] = ""
    return found


OPERATIONS = [Operation("delete", peopled, remove, deletion_state, whole=False)]
