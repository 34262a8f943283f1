"""Two jobs on one store at the same moment, each step of which the tests choose."""

import threading
from dataclasses import replace

import pytest

from stores import Store
from tests.support.interposed import Interposed
from tests.support.store_world import FACES, LATER, RUN, VOICES, contents, video


def _meanwhile(store: Store, act) -> Store:
    """The store as a job sees it in which another job does `act` just before the next swap of ledger rows.

    The data are written already, and the ledger was read.
    """
    return Store(store.uri, Interposed(store.db).before("videos", "merge_insert", act))


def _rows_on_disk(store: Store) -> dict[str, int]:
    return {table: store.db.open_table(table).count_rows() for table in ("clips", "faces", "voices")}


@pytest.mark.parametrize("config", ["a", "b"], ids=["alike", "otherwise configured"])
def test_the_first_of_two_that_commit_a_video_wins_and_the_other_takes_its_rows_back(store, config):
    other = Store.open(store.uri)
    mine = [video(1, RUN, "a"), video(2, RUN, "a")]
    yours = [video(1, LATER, config, clips=1), video(3, LATER, config)]
    assert _meanwhile(store, lambda: other.commit(yours)).commit(mine) == {"video0002"}
    assert {key: row["run_id"] for key, row in store.ledger().items()} == {
        "video0001": LATER, "video0002": RUN, "video0003": LATER,
    }  # fmt: skip
    assert store.count("clips", "video_id = 'video0001'") == 1
    assert _rows_on_disk(store) == {"clips": 5, "faces": 10, "voices": 5}  # what readers see, and no more


def test_replacing_at_once_replaces_once(store):
    """Both found the same old rows; the one that comes second leaves those of the first alone."""
    old = "20250101T000000000000-0000000a"
    store.commit([video(1, old, "a")])
    mine = _meanwhile(store, lambda: store.commit([video(1, LATER, "b")]))
    assert mine.commit([video(1, RUN, "c")]) == set()
    assert store.ledger()["video0001"]["config_hash"] == "b"
    assert _rows_on_disk(store) == {"clips": 2, "faces": 4, "voices": 2}


def test_what_another_run_has_done_alike_is_not_written_again(store):
    store.commit([video(1, RUN)])
    version = store.version()
    assert store.commit([video(1, LATER)]) == set()
    assert store.version() == version


def test_a_failed_video_is_done_again_under_the_same_configuration(store):
    done = video(1, LATER)
    bad = video(1, RUN, clips=0)
    store.commit([replace(bad, video={**bad.video, "state": "failed", "reason": "the worker died"})])
    assert store.commit([done]) == {"video0001"}
    assert store.ledger()["video0001"]["state"] == "done"


def test_names_that_two_add_at_once_are_both_kept(store):
    store.commit([video(1), video(2)])
    mine = _meanwhile(store, lambda: store.add_uris({"video0001": ["/theirs.mp4"]}))
    mine.add_uris({"video0001": ["/mine.mp4"], "video0002": ["/mine2.mp4", "/mine3.mp4"]})
    names = {key: {entry["uri"] for entry in row["uris"]} for key, row in store.ledger().items()}
    assert names["video0001"] == {"/data/video0001.mp4", "/theirs.mp4", "/mine.mp4"}
    assert names["video0002"] == {"/data/video0002.mp4", "/mine2.mp4", "/mine3.mp4"}


def test_a_deleted_video_does_not_come_back_with_its_names(store):
    store.commit([video(1), video(2)])
    mine = _meanwhile(store, lambda: store.delete_video("video0001"))
    mine.add_uris({"video0001": ["/x.mp4"], "video0002": ["/y.mp4"]})
    assert set(store.ledger()) == {"video0002"}


def test_deleting_spares_what_another_run_has_just_put_there(store):
    store.commit([video(1, RUN, "a")])
    late = Interposed(store.db).before("videos", "delete", lambda: store.commit([video(1, LATER, "b")]))
    Store(store.uri, late).delete_video("video0001")
    assert store.ledger()["video0001"]["run_id"] == LATER
    assert store.count("clips") == 2


def test_two_jobs_may_create_one_store(tmp_path):
    uri, made, ready = str(tmp_path / "store"), [], threading.Barrier(4)

    def make(number: int) -> None:
        ready.wait()
        store = Store.create(uri, FACES, VOICES, exist_ok=True)
        store.commit([video(number)])
        made.append(number)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [0, 1, 2, 3]
    assert len(contents(Store.open(uri))["videos"]) == 4
