"""Leases: which runs are still alive, and how one that is over is known never to commit again.

Uncommitted rows are swept only when the run that wrote them is over. Clocks of machines are never compared: times in
`runs` are shown to people and decide nothing.

**Is a run over?** A job that ends says so in its row. A killed job cannot, so it is marked as lost by whoever knows:

1. Its row names its process (boot, process namespace, number, start). On the machine where it ran, its process is
   either there or not.
2. Elsewhere an observer looks twice. A living run changes `heartbeat_at` every RENEW_S, so a heartbeat is a token,
   not a time: if the token is the same after LEASE_S on the *observer's own* clock of durations, nobody renews it.
   Looks are kept in the config of the table `runs`, under the name of the clock that took them (the machine's boot),
   so that a command of today continues what one of yesterday saw, and machines do not mix their looks.

The mark is one conditional update: it applies only while the token is unchanged, and it is permanent.

**What if a run is marked wrongly** (a machine slept, a network was away)? Then the mark decides. A sweep marks first
(S1), then reads the ledger (S2), deletes the rows of the run that the ledger does not name (S3), and at last takes
back ledger rows of lost runs whose rows are missing (S4). A commit reads the run's row before it writes (C1), again
before it swaps the ledger (C3), swaps (C4), and reads the run's row again (C5); if it finds the mark, it fails, and
takes back ledger rows whose rows are missing. In each order of these steps the ledger ends without such a row:

- C4 before S2: the sweep sees the rows as committed and leaves them.
- C4 after S2: the mark came before, so C5 finds it. A commit that is killed between C4 and C5 is found by S4 or, if
  the whole sweep lay between C3 and C4, by S4 of the next sweep, which looks at all lost runs.

**Files** that were written and never committed are deleted only of runs that have ended for certain: they said so, or
their process is gone from its own machine. Otherwise a wrongly marked run could commit a file that is gone, and no
reader could read the table. Files of a run whose lease ran out go with the old versions, after a week.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from lancedb.db import DBConnection

from stores import rows
from stores.errors import StoreError
from stores.processes import HERE, Clock, is_gone, process_name
from stores.retry import retry
from stores.sql import in_lists, quoted

LEASE_S = 900.0  # a run whose heartbeat an observer sees unchanged for this long is lost
RENEW_S = LEASE_S / 15
LOST = "lost: its lease ran out"
GONE = "lost: its process is gone"  # on the machine where it ran, so it writes nothing more

_LOOK = "vclip.look."  # prefix of the keys of looks in the config of `runs`: prefix, run, clock
_HELD_BY = "held_by"  # in the summary of a run that is not over: its process
_SWEPT = "files_swept"  # in the summary of a run that is over

_held: set[str] = set()  # the runs of this process that last
_renewed: dict[tuple[str, str], float] = {}  # (store, run) -> HERE just before its last renewal by this process


class RunOverError(StoreError):
    """A run that wants to write is over."""


@contextmanager
def held(db: DBConnection, run_id: str) -> Iterator[dict[str, str]]:
    """Holds a run in this process during the block; yields what the summary in its row says of that."""
    _held.add(run_id)
    try:
        yield {_HELD_BY: process_name(os.getpid())}
    finally:
        _held.discard(run_id)
        _renewed.pop((db.uri, run_id), None)


def insert(db: DBConnection, row: Mapping[str, Any]) -> None:
    """Adds a run to `runs`, once however often it is tried."""
    table = db.open_table("runs")
    table.merge_insert("run_id").when_not_matched_insert_all().execute(rows.typed("runs", [row]))


def renew(db: DBConnection, run_id: str, clock: Clock = HERE) -> None:
    """Renews the lease of a run."""
    where, before_s = f"run_id = {quoted(run_id)} AND finished_at IS NULL", clock.now_s()
    db.open_table("runs").update(where=where, values={"heartbeat_at": datetime.now(UTC)})
    _renewed[db.uri, run_id] = before_s


def hold(db: DBConnection, run_ids: Iterable[str], clock: Clock = HERE) -> None:
    """Makes sure that runs which are about to write are alive, and renews the leases that this process let grow old.

    Raises:
        RunOverError: one of them is over, so its rows may have been swept.
    """
    for run in confirm(db, run_ids):
        renewed_s = _renewed.get((db.uri, run))
        if renewed_s is None or clock.now_s() - renewed_s > LEASE_S / 4:
            renew(db, run, clock)


def confirm(db: DBConnection, run_ids: Iterable[str]) -> list[str]:
    """Returns the ids of the runs with a row in `runs`; runs of scripts have none.

    Raises:
        RunOverError: one of them is over.
    """
    known = []
    for part in in_lists(run_ids):
        for row in _rows(db, f"run_id IN ({part})"):
            if row["finished_at"] is not None:
                ended = json.loads(row["summary"])["ended_by"] if _is_lost(row) else "finished"
                raise RunOverError(f"run {row['run_id']}: is over ({ended}), so it may not write; run the job again")
            known.append(row["run_id"])
    return known


def over(db: DBConnection, run_ids: set[str], unknown_after_s: float, clock: Clock = HERE) -> set[str]:
    """Returns the ids of the runs that are over, after marking the lost ones.

    A run without a row in `runs` (a script's) counts as lost `unknown_after_s` after it was first looked at.
    """
    found = {row["run_id"]: row for row in _rows(db)}
    unknown = {run: unknown_after_s for run in run_ids - found.keys()}
    _mark_the_lost(db, {run: row for run, row in found.items() if row["finished_at"] is None}, unknown, clock)
    return run_ids & {row["run_id"] for row in _rows(db, "finished_at IS NOT NULL")}


def alive(db: DBConnection, clock: Clock = HERE, where: str = "true") -> dict[str, float]:
    """Returns run_id -> seconds after which it counts as lost if it shows no sign of life, for the runs not over.

    `where` is an SQL filter over `runs`.
    """
    found = {row["run_id"]: row for row in _rows(db, f"finished_at IS NULL AND ({where})")}
    if not found:
        return {}
    waiting = _mark_the_lost(db, found, {}, clock)
    still = {row["run_id"] for row in _rows(db, "finished_at IS NULL")}
    return {run: left_s for run, left_s in waiting.items() if run in still}


def lost(db: DBConnection) -> set[str]:
    """Returns the runs that are marked as lost."""
    return {row["run_id"] for row in _rows(db, "finished_at IS NOT NULL") if _is_lost(row)}


def ended(db: DBConnection) -> set[str]:
    """Returns the runs that write nothing more, whatever happens, and whose files were not swept yet.

    A run whose lease ran out is not among them: its machine may have slept, and wake up in the middle of a commit.
    """
    rows = _rows(db, "finished_at IS NOT NULL")
    return {row["run_id"] for row in rows if LOST not in row["summary"] and _SWEPT not in json.loads(row["summary"])}


def mark_swept(db: DBConnection, run_id: str) -> None:
    """Records that the files of a run that has ended were swept."""
    where = f"run_id = {quoted(run_id)}"
    (row,) = _rows(db, where)
    summary = json.dumps(json.loads(row["summary"]) | {_SWEPT: True}, sort_keys=True)
    retry(db, "the runs", lambda: db.open_table("runs").update(where=where, values={"summary": summary}))


def _mark_the_lost(
    db: DBConnection, found: Mapping[str, Mapping[str, Any]], unknown: Mapping[str, float], clock: Clock
) -> dict[str, float]:
    """Marks the lost ones of runs that are not over; returns the others with the seconds that are left to them.

    Args:
        db: the connection.
        found: run_id -> its row.
        unknown: run_id -> seconds after which it counts as lost; these have no row.
        clock: the observer's.
    """
    gone = {run for run, row in found.items() if process_is_gone(run, row)}
    tokens = {run: row["heartbeat_at"].isoformat() for run, row in found.items() if run not in gone}
    limits = dict.fromkeys(tokens, LEASE_S) | dict(unknown)
    waited = _look(db, tokens | dict.fromkeys(unknown, ""), clock)
    gone |= {run for run, waited_s in waited.items() if waited_s >= limits[run]}
    for run in sorted(gone):
        if run in found:
            why = GONE if process_is_gone(run, found[run]) else LOST
            _mark_lost(db, run, found[run]["heartbeat_at"], why)
        else:
            _insert_lost(db, run)
    if gone:
        _forget_looks(db, gone)
    return {run: limits[run] - waited_s for run, waited_s in waited.items() if run not in gone}


def _look(db: DBConnection, tokens: Mapping[str, str], clock: Clock) -> dict[str, float]:
    """Returns run -> seconds since this clock first saw its present token; remembers the new tokens."""
    if not tokens:
        return {}
    now_s, kept = clock.now_s(), db.open_table("runs").to_lance().config()
    waited, new = {}, {}
    for run, token in tokens.items():
        key = f"{_LOOK}{run}.{clock.name}"
        seen = json.loads(kept.get(key, "{}"))
        if seen.get("token") == token and seen["at_s"] <= now_s:
            waited[run] = now_s - seen["at_s"]
        else:
            waited[run], new[key] = 0.0, json.dumps({"token": token, "at_s": now_s})
    if new:
        retry(db, "the runs", lambda: db.open_table("runs").to_lance().update_config(new))
    return waited


def _forget_looks(db: DBConnection, runs: set[str]) -> None:
    kept = db.open_table("runs").to_lance().config()
    names: dict[str, str | None] = {
        key: None for key in kept if key.startswith(_LOOK) and key.removeprefix(_LOOK).partition(".")[0] in runs
    }
    if names:
        retry(db, "the runs", lambda: db.open_table("runs").to_lance().update_config(names))


def _mark_lost(db: DBConnection, run_id: str, token: datetime, why: str) -> None:
    where = f"run_id = {quoted(run_id)} AND finished_at IS NULL AND heartbeat_at = {_sql_time(token)}"
    values = {"finished_at": datetime.now(UTC), "summary": json.dumps({"ended_by": why})}
    retry(db, "the runs", lambda: db.open_table("runs").update(where=where, values=values))


def _insert_lost(db: DBConnection, run_id: str) -> None:
    """Gives a script's run a row that says that it is over, so that it cannot commit what is swept."""
    now = datetime.now(UTC)
    row = {"run_id": run_id, "command": {"job": "unknown"}, "config": {}, "summary": {"ended_by": LOST}}
    row |= {"started_at": now, "heartbeat_at": now, "finished_at": now}
    retry(db, "the runs", lambda: insert(db, row))


def _is_lost(row: Mapping[str, Any]) -> bool:
    """Returns whether a row of `runs`, with its summary, is of a run that was marked as lost."""
    return '"ended_by": "lost: ' in row["summary"]


def process_is_gone(run: str, row: Mapping[str, Any]) -> bool:
    """Returns whether a run's process ran on this machine and has ended, or is this one and holds the run no more."""
    holder = json.loads(row["summary"]).get(_HELD_BY)
    if holder and holder == process_name(os.getpid()):
        return run not in _held
    return bool(holder) and is_gone(holder)


def _rows(db: DBConnection, where: str = "true") -> list[dict[str, Any]]:
    columns = ["run_id", "heartbeat_at", "finished_at", "summary"]
    return db.open_table("runs").search().where(where).select(columns).to_arrow().to_pylist()


def _sql_time(moment: datetime) -> str:
    return f"timestamp '{moment.strftime('%Y-%m-%d %H:%M:%S.%f')}'"
