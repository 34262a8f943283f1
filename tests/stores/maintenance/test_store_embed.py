"""A second space is added in one commit, whatever is killed; the store is usable all the while."""

import shutil

import numpy as np
import pytest

from stores import Store, StoreError
from stores.maintenance.backfill import media
from stores.maintenance.check import check
from stores.maintenance.compact import compact
from stores.maintenance.embed import Embedding, discard, drop_spaces
from tests.support.interposed import Interposed
from tests.support.store_world import FACE_COLUMN, FACES, LATER, VOICES, contents, video

NEW = "other/net"


def _vector(media: bytes) -> np.ndarray:
    """A vector that follows from the picture."""
    vector = np.frombuffer(media[:20], np.uint8).astype(np.float32)
    return vector / np.linalg.norm(vector)


def _embed(store: Store, rows: int | None = None) -> bool:
    embedding = Embedding(store, "faces", NEW, 20)
    todo = embedding.todo()
    for start in range(0, min(rows or len(todo.keys), len(todo.keys)), 7):
        part = slice(start, start + 7)
        contents = media(store, "faces", todo.version, todo.places[part].tolist())
        embedding.add(todo.keys[part], np.stack([_vector(content) for content in contents]))
    return embedding.finish()


def _check(store: Store) -> None:
    column = "vector_other_net"
    rows = store.query("faces", ["face_id", "image", column]).to_pylist()
    assert rows
    for row in rows:
        assert np.array_equal(np.float32(row[column]), _vector(row["image"]))


def test_a_space_is_added_to_rows_old_and_new_deleted_and_compacted(store):
    for first in range(0, 12, 4):
        store.commit([video(number) for number in range(first, first + 4)])
    store.delete_video("video0005")
    before = contents(store)
    assert not _embed(store, 14)
    assert contents(store) == before  # half of it is no column yet
    assert Embedding(store, "faces", NEW, 20).todo().done == 14
    store.commit([video(20), video(1, LATER, "b")])  # a picture that was done may be another one now
    compact(store)
    assert _embed(store)
    again = Store.open(store.uri, {**FACES, NEW: 20})
    assert again.spaces("faces") == {**FACES, NEW: 20}
    _check(again)
    assert set(again.db.list_tables().tables) == set(again.info()["rows"])
    assert again.nearest("faces", np.ones(8), space=next(iter(FACES)), k=3).rows.num_rows == 3


def test_a_commit_in_between_is_noticed(store):
    store.commit([video(1)])
    db = Interposed(store.db)
    embedding = Embedding(Store(store.uri, db), "faces", NEW, 20)
    todo = embedding.todo()
    contents = media(store, "faces", todo.version, todo.places.tolist())
    embedding.add(todo.keys, np.stack([_vector(content) for content in contents]))
    # The faces are read; the table that is opened next holds their vectors.
    db.before("", "open_table", lambda: store.commit([video(2)]), calls=2)
    assert not embedding.finish()
    assert Store.open(store.uri).count("faces") == 8
    assert _embed(Store.open(store.uri))
    _check(Store.open(store.uri))


def test_embedding_again_replaces_all_vectors_in_one_version(store):
    for number in range(3):
        store.commit([video(number)])
    store.delete_video("video0001")
    (space, dim), column = next(iter(FACES.items())), FACE_COLUMN
    before = {row["face_id"]: row[column] for row in store.query("faces", ["face_id", column]).to_pylist()}
    first = store.db.open_table("faces").version
    embedding = Embedding(store, "faces", space, dim, "dlib:other")
    todo = embedding.todo()
    assert set(key.partition("@")[0] for key in todo.keys) == set(before)
    new = np.random.default_rng(0).normal(size=(len(todo.keys), dim)).astype(np.float32)
    embedding.add(todo.keys, new)
    assert embedding.finish()
    after = {key.partition("@")[0]: vector.tolist() for key, vector in zip(todo.keys, new, strict=True)}
    rows = store.db.open_table("faces")
    for version in range(first, rows.version + 1):
        rows.checkout(version)
        found = rows.search().select(["face_id", column]).to_arrow().to_pylist()
        assert {row["face_id"]: row[column] for row in found} in (before, after), version
    assert {row["face_id"]: row[column] for row in Store.open(store.uri).query("faces").to_pylist()} == after
    again = Store.open(store.uri, FACES)
    assert again.encoders[space] == "dlib:other"
    assert check(again, {}).problems == []
    compact(again)
    assert again.nearest("faces", new[0], k=1).rows["face_id"].to_pylist() == [todo.keys[0].partition("@")[0]]


def test_what_a_killed_creation_or_removal_of_the_scratch_table_leaves_is_no_obstacle(tmp_path):
    store = Store.create(str(tmp_path / "store"), FACES, VOICES)
    store.commit([video(1)])
    scratch = tmp_path / "store" / "embedding_faces_vector_other_net.lance"
    (scratch / "_versions").mkdir(parents=True)  # a folder without a manifest
    embedding = Embedding(store, "faces", NEW, 20)
    todo = embedding.todo()
    embedding.add(todo.keys, np.ones((len(todo.keys), 20)))
    shutil.rmtree(scratch / "data")  # a removal that came so far
    assert len(Embedding(store, "faces", NEW, 20).todo().keys) == len(todo.keys)
    assert _embed(store)
    # Killed when the column was there and the scratch table was not yet removed: vectors of another day are no use.
    left = Embedding(store, "faces", NEW, 20)
    todo = left.todo()
    contents = media(store, "faces", todo.version, todo.places.tolist())
    left.add(todo.keys, np.stack([_vector(content) for content in contents]))
    assert len(Embedding(store, "faces", NEW, 20).todo().keys) == len(todo.keys)
    discard(store, "faces", NEW)
    assert not scratch.exists()


def test_a_space_does_not_change_its_dimension(store):
    store.commit([video(1)])
    with pytest.raises(StoreError, match="has 8 dimensions in the store, the encoder gives 9"):
        Embedding(store, "faces", next(iter(FACES)), 9)


def test_a_space_is_replaced(store):
    store.commit([video(1)])
    assert _embed(store)
    assert _embed(Store.open(store.uri))  # once more, the same one
    again = Store.open(store.uri)
    _check(again)
    assert drop_spaces(again, "faces", NEW) == list(FACES)
    assert Store.open(store.uri).face_space == NEW


def test_what_does_not_fit_is_an_error(store):
    store.commit([video(1)])
    with pytest.raises(StoreError, match="would share the column of 'dlib/resnet-v1-128/crop1'"):
        Embedding(store, "faces", "dlib/resnet.v1.128/crop1", 8)
    embedding = Embedding(store, "faces", NEW, 20)
    with pytest.raises(StoreError, match=r"shape \(1, 3\), expected \(1, 20\)"):
        embedding.add(["a"], np.ones((1, 3), np.float32))
    with pytest.raises(StoreError, match=r"were of .*\[20\].*, now .*\[21\]"):
        Embedding(store, "faces", NEW, 21)
    with store.run({}, {}), pytest.raises(StoreError, match="may be writing"):
        embedding.todo()
