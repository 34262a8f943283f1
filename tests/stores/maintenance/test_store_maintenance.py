"""Maintenance changes no answer, frees bytes, and leaves running jobs alone."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import stores
from stores import schema
from stores.maintenance.compact import DAY_S, compact, sweep
from stores.processes import Clock
from tests.support.places import contents_of
from tests.support.store_world import FACE_COLUMN, FACES, LATER, RUN, VOICES, contents, crashed_commit, video


def test_compaction_changes_no_answer(store):
    for number in range(12):
        store.commit([video(number)])
    store.commit([video(3, LATER, "b")])
    store.delete_video("video0005")
    before, pairs = contents(store, without=()), store.pairs()
    near = store.nearest("faces", np.ones(8), k=7).rows
    done = compact(store, keep_versions_s=0)
    assert done["faces"].fragments_removed > done["faces"].fragments_added
    assert contents(store, without=()) == before
    assert store.nearest("faces", np.ones(8), k=7).rows.equals(near)
    for name, array in store.pairs().items():
        assert np.array_equal(array, pairs[name])
    assert compact(store, keep_versions_s=0)["faces"].fragments_removed == 0  # nothing is written twice


def test_the_bytes_of_a_deleted_video_are_gone_after_compaction(store):
    kept, deleted = video(1), video(2)
    store.commit([kept, deleted])
    store.delete_video("video0002")
    compact(store, keep_versions_s=0)
    disk = b"".join(contents_of(store.uri))
    assert kept.faces[0]["image"] in disk
    assert deleted.faces[0]["image"] not in disk
    assert deleted.voices[0]["audio"] not in disk


def test_sweep_leaves_alone_what_this_machine_has_not_seen_for_long(store):
    """Runs without a row in `runs`, as scripts make them; what their ids say of the time does not matter."""
    store.commit([video(0)])
    passed = [1000.0]
    clock = Clock("observer", lambda: passed[0])
    crashed_commit(store, [video(1, RUN), video(0, LATER, "b")])
    assert sweep(store, clock=clock) == 0
    passed[0] += 7 * DAY_S
    young = stores.run_id()
    crashed_commit(store, [video(2, young)])
    assert sweep(store, clock=Clock("another", lambda: 1e9)) == 0  # what one clock saw says nothing to another
    assert sweep(store, clock=clock) == 4 * 2 + 4 * 2  # 2 clips, 4 faces, 2 voices of each run seen a week ago
    assert store.db.open_table("clips").count_rows("video_id = 'video0002'") == 2
    store.commit([video(2, young)])
    assert sweep(store, older_than_s=0) == 0
    assert store.count("clips") == store.db.open_table("clips").count_rows() == 4


KILLED_WHILE_IT_WRITES = """
import os, sys
from lance.file import LanceFileSession
import pyarrow as pa
writer = LanceFileSession(sys.argv[1]).open_writer("half.lance", schema=pa.schema({"a": pa.binary()}))
for _ in range(10):
    writer.write_batch(pa.table({"a": [os.urandom(2_000_000)]}))
os.kill(os.getpid(), 9)
"""


def test_sweep_removes_what_lance_has_not_renamed_after_a_day(store):
    tables = Path(store.uri)
    subprocess.run([sys.executable, "-c", KILLED_WHILE_IT_WRITES, str(tables / "faces.lance" / "data")], check=False)
    (left,) = tables.rglob(".tmp*")
    manifest = next(tables.glob("voices.lance/_versions/*.manifest"))
    staged = manifest.with_name(f"{manifest.name}#1")
    staged.write_bytes(manifest.read_bytes())
    before, seen = {path for path in tables.rglob("*") if path.is_file()} - {left, staged}, contents(store)
    sweep(store)
    assert left.exists()  # it may be a commit that is running
    assert staged.exists()
    for path in (left, staged, *before):
        os.utime(path, (time.time() - DAY_S - 60,) * 2)
    sweep(store)
    assert {path for path in tables.rglob("*") if path.is_file()} == before
    assert contents(store) == seen


def test_spaces_survive_add_merge_delete_and_compaction(store):
    store.commit([video(0), video(1)])
    store.db.open_table("faces").merge_insert("face_id").when_matched_update_all().execute(
        store.db.open_table("faces").to_arrow()
    )
    store.delete_video("video0000")
    compact(store, keep_versions_s=0)
    reopened = stores.Store.open(store.uri)
    assert reopened.spaces("faces") == FACES
    assert reopened.spaces("voices") == VOICES
    assert schema.version_of(reopened.snapshot().schema("videos")) == schema.SCHEMA_VERSION


def test_vector_columns_have_names_that_sql_takes():
    assert schema.vector_column("dlib/resnet-v1-128/crop1") == FACE_COLUMN
    assert schema.vector_column("open_clip/ViT-B-32-quickgelu/openai/crop1").isidentifier()
    with pytest.raises(stores.StoreError, match="share the column 'vector_a_b'"):
        schema.schema("faces", {"a/b": 3, "a-b": 3})


def test_info_counts_what_readers_see(store):
    store.commit([video(0), video(1, clips=0)])
    crashed_commit(store, [video(2)])
    info = store.info()
    empty = {"speakers": 0, "generations": 0, "edits": 0, "runs": 0}
    assert info["rows"] == {"videos": 2, "clips": 2, "faces": 4, "voices": 2} | empty
    assert info["states"] == {"done": 1, "empty": 1}
    assert info["spaces"] == {"faces": FACES, "voices": VOICES}
    assert info["schema_version"] == schema.SCHEMA_VERSION
    assert info["bytes"]["faces"] > 4 * 200


def test_ids_are_of_content_and_place(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"film" * 1_000_000)
    (tmp_path / "b.mp4").write_bytes(b"film" * 1_000_000)
    assert stores.video_id(tmp_path / "a.mp4") == stores.video_id(str(tmp_path / "b.mp4"))
    assert len(stores.video_id(tmp_path / "a.mp4")) == 32
    clip = stores.clip_id("v", 1.5, (0.1, 0.2, 0.3, 0.4))
    assert clip == stores.clip_id("v", 1.5, np.float32([0.1, 0.2, 0.3, 0.4]))
    assert (
        len({clip, stores.clip_id("w", 1.5, (0.1, 0.2, 0.3, 0.4)), stores.face_id(clip, 1), stores.face_id(clip, 2)})
        == 4
    )
    assert stores.config_hash({"a": 1, "b": [2]}) == stores.config_hash({"b": [2], "a": 1})
    assert stores.config_hash({"a": 1}) != stores.config_hash({"a": 2})
    runs = [stores.run_id() for _ in range(50)]
    assert runs == sorted(runs)
    assert len(set(runs)) == 50
