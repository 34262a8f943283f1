"""Columns that a function fills: in one commit, later rows afterwards, and whatever else is done to the store."""

import re

import pyarrow as pa
import pytest

from stores import Store, StoreError
from stores.maintenance.backfill import KEY
from stores.maintenance.check import check
from stores.maintenance.columns import REASON, ColumnFill
from stores.maintenance.compact import compact
from stores.maintenance.merge import merge
from tests.support.store_world import FACES, LATER, VOICES, contents, video

COLUMNS = {"loudness_db": float, "words": str}


def _fill(store, version="1", rows=None, again=False, factor=1.0):
    """Fills the columns of every third row with null and of the others with what follows from their ids."""
    fill = ColumnFill(store, "voices", COLUMNS, "python:mine:Loudness", version, again)
    todo = fill.todo()
    keys = todo.keys[:rows]
    fill.add_rows(
        pa.table(
            {
                KEY: keys,
                "loudness_db": pa.array([_loudness(key, factor) for key in keys], pa.float32()),
                "words": pa.array([None if _loudness(key) is None else key.partition("@")[0] for key in keys]),
                REASON: pa.array(["internal error" if _loudness(key) is None else None for key in keys], pa.string()),
            }
        )
    )
    return fill.outcome(), fill.finish(), len(todo.keys)


def _loudness(key, factor=1.0):
    number = int(key[:6], 16) % 9
    return None if number < 3 else -factor * number


def _values(store):
    rows = store.query("voices", ["voice_id", *COLUMNS]).to_pylist()
    return {row["voice_id"]: (row["loudness_db"], row["words"]) for row in rows}


def _expected(ids, factor=1.0):
    return {id: (_loudness(id, factor), None if _loudness(id) is None else id) for id in ids}


def test_rows_that_are_added_twice_count_once(store):
    store.commit([video(1)])
    fill = ColumnFill(store, "voices", {"words": str}, "python:mine:Words", "1")
    keys = fill.todo().keys
    rows = pa.table({KEY: keys, "words": keys, REASON: pa.nulls(len(keys), pa.string())})
    for _ in range(2):  # as after a write whose answer was lost
        fill.add_rows(rows)
    assert fill.outcome().filled == len(keys)
    assert fill.finish()


def test_later_rows_are_null_until_they_are_filled_and_a_new_version_fills_all(store):
    store.commit([video(number) for number in range(6)])
    before = contents(store)
    assert not _fill(store, rows=5)[1]
    assert contents(store) == before  # five values are no column
    outcome, finished, done = _fill(store)
    first = _values(store)
    assert finished
    assert done == len(first) - 5
    assert first == _expected(first)
    assert outcome.filled + outcome.failed == len(first)
    assert [failure.reason for failure in outcome.failures] == ["internal error"]

    store.commit([video(20), video(1, LATER, "b")])
    later = _values(store)
    new = set(later) - set(first)
    assert new
    assert all(later[id] == (None, None) for id in new)
    nulls = sum(values == (None, None) for values in later.values())
    assert nulls > len(new)
    assert _fill(store)[2] == nulls  # those on which the function failed are tried again
    assert _values(store) == _expected(later)
    compact(store)
    assert check(store, {}).problems == []
    assert _values(store) == _expected(later)
    assert set(store.db.list_tables().tables) == set(store.info()["rows"])

    assert not _fill(store, "2", rows=3, factor=2)[1]
    assert _values(store) == _expected(later)
    assert _fill(store, "2", factor=2)[2] == len(later) - 3
    assert _values(store) == _expected(later, 2)
    assert _fill(store, "2", factor=3, again=True)[2] == len(later)
    assert _values(store) == _expected(later, 3)


def test_every_version_of_the_table_has_all_values_of_one_job_or_none(store):
    store.commit([video(number) for number in range(3)])
    store.commit([video(number) for number in range(3, 6)])
    _fill(store)
    one, first = _values(store), store.db.open_table("voices").version
    _fill(store, "2", factor=2)
    two, table = _values(store), store.db.open_table("voices")
    for version in range(first, table.version + 1):
        table.checkout(version)
        rows = table.search().select(["voice_id", *COLUMNS]).to_arrow().to_pylist()
        assert {row["voice_id"]: (row["loudness_db"], row["words"]) for row in rows} in (one, two), version


def test_a_merge_takes_values_of_the_same_version_and_leaves_others(new_uri):
    here, there = (Store.create(new_uri(), FACES, VOICES) for _ in range(2))
    here.commit([video(1)])
    there.commit([video(2)])
    _fill(there)
    with here.run({}, {}) as run:
        done = merge(here, there, run.run_id)
    assert (done.null, done.left) == ([], [])
    values, theirs = _values(here), _values(there)
    assert {id: values[id] for id in theirs} == theirs
    assert all(values[id] == (None, None) for id in values.keys() - theirs)
    assert _fill(here)[1]
    there.commit([video(3)])
    _fill(there, "2", factor=2)
    with here.run({}, {}) as run:
        done = merge(here, there, run.run_id)
    assert done.null == done.left == ["voices.loudness_db", "voices.words"]
    new = {row["voice_id"] for row in there.query("voices", ["voice_id"], "video_id = 'video0003'").to_pylist()}
    assert all(_values(here)[id] == (None, None) for id in new)


@pytest.mark.parametrize(
    ("columns", "function", "message"),
    [
        ({"snr_db": float}, "f", "the store's own column has this name"),
        ({"vector_x": float}, "f", "the store's own column has this name"),
        ({"Loud dB": float}, "f", "expected a name of lower-case letters"),
        ({"loud": list}, "f", "of type list, expected one of float, int, bool, str"),
        ({}, "f", "it names no column"),
        ({"loudness_db": str}, "python:mine:Loudness", "is of type float, python:mine:Loudness gives string"),
        ({"loudness_db": float}, "other", "was filled by python:mine:Loudness, not by other; give --again"),
    ],
)
def test_a_column_that_cannot_be_is_refused(store, columns, function, message):
    store.commit([video(1)])
    _fill(store)
    before = contents(store)
    with pytest.raises(StoreError, match=re.escape(message)):
        ColumnFill(store, "voices", columns, function, "1")
    assert contents(store) == before
