"""Commit videos: name the data first, the ledger rows last, then remove the rows that were superseded.

The rows of clips, faces and voices are in fragments, written here or by workers (`stores.fragments`). A crash before
they are named leaves files, one before the ledger row is written leaves rows, and a crash after it leaves superseded
rows; no reader sees any of these. `sweep` deletes them; `stores.leases` says how it knows that nobody commits them
any more. Two runs may commit one video at once: each writes rows under its own run_id, the first to swap the ledger
row wins, and the other deletes its rows and adds only the names that it knew.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from lance.fragment import FragmentMetadata
from lancedb.db import DBConnection

from stores import fragments, ids, leases, ledger, rows
from stores.errors import StoreError
from stores.exclusion import without_deletion
from stores.fragments import Files, Written
from stores.leases import RunOverError
from stores.ledger import ledger_rows
from stores.processes import HERE, Clock
from stores.retry import retry
from stores.rows import Row, VideoRows
from stores.schema import KEYS, VIDEO_TABLES, Spaces
from stores.sql import quoted, rows_of

_IN_LIST = 1000  # ids to one SQL list; a count past 10,000 ids took 0.14 s, without them 0.02 s


_clean: set[tuple[str, str]] = set()  # (store, run): this process knows that the run left no rows uncommitted


def commit(
    db: DBConnection,
    spaces: Spaces,
    batch: Sequence[VideoRows],
    clock: Clock = HERE,
    filled: rows.Filled = rows.NO_COLUMNS,
) -> frozenset[str]:
    """Writes and commits a batch; returns the video_ids that the store then holds in this form, as `Store.commit`.

    `clock` tells when a lease has grown old; `filled` is that of `rows.tables_of`.
    """
    tables = rows.tables_of(batch, spaces, filled)

    def write(fresh: Mapping[str, str]) -> Files:
        found: dict[str, list[FragmentMetadata]] = {}
        for run in dict.fromkeys(fresh.values()):
            own = {video for video, of in fresh.items() if of == run}
            for name, written in fragments.write(db, run, _rows_of(tables, own)).items():
                found.setdefault(name, []).extend(written)
        return found

    return _commit(db, {row["video_id"]: row for row in tables["videos"].to_pylist()}, write, clock)


def commit_written(db: DBConnection, written: Written, clock: Clock = HERE) -> frozenset[str]:
    """Commits videos whose rows are in fragments; otherwise as `commit`.

    A video of a run is in the fragments of one such call only, however often the call is repeated.
    """
    return _commit(db, {row["video_id"]: row for row in written.videos}, lambda fresh: written.files, clock)


def _commit(
    db: DBConnection, given: Mapping[str, Row], write: Callable[[Mapping[str, str]], Files], clock: Clock
) -> frozenset[str]:
    with without_deletion(db, "commit"):
        # Read once: a repeated attempt must not replace what another run committed meanwhile.
        before = retry(db, "the ledger", lambda: ledger_rows(db, [*given, *map(ids.tombstone, given)]))
        new = {video: row for video, row in given.items() if ids.tombstone(video) not in before}
        writing = {(db.uri, row["run_id"]) for row in given.values()}
        clean = all(key in _clean or not _has_rows(db, key[1]) for key in writing)
        _clean.difference_update(writing)  # until this is done
        attempt = _Attempt(db, given, new, before, write, clock, clean)
        try:
            held = retry(db, "the commit", attempt)
        except RunOverError:
            retry(db, "the commit", lambda: take_back(db, {row["run_id"] for row in new.values()}))
            raise
        if clean:
            _clean.update(writing)
        return held


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

    These are rows that a run committed after a sweep had found it lost, see `stores.leases`. Without a ledger row,
    the next ingest reads the video again. Returns the number of ledger rows removed.
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


@dataclass
class _Attempt:
    """A try to commit videos, and again."""

    db: DBConnection
    given: Mapping[str, Row]  # video_id -> its ledger row
    new: Mapping[str, Row]  # the same without the videos that were deleted on request
    before: Mapping[str, Row]  # what the ledger had of them before the first try
    write: Callable[[Mapping[str, str]], Files]  # called once, with the video_id -> run_id of what is to be written
    clock: Clock
    clean: bool  # whether their runs have left no rows
    files: Files | None = None  # once written
    appended: bool = False

    def __call__(self) -> frozenset[str]:
        db, new, before = self.db, self.new, self.before
        writing = {row["run_id"] for row in new.values()}
        leases.hold(db, writing, self.clock)
        found = before if self.files is None else ledger_rows(db, new)
        fresh = {
            video: row["run_id"]
            for video, row in new.items()
            if _same_run(found.get(video), before.get(video)) and not _is_done(found.get(video), row)
        }
        if self.appended or not self.clean:
            remove(db, fresh)  # rows that an earlier try left behind
        if self.files is None:
            self.files = self.write(fresh)
        if fresh:
            self.appended = True
            fragments.append(db, self.files)
        leases.hold(db, writing, self.clock)

        def change(video: str, old: Row | None) -> Row | None:
            if video in fresh and _same_run(old, before.get(video)):
                return {**new[video], "uris": ledger.united(old, new[video]["uris"])}
            return ledger.named(old, new[video]["uris"])

        after = ledger.swap(db, new, change, found)
        leases.confirm(db, writing)
        held = frozenset(video for video, row in new.items() if _same_run(after.get(video), row))
        if not self.appended:
            fragments.discard(db, self.files)
            return held
        superseded = {video: before[video]["run_id"] for video in held & fresh.keys() if video in before}
        remove(db, superseded)
        remove(db, {video: row["run_id"] for video, row in self.given.items() if video not in held})
        return held


def _is_done(old: Row | None, new: Row) -> bool:
    """Whether the ledger already holds this row, or an equivalent one of another run with the same configuration."""
    if old is None or _same_run(old, new):
        return old is not None
    return old["config_hash"] == new["config_hash"] and old["state"] != "failed"


def _same_run(one: Row | None, other: Row | None) -> bool:
    return (one and one["run_id"]) == (other and other["run_id"])


def _rows_of(tables: Mapping[str, pa.Table], videos: set[str]) -> dict[str, pa.Table]:
    masks = {
        name: pa.array([video in videos for video in tables[name]["video_id"].to_pylist()], pa.bool_())
        for name in VIDEO_TABLES
    }
    return {name: tables[name].filter(mask) for name, mask in masks.items()}


def _has_rows(db: DBConnection, run: str) -> bool:
    """Returns whether there are rows of a run, which its earlier commits may have left behind."""
    return any(db.open_table(name).count_rows(f"run_id = {quoted(run)}") for name in VIDEO_TABLES)


def _counts(db: DBConnection, table: str, where: str) -> dict[str, int]:
    rows = db.open_table(table).search().where(where).select(["video_id"]).to_arrow()
    counts = rows.group_by("video_id").aggregate([([], "count_all")])
    return dict(zip(counts["video_id"].to_pylist(), counts["count_all"].to_pylist(), strict=True))


def _parts(mapping: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    items = list(mapping.items())
    for start in range(0, len(items), _IN_LIST):
        yield dict(items[start : start + _IN_LIST])
