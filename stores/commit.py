"""Writing: data first, the ledger last, then the removal of what was superseded.

A crash before the ledger row leaves rows that no reader sees; a crash after it leaves superseded rows that no reader
sees. Both go with `sweep`, or with the next commit of the same run and video. Leftovers of other runs stay until
their run is old: they may be those of a job that is just about to write its ledger rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from lancedb.db import DBConnection
from lancedb.table import Table

from stores import rows
from stores.errors import StoreError
from stores.rows import Row, VideoRows
from stores.schemas import KEYS, VOUCHED, Spaces
from stores.snapshot import quoted, rows_of

_IN_LIST = 1000  # ids to one SQL list; a count past 10,000 ids took 0.14 s, without them 0.02 s


def commit(db: DBConnection, spaces: Spaces, batch: Sequence[VideoRows]) -> int:
    """Writes the videos of a batch and returns how many were new or replaced; as `Store.commit` says."""
    tables = rows.tables_of(batch, spaces)
    before = ledger_rows(db, [item.video["video_id"] for item in batch])
    runs = {item.video["video_id"]: item.video["run_id"] for item in batch}
    fresh = {video: run for video, run in runs.items() if before.get(video, {}).get("run_id") != run}
    superseded = {video: before[video]["run_id"] for video in fresh if video in before}

    remove(db, fresh)  # what an earlier attempt of this very run left behind
    _write_rows(db, tables, fresh)
    _write_ledger(db, tables["videos"], before)
    remove(db, superseded)
    return len(fresh)


def remove(db: DBConnection, runs: Mapping[str, str]) -> int:
    """Deletes the clips, faces and voices of these video_ids -> run_id and returns how many rows that were."""
    removed = 0
    for part in _parts(runs):
        by_run: dict[str, list[str]] = {}
        for video, run in part.items():
            by_run.setdefault(run, []).append(video)
        where = rows_of(by_run)
        for name in VOUCHED:
            table = db.open_table(name)
            # Deleting nothing would still write a version.
            if found := table.count_rows(where):
                table.delete(where)
                removed += found
    return removed


def add_uri(db: DBConnection, video_id: str, uri: str | Row) -> None:
    """Records another name of a committed video; as `Store.add_uri` says."""
    found = ledger_rows(db, [video_id])
    if not found:
        raise StoreError(f"videos: no video '{video_id}'; commit it first")
    row = found[video_id] | {"uris": _united(found[video_id]["uris"], [rows.uri_row(uri)])}
    table = db.open_table("videos")
    merge(table, pa.Table.from_pylist([row], schema=table.schema))


def delete_video(db: DBConnection, video_id: str) -> bool:
    """Deletes a video, the ledger row first so that no reader sees half of it; returns whether it was there."""
    found = ledger_rows(db, [video_id])
    if not found:
        return False
    db.open_table("videos").delete(f"video_id = {quoted(video_id)}")
    remove(db, {video_id: found[video_id]["run_id"]})
    return True


def merge(table: Table, data: pa.Table) -> None:
    """Inserts the rows, or replaces those with the same id."""
    key = KEYS[table.name]
    table.merge_insert(key).when_matched_update_all().when_not_matched_insert_all().execute(data)


def ledger_rows(db: DBConnection, video_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Returns video_id -> whole ledger row of those that are committed."""
    table, found = db.open_table("videos"), {}
    for part in _parts(dict.fromkeys(video_ids)):
        where = f"video_id IN ({', '.join(map(quoted, part))})"
        found |= {row["video_id"]: row for row in table.search().where(where).to_arrow().to_pylist()}
    return found


def _write_rows(db: DBConnection, tables: Mapping[str, pa.Table], fresh: Mapping[str, str]) -> None:
    for name in VOUCHED:
        mask = pa.array([video in fresh for video in tables[name]["video_id"].to_pylist()], pa.bool_())
        if (data := tables[name].filter(mask)).num_rows:
            db.open_table(name).add(data)


def _write_ledger(db: DBConnection, data: pa.Table, before: Mapping[str, Row]) -> None:
    written = []
    for row in data.to_pylist():
        old = before.get(row["video_id"], {})
        uris = _united(old.get("uris") or [], row["uris"])
        # A repeated commit changes nothing but adds names.
        written.append((old if old.get("run_id") == row["run_id"] else row) | {"uris": uris})
    if written:
        merge(db.open_table("videos"), pa.Table.from_pylist(written, schema=data.schema))


def _united(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    # By name; the newer size and time count.
    return list(({entry["uri"]: entry for entry in old} | {entry["uri"]: entry for entry in new}).values())


def _parts(mapping: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    items = list(mapping.items())
    for start in range(0, len(items), _IN_LIST):
        yield dict(items[start : start + _IN_LIST])
