"""Runs: the jobs that write, their commands and configurations, and which of them are still alive.

A run holds a lease that it renews. Uncommitted rows are swept only when the lease of their run has expired, and then
the run is marked as finished first, so that it cannot commit them afterwards.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from lancedb.db import DBConnection

from stores import ids, rows
from stores.errors import StoreError, StoreUnavailable
from stores.retry import TryAgainError, retry
from stores.sql import quoted

LEASE_S = 900.0  # a run that has not renewed its lease for this long is finished
RENEW_S = LEASE_S / 15
LOST = "lost: its lease ran out"


@dataclass
class Run:
    """A job that writes. Set `summary` before it ends."""

    run_id: str
    summary: dict[str, Any] = field(default_factory=dict)


@contextmanager
def running(
    db: DBConnection, command: Mapping[str, Any], config: Mapping[str, Any], renew_s: float = RENEW_S
) -> Iterator[Run]:
    """Records a run and renews its lease every `renew_s` seconds until the block ends, as `Store.run` does."""
    run, now, over = Run(ids.run_id()), datetime.now(UTC), threading.Event()
    row = {"run_id": run.run_id, "command": command, "config": config, "summary": {}}
    row |= {"started_at": now, "heartbeat_at": now, "finished_at": None}
    retry(db, "the run", lambda: _insert(db, row))
    heart = threading.Thread(target=_beat, args=(db, run.run_id, over, renew_s), daemon=True, name="lease")
    heart.start()
    try:
        yield run
        _finish(db, run)
    except StoreUnavailable:
        raise  # the end of the run cannot be written either; its lease expires
    except BaseException as error:
        run.summary = run.summary | {"ended_by": f"{type(error).__name__}: {error}".splitlines()[0]}
        _finish(db, run)
        raise
    finally:
        over.set()


@dataclass(frozen=True)
class Lease:
    """A promise to a commit: nobody sweeps its rows before `until`."""

    until: datetime

    def check(self) -> None:
        """Raises TryAgainError, upon which `retry` repeats the commit, if the time is up."""
        if datetime.now(UTC) > self.until:
            raise TryAgainError("writing took longer than the run's lease")


def lease(db: DBConnection, run_ids: set[str]) -> Lease:
    """Returns the lease of runs that are about to write; renews it where a quarter has passed.

    Raises:
        StoreError: one of them is finished, or its lease expired and its rows were swept.
    """
    now = datetime.now(UTC)
    for run in run_ids:
        for row in _rows(db, f"run_id = {quoted(run)}"):
            if row["finished_at"] is not None:
                raise StoreError(f"run {run}: is over ({_ended(row)}), so it may not write; run the job again")
            if now - row["heartbeat_at"] > timedelta(seconds=LEASE_S / 4):
                renew(db, run)
    return Lease(now + timedelta(seconds=LEASE_S / 2))


def renew(db: DBConnection, run_id: str) -> None:
    """Renews the lease of a run."""
    where = f"run_id = {quoted(run_id)} AND finished_at IS NULL"
    db.open_table("runs").update(where=where, values={"heartbeat_at": datetime.now(UTC)})


def over(db: DBConnection, run_ids: set[str], unknown_after_s: float) -> set[str]:
    """Returns the finished runs among these, after marking those whose lease has expired.

    A run without a row in `runs` (a script's) counts as finished `unknown_after_s` after it began.
    """
    now, found = datetime.now(UTC), {row["run_id"]: row for row in _rows(db)}
    limit, unknown_limit = now - timedelta(seconds=LEASE_S), now - timedelta(seconds=unknown_after_s)
    for run, row in found.items():
        if row["finished_at"] is None and row["heartbeat_at"] < limit:
            _mark_lost(db, run, limit)
    ended = {row["run_id"] for row in _rows(db, "finished_at IS NOT NULL")}
    return {run for run in run_ids if run in ended or (run not in found and ids.run_time(run) < unknown_limit)}


def alive(db: DBConnection) -> dict[str, float]:
    """Returns run_id -> seconds since its last heartbeat, for the runs that are alive."""
    now = datetime.now(UTC)
    ages = {row["run_id"]: (now - row["heartbeat_at"]).total_seconds() for row in _rows(db, "finished_at IS NULL")}
    return {run: age for run, age in ages.items() if age < LEASE_S}


def check_alone(db: DBConnection, what: str) -> None:
    """Raises StoreError if a job is writing to the store."""
    for run, age_s in alive(db).items():
        raise StoreError(
            f"{what}: run {run} may be writing (last heartbeat {age_s:.0f} s ago); wait until it has ended, "
            f"or, if it was killed, {LEASE_S / 60:.0f} min"
        )


def _mark_lost(db: DBConnection, run_id: str, limit: datetime) -> None:
    where = f"run_id = {quoted(run_id)} AND finished_at IS NULL AND heartbeat_at < {_sql_time(limit)}"
    values = {"finished_at": datetime.now(UTC), "summary": f'{{"ended_by": "{LOST}"}}'}
    retry(db, "the runs", lambda: db.open_table("runs").update(where=where, values=values))


def _insert(db: DBConnection, row: Mapping[str, Any]) -> None:
    table = db.open_table("runs")
    table.merge_insert("run_id").when_not_matched_insert_all().execute(rows.typed("runs", [row]))


def _finish(db: DBConnection, run: Run) -> None:
    now, summary = datetime.now(UTC), json.dumps(run.summary, sort_keys=True, ensure_ascii=False, default=str)
    where = f"run_id = {quoted(run.run_id)} AND finished_at IS NULL"
    values = {"heartbeat_at": now, "finished_at": now, "summary": summary}
    retry(db, "the run", lambda: db.open_table("runs").update(where=where, values=values))


def _beat(db: DBConnection, run_id: str, over: threading.Event, renew_s: float) -> None:
    while not over.wait(renew_s):
        try:
            renew(db, run_id)
        except (OSError, RuntimeError, ValueError):
            continue  # the next beat is soon, and a commit renews a lease that is no longer young


def _rows(db: DBConnection, where: str = "true") -> list[dict[str, Any]]:
    columns = ["run_id", "heartbeat_at", "finished_at", "summary"]
    return db.open_table("runs").search().where(where).select(columns).to_arrow().to_pylist()


def _ended(row: Mapping[str, Any]) -> str:
    return LOST if LOST in row["summary"] else "finished"


def _sql_time(moment: datetime) -> str:
    return f"timestamp '{moment.strftime('%Y-%m-%d %H:%M:%S.%f')}'"
