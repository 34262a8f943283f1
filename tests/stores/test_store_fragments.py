"""Rows that one process writes and another commits: seen once, whole, and swept where nobody commits them."""

import pickle

import pytest

from stores import Store, run_id
from stores.fragments import unite, unnamed
from stores.maintenance.check import check
from stores.maintenance.compact import compact, sweep
from tests.support.interposed import Interposed, killed
from tests.support.store_world import FACES, LATER, RUN, VOICES, contents, video

TABLES = ("clips", "faces", "voices")


def _write(uri: str, numbers: list[int], run: str):
    return Store.open(uri).write([video(number, run) for number in numbers])


def _files(store: Store) -> int:
    return sum(len(files) for table in TABLES for files in unnamed(store.db, table).values())


def _rows_on_disk(store: Store) -> list[int]:
    return [store.db.open_table(table).count_rows() for table in TABLES]


def test_what_workers_write_is_what_a_commit_writes(store, tmp_path):
    sent = [pickle.dumps(_write(store.uri, numbers, RUN)) for numbers in ([1, 2], [3])]
    assert store.ledger() == {}
    assert _rows_on_disk(store) == [0, 0, 0]
    assert not any(row["image"] in one for row in video(1).faces for one in sent)
    assert store.commit_written(unite([pickle.loads(one) for one in sent])) == {"video0001", "video0002", "video0003"}
    whole = Store.create(str(tmp_path / "whole"), FACES, VOICES)
    whole.commit([video(number) for number in (1, 2, 3)])
    assert contents(store, ("created_at",)) == contents(whole, ("created_at",))
    assert check(store, {}).problems == []


@pytest.mark.parametrize(
    "moment", [("clips", "to_lance"), ("voices", "to_lance"), ("videos", "merge_insert"), ("runs", "search", 2)]
)
def test_a_commit_that_is_repeated_after_a_failure_names_each_row_once(store, moment):
    """The connection is lost in the middle; the same call goes on by itself."""

    def lose() -> None:
        raise ConnectionError("connection reset by peer")

    written = _write(store.uri, [1, 2], RUN)
    torn = Store(store.uri, Interposed(store.db).before(moment[0], moment[1], lose, *moment[2:]))
    assert torn.commit_written(written) == {"video0001", "video0002"}
    assert _rows_on_disk(store) == [4, 8, 4]
    assert check(store, {}).problems == []


def test_videos_that_another_run_committed_first_are_taken_back_and_the_others_stay(store):
    written = _write(store.uri, [1, 2, 3], RUN)
    store.commit([video(2, LATER)])
    assert store.commit_written(written) == {"video0001", "video0003"}
    assert store.ledger()["video0002"]["run_id"] == LATER
    assert _rows_on_disk(store) == [6, 12, 6]
    late = _write(store.uri, [1, 3], LATER)
    assert store.commit_written(late) == set()
    assert _files(store) == 0  # nothing was named, so the files are gone at once
    assert check(store, {}).problems == []


def test_a_job_that_was_killed_before_its_commit_leaves_files_that_are_told_and_swept(store):
    with store.run({"job": "ingest"}, {}) as alive:
        with store.run({"job": "ingest"}, {}) as over:
            store.commit([video(1, over.run_id)])
            _write(store.uri, [2], over.run_id)
            torn = Store(store.uri, Interposed(store.db).before("faces", "to_lance", killed))
            with pytest.raises(KeyboardInterrupt):
                torn.commit_written(_write(store.uri, [3], over.run_id))
        waiting = _write(store.uri, [4], alive.run_id)
        before = contents(store)
        (told, *others) = [problem for problem in check(store, {}).problems if problem.kind == "unnamed"]
        assert (told.count, len(others)) == (2, 2)
        assert _files(store) == 3 + 2 + 3
        assert sweep(store) == 2  # the clips of video 3
        assert _files(store) == 3 + 1  # those of video 3 are in an older version
        assert contents(store) == before
        assert store.commit_written(waiting) == {"video0004"}
    assert check(store, {}).problems == []


def test_files_that_only_an_older_version_names_are_not_swept(store):
    with store.run({"job": "ingest"}, {}) as over:
        for number in (1, 2):
            store.commit([video(number, over.run_id)])
        _write(store.uri, [3], over.run_id)
    store.tag("old")
    before = contents(store)
    compact(store)
    assert _files(store) == 3 * 2 + 3
    sweep(store)
    assert _files(store) == 3 * 2
    assert contents(store) == before
    assert len(store.query("faces", ["image"]).to_pylist()) == 8
    assert store.snapshot("old").query("faces", ["face_id", "image"]).num_rows == 8


def test_files_of_a_run_that_may_only_sleep_stay(store):
    """Its lease ran out, and it may wake up between its last look and its commit."""
    from tests.stores.test_store_runs import _lose, _run_elsewhere

    run = _run_elsewhere(store)
    _write(store.uri, [1], run)
    _lose(store, run)
    assert _files(store) == 3
    sweep(store)
    assert _files(store) == 3


def test_a_fragment_of_a_run_that_never_was_is_swept_by_nobody(store):
    _write(store.uri, [1], run_id())
    assert sweep(store, older_than_s=0) == 0
    assert _files(store) == 3
