"""Two stores become one, with every video once."""

from dataclasses import replace

import pytest

import stores
from stores import Store, StoreError
from stores.maintenance.check import check
from stores.maintenance.delete import delete
from stores.maintenance.deletion_plan import plan_deletion
from stores.maintenance.merge import merge
from tests.support.interposed import Interposed, killed
from tests.support.store_world import FACES, LATER, RUN, VOICES, contents, video

WITHOUT = ("created_at", "revision", "run_id")


@pytest.fixture
def other(tmp_path) -> Store:
    """Another empty store."""
    return Store.create(str(tmp_path / "other"), FACES, VOICES)


def test_all_that_both_have_is_there_once(store, other, tmp_path):
    store.commit([video(number) for number in range(6)])
    other.commit([video(number, LATER) for number in range(4, 300)])
    other.add_uris({"video0004": ["/elsewhere.mp4"]})
    other.add_speakers([{"speaker_id": "a", "run_id": RUN, "tts": "t", "space": "s", "vector": [1.0]}])
    before = contents(other, without=())
    with store.run({"job": "merge"}, {}) as run:
        done = merge(store, other, run.run_id)
    assert (done.added, done.alike, done.kept, done.rows) == (294, 2, [], {"speakers": 1})
    same = Store.create(str(tmp_path / "same"), FACES, VOICES)
    same.commit([video(number) for number in range(300)])
    same.add_uris({"video0004": ["/elsewhere.mp4"]})
    assert contents(store, WITHOUT) == contents(same, WITHOUT)
    assert contents(other, without=()) == before
    version = store.version()
    assert merge(store, other, stores.run_id()).alike == 296
    assert store.version() == version
    assert {p.kind for p in check(store, {}).problems} == set()


def test_of_a_video_that_both_have_this_stores_stays_unless_it_failed(store, other):
    bad = video(2, clips=0)
    store.commit([video(1, config="a"), replace(bad, video=bad.video | {"state": "failed", "reason": "torn"})])
    other.commit([video(1, config="b", clips=1), video(2)])
    done = merge(store, other, stores.run_id())
    assert (done.kept, done.replaced, done.added) == (["video0001"], ["video0002"], 0)
    assert store.count("clips", "video_id = 'video0001'") == 2
    assert store.ledger()["video0002"]["state"] == "done"


def test_who_was_deleted_stays_deleted(store, other):
    store.commit([video(1), video(2), video(3)])
    other.commit([video(1), video(2), video(4)])
    delete(store, plan_deletion(store, videos=["video0001"]))
    delete(other, plan_deletion(other, videos=["video0002"]))
    done = merge(store, other, stores.run_id())
    assert (done.deleted, done.deleted_there, done.added) == (["video0001"], ["video0002"], 1)
    done = {key for key, row in store.ledger().items() if row["state"] == "done"}
    assert done == {"video0002", "video0003", "video0004"}
    assert stores.tombstone("video0002") in store.ledger()


def test_a_merge_that_was_killed_goes_on(store, other):
    other.commit([video(number) for number in range(600)])
    dying = Store(store.uri, Interposed(store.db).before("clips", "to_lance", killed, calls=4))
    with pytest.raises(KeyboardInterrupt):
        merge(dying, other, stores.run_id())
    assert 0 < len(store.ledger()) < 600
    merge(store, other, stores.run_id())
    assert contents(store, WITHOUT) == contents(other, WITHOUT)


def test_other_spaces_are_an_error_that_names_both(store, tmp_path):
    other = Store.create(str(tmp_path / "other"), {"clip/x": 8}, VOICES)
    with pytest.raises(StoreError, match=r"dlib/resnet-v1-128/crop1, there of clip/x"):
        merge(store, other, stores.run_id())
