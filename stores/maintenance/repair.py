"""Mends what `check` found: rows that nobody can use go, and the ledger counts those that are left."""

from lancedb.db import DBConnection

from stores import ledger
from stores.errors import StoreError
from stores.maintenance import compact, erase
from stores.maintenance.check import Report, recounted
from stores.retry import retry
from stores.rows import Row
from stores.schema import TABLES
from stores.snapshot import Snapshot

_AT_ONCE = 1000


def repair(db: DBConnection, report: Report, sweep_older_than_s: float) -> dict[str, int]:
    """Returns how many rows each table lost; `uncommitted`: of crashed commits; `ledger`: ledger rows set right.

    Raises:
        StoreError: the store is another than the one that was checked, or a job is writing.
    """
    erase.check_alone(db, "repair")
    if Snapshot(db).version != report.version:
        raise StoreError("repair: the store has changed since it was checked; check it again when nobody writes")
    lost: dict[str, int] = {}
    for table in {problem.table: None for problem in report.problems}:
        rows = sorted({row for problem in report.problems if problem.table == table for row in problem.rows})
        for start in range(0, len(rows), _AT_ONCE):
            where = f"_rowid IN ({', '.join(map(str, rows[start : start + _AT_ONCE]))})"
            retry(table, lambda table=table, where=where: db.open_table(table).to_lance().delete(where))
        lost[table] = len(rows)
    lost["uncommitted"] = compact.sweep(db, sweep_older_than_s)
    lost["ledger"] = _recount(db)
    return {name: count for name, count in lost.items() if count}


def _recount(db: DBConnection) -> int:
    """Sets the ledger's counts; a video without a clip leaves it, so that it is done again."""
    wrong = {row["video_id"]: row for row in recounted({name: db.open_table(name).to_lance() for name in TABLES})}
    empty = [video for video, row in wrong.items() if not row["n_clips"]]

    def change(video: str, old: Row | None) -> Row | None:
        return {**old, **wrong[video]} if old and old["run_id"] == wrong[video]["run_id"] else None

    ledger.swap(db, [video for video in wrong if video not in empty], change)
    for video in empty:
        run = wrong[video]["run_id"]
        retry("the ledger", lambda video=video, run=run: ledger.delete(db, video, run))
    return len(wrong)
