"""Commit videos: write the data first, the ledger last, then remove the rows that were superseded.

A crash before the ledger row is written leaves rows that no reader sees; a crash after it leaves superseded rows that
no reader sees. `sweep` deletes both; `stores.runs` says how it knows that nobody commits them any more. Two runs may
commit one video at once: each writes rows under its own run_id, the first to swap the ledger row wins, and the other
deletes its rows and adds only the names that it knew.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from lancedb.db import DBConnection

from stores import ledger, rows, runs
from stores.errors import StoreError
from stores.ledger import ledger_rows
from stores.retry import retry
from stores.rows import Row, VideoRows
from stores.runs import HERE, Clock, RunOverError, without_deletion
from stores.schema import KEYS, VIDEO_TABLES, Spaces
from stores.sql import quoted, rows_of

_IN_LIST = 1000  # ids to one SQL list; a count past 10,000 ids took 0.14 s, without them 0.02 s


def commit(db: DBConnection, spaces: Spaces, batch: Sequence[VideoRows], clock: Clock = HERE) -> frozenset[str]:
    """Commits a batch and returns the video_ids that the store now holds in this form, as `Store.commit` does.

    `clock` tells when a lease has grown old.
    """
    tables = rows.tables_of(batch, spaces)
    new = {row["video_id"]: row for row in tables["videos"].to_pylist()}
    with without_deletion(db, "commit"):
        for video in retry(db, "the ledger", lambda: ledger.deleted(db, new)):
            del new[video]
        # Read once: a repeated attempt must not replace what another run committed meanwhile.
        before = retry(db, "the ledger", lambda: ledger_rows(db, new))
        try:
            return retry(db, "the commit", lambda: _attempt(db, tables, new, before, clock))
        except RunOverError:
            retry(db, "the commit", lambda: take_back(db, {row["run_id"] for row in new.values()}))
            raise


def remove(db: DBConnection, written: Mapping[str, str]) -> int:
    """Deletes the clips, faces and voices of these video_ids -> run_id; returns the number of rows deleted."""
    removed = 0
    for part in _parts(written):
        by_run: dict[str, list[str]] = {}
        for video, run in part.items():
            by_run.setdefault(run, []).append(video)
        where = rows_of(by_run)
        for name in VIDEO_TABLES:
            table = db.open_table(name)
            # Deleting nothing would still write a version.
            if found := table.count_rows(where):
                table.delete(where)
                removed += found
    return removed


def take_back(db: DBConnection, run_ids: Iterable[str]) -> int:
    """Removes the ledger rows of runs whose clips, faces or voices are missing, with what is left of them.

    These are rows that a run committed after a sweep had found it lost, see `stores.runs`. Without a ledger row, the
    next ingest reads the video again. Returns the number of ledger rows removed.
    """
    taken = 0
    for run in sorted(run_ids):
        columns = ["video_id", *(f"n_{table}" for table in VIDEO_TABLES)]
        where = f"run_id = {quoted(run)}"
        named = db.open_table("videos").search().where(where).select(columns).to_arrow().to_pylist()
        if not named:
            continue
        stored = {table: _counts(db, table, where) for table in VIDEO_TABLES}
        for row in named:
            video = row["video_id"]
            if any(stored[table].get(video, 0) < row[f"n_{table}"] for table in VIDEO_TABLES):
                ledger.delete(db, video, run)
                remove(db, {video: run})
                taken += 1
    return taken


def add_uris(db: DBConnection, names: Mapping[str, Iterable[str | Row]]) -> None:
    """Records further names of committed videos, as `Store.add_uris` does."""
    entries = {video: [rows.uri_row(uri) for uri in uris] for video, uris in names.items()}

    def add() -> None:
        found = ledger_rows(db, entries)
        if missing := [video for video in entries if video not in found]:
            raise StoreError(f"videos: no video '{missing[0]}'; commit it first")
        ledger.swap(db, entries, lambda video, old: ledger.named(old, entries[video]))

    with without_deletion(db, "names of videos"):
        retry(db, "the names", add)


def delete_video(db: DBConnection, video_id: str) -> bool:
    """Deletes a video, its ledger row first so that no reader sees half of it; returns whether it existed."""
    found = ledger_rows(db, [video_id])
    if not found:
        return False
    run = found[video_id]["run_id"]
    with without_deletion(db, "delete_video"):
        retry(db, "the deletion", lambda: ledger.delete(db, video_id, run))
        retry(db, "the deletion", lambda: remove(db, {video_id: run}))
    return True


def upsert(db: DBConnection, table: str, data: pa.Table) -> None:
    """Inserts the rows, or replaces those with the same id."""
    with without_deletion(db, table):
        merging = (
            db.open_table(table).merge_insert(KEYS[table]).when_matched_update_all().when_not_matched_insert_all()
        )
        retry(db, table, lambda: merging.execute(data))


def _attempt(
    db: DBConnection,
    tables: Mapping[str, pa.Table],
    new: Mapping[str, Row],
    before: Mapping[str, Row],
    clock: Clock,
) -> frozenset[str]:
    if not new:
        return frozenset()
    writing = {row["run_id"] for row in new.values()}
    runs.hold(db, writing, clock)
    found = ledger_rows(db, new)
    fresh = {
        video: row["run_id"]
        for video, row in new.items()
        if _same_run(found.get(video), before.get(video)) and not _is_done(found.get(video), row)
    }
    remove(db, fresh)  # rows that an earlier attempt of the same run left behind
    _write_rows(db, tables, fresh)
    runs.hold(db, writing, clock)

    def change(video: str, old: Row | None) -> Row | None:
        if video in fresh and _same_run(old, before.get(video)):
            return {**new[video], "uris": ledger.united(old, new[video]["uris"])}
        return ledger.named(old, new[video]["uris"])

    ledger.swap(db, new, change)
    runs.confirm(db, writing)
    after = ledger_rows(db, new)
    held = frozenset(video for video, row in new.items() if _same_run(after.get(video), row))
    superseded = {video: before[video]["run_id"] for video in held & fresh.keys() if video in before}
    remove(db, superseded | {video: run for video, run in fresh.items() if video not in held})
    return held


def _is_done(old: Row | None, new: Row) -> bool:
    """Whether the ledger already holds this row, or an equivalent one of another run with the same configuration."""
    if old is None or _same_run(old, new):
        return old is not None
    return old["config_hash"] == new["config_hash"] and old["state"] != "failed"


def _same_run(one: Row | None, other: Row | None) -> bool:
    return (one and one["run_id"]) == (other and other["run_id"])


def _write_rows(db: DBConnection, tables: Mapping[str, pa.Table], fresh: Mapping[str, str]) -> None:
    for name in VIDEO_TABLES:
        mask = pa.array([video in fresh for video in tables[name]["video_id"].to_pylist()], pa.bool_())
        if (data := tables[name].filter(mask)).num_rows:
            db.open_table(name).add(data)


def _counts(db: DBConnection, table: str, where: str) -> dict[str, int]:
    rows = db.open_table(table).search().where(where).select(["video_id"]).to_arrow()
    counts = rows.group_by("video_id").aggregate([([], "count_all")])
    return dict(zip(counts["video_id"].to_pylist(), counts["count_all"].to_pylist(), strict=True))


def _parts(mapping: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    items = list(mapping.items())
    for start in range(0, len(items), _IN_LIST):
        yield dict(items[start : start + _IN_LIST])
