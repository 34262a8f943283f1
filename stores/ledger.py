"""Rows of the ledger, read and swapped: a writer must have read the row that it replaces.

Every write raises a row's `revision` by one and only replaces the revision just below. When another writer came
first, LanceDB repeats a merge on the newest version, and then this condition decides.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from lancedb.db import DBConnection
from lancedb.merge import LanceMergeInsertBuilder
from lancedb.table import Table

from stores import ids
from stores.rows import Row
from stores.sql import quoted

_IN_LIST = 10_000  # ids; 8,000 are looked up among a million in 0.06 s, and their rows are read in 0.08 s

# (video_id, its present row) -> the row to write instead, or None to leave it.
Change = Callable[[str, Row | None], Row | None]


def ledger_rows(db: DBConnection, video_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Returns video_id -> whole ledger row, for the committed ones of these videos."""
    table, found = db.open_table("videos"), {}
    wanted, places = list(dict.fromkeys(video_ids)), []
    for start in range(0, len(wanted), _IN_LIST):
        where = f"video_id IN ({', '.join(map(quoted, wanted[start : start + _IN_LIST]))})"
        keys = table.to_lance().to_table(columns=["video_id"], filter=where, with_row_id=True)
        places += keys["_rowid"].to_pylist()
    if places:
        found = {row["video_id"]: row for row in table.take_row_ids(places).to_arrow().to_pylist()}
    return found


def deleted(db: DBConnection, video_ids: Iterable[str]) -> set[str]:
    """Returns the videos among these that were deleted on request and may not come back."""
    by_tombstone = {ids.tombstone(video): video for video in video_ids}
    return {by_tombstone[name] for name in ledger_rows(db, by_tombstone)}


def swap(
    db: DBConnection, video_ids: Iterable[str], change: Change, known: Mapping[str, Row] | None = None
) -> dict[str, Row]:
    """Replaces ledger rows by the results of `change`, as if nobody else wrote meanwhile; returns the present rows.

    Where somebody did, `change` is called again with the new row. A row that was deleted meanwhile stays deleted.
    New rows and replaced rows are two versions of the table.

    Args:
        db: the store.
        video_ids: the rows to change.
        change: gives the new row for the present one.
        known: the rows as they were a moment ago, which spares a reading.
    """
    table, pending, done = db.open_table("videos"), list(video_ids), {}
    found, first = ledger_rows(db, pending) if known is None else known, True
    while pending:
        present = pending if first else [video for video in pending if video in found]
        changed = {video: row for video in present if (row := change(video, found.get(video))) is not None}
        done |= {video: changed.get(video, found.get(video)) for video in present}
        # One merge for both would insert again a row that is deleted between the reading and the merge.
        new = [{**row, "revision": 1} for video, row in changed.items() if video not in found]
        replaced = [
            {**row, "revision": found[video]["revision"] + 1} for video, row in changed.items() if video in found
        ]
        landed = _written(table, table.merge_insert("video_id").when_not_matched_insert_all(), new)
        condition = "target.revision + 1 = source.revision"
        updating = table.merge_insert("video_id").when_matched_update_all(where=condition)
        landed += _written(table, updating, replaced)
        pending, first = ([] if landed == len(changed) else list(changed)), False
        if pending:
            done = {video: row for video, row in done.items() if video not in changed}
            found = ledger_rows(db, pending)
    return {video: row for video, row in done.items() if row is not None}


def _written(table: Table, merging: LanceMergeInsertBuilder, rows: list[dict[str, Any]]) -> int:
    """Merges rows and returns how many were written."""
    if not rows:
        return 0
    done = merging.execute(pa.Table.from_pylist(rows, schema=table.schema))
    return done.num_inserted_rows + done.num_updated_rows


def delete(db: DBConnection, video_id: str, run_id: str) -> None:
    """Deletes a video's row, unless another run has replaced it meanwhile."""
    db.open_table("videos").delete(f"video_id = {quoted(video_id)} AND run_id = {quoted(run_id)}")


def named(old: Row | None, uris: Sequence[Row]) -> Row | None:
    """Returns the row with these names added; None if it has them all, or if there is no row."""
    if old is None or (names := united(old, uris)) == list(old["uris"] or ()):
        return None
    return {**old, "uris": names}


def united(old: Row | None, new: Sequence[Row]) -> list[Row]:
    """Returns the row's names and the new ones; the newer size and time of a name replace the older ones."""
    both = [*((old or {}).get("uris") or ()), *new]
    return list({entry["uri"]: entry for entry in both}.values())
