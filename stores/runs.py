"""Runs: the jobs that write, their commands and configurations, and which of them are still alive.

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

import getpass
import json
import os
import platform
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lancedb.db import DBConnection

from stores import ids, rows
from stores.errors import StoreError, StoreUnavailable
from stores.retry import retry
from stores.sql import in_lists, quoted

LEASE_S = 900.0  # a run whose heartbeat an observer sees unchanged for this long is lost
RENEW_S = LEASE_S / 15
DELETION = "delete"  # the job of a deletion, beside which nobody else may write
IS_DELETION = f'command LIKE \'%"job": "{DELETION}"%\''  # SQL over `runs`
LOST = "lost: its lease ran out"
GONE = "lost: its process is gone"  # on the machine where it ran, so it writes nothing more

_LOOK = "vclip.look."  # prefix of the keys of looks in the config of `runs`: prefix, run, clock
_HELD_BY = "held_by"  # in the summary of a run that is not over: its process
_SWEPT = "files_swept"  # in the summary of a run that is over


def _boot() -> str:
    """The name of this machine's time since its start; of this process alone where the system does not tell."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with suppress(OSError, subprocess.SubprocessError):  # macOS
        command = ["sysctl", "-n", "kern.bootsessionuuid"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    return secrets.token_hex(16)


def _since_boot_s() -> float:
    boottime = getattr(time, "CLOCK_BOOTTIME", None)  # counts while the machine sleeps
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


@dataclass(frozen=True)
class Clock:
    """A clock of durations, which no one sets.

    Args:
        name: clocks of one name show one time.
        now_s: returns seconds since some moment.
    """

    name: str
    now_s: Callable[[], float]


HERE = Clock(_boot(), _since_boot_s)

_held: set[str] = set()  # the runs of this process that last
_renewed: dict[tuple[str, str], float] = {}  # (store, run) -> HERE just before its last renewal by this process


class RunOverError(StoreError):
    """A run that wants to write is over."""


@dataclass
class Run:
    """A job that writes. Set `summary` before it ends."""

    run_id: str
    summary: dict[str, Any] = field(default_factory=dict)


@contextmanager
def running(
    db: DBConnection, command: Mapping[str, Any], config: Mapping[str, Any], renew_s: float = RENEW_S
) -> Iterator[Run]:
    """Records a run and renews its lease every `renew_s` seconds until the block ends, as `Store.run` does.

    Raises:
        StoreError: a deletion is running.
    """
    run, now, over = Run(ids.run_id()), datetime.now(UTC), threading.Event()
    command = {**command, "who": _who()}
    row = {"run_id": run.run_id, "command": command, "config": config, "summary": {_HELD_BY: _process(os.getpid())}}
    row |= {"started_at": now, "heartbeat_at": now, "finished_at": None}
    _held.add(run.run_id)
    heart = threading.Thread(target=_beat, args=(db, run.run_id, over, renew_s), daemon=True, name="lease")
    try:
        retry(db, "the run", lambda: _insert(db, row))
        heart.start()
        # After this run was recorded, so that of a deletion and another job that start at once, one sees the other.
        if command.get("job") != DELETION:
            check_no_deletion(db, str(command.get("job", "run")))
        yield run
        _finish(db, run)
    except StoreUnavailable:
        raise  # the end of the run cannot be written either; whoever looks at it finds its process without it
    except BaseException as error:
        run.summary = run.summary | {"ended_by": f"{type(error).__name__}: {error}".splitlines()[0]}
        _finish(db, run)
        raise
    finally:
        over.set()
        _held.discard(run.run_id)
        _renewed.pop((db.uri, run.run_id), None)


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
                ended = json.loads(row["summary"])["ended_by"] if is_lost(row) else "finished"
                raise RunOverError(f"run {row['run_id']}: is over ({ended}), so it may not write; run the job again")
            known.append(row["run_id"])
    return known


def renew(db: DBConnection, run_id: str, clock: Clock = HERE) -> None:
    """Renews the lease of a run."""
    where, before_s = f"run_id = {quoted(run_id)} AND finished_at IS NULL", clock.now_s()
    db.open_table("runs").update(where=where, values={"heartbeat_at": datetime.now(UTC)})
    _renewed[db.uri, run_id] = before_s


def over(db: DBConnection, run_ids: set[str], unknown_after_s: float, clock: Clock = HERE) -> set[str]:
    """Returns the ids of the runs that are over, after marking the lost ones.

    A run without a row in `runs` (a script's) counts as lost `unknown_after_s` after it was first looked at.
    """
    found = {row["run_id"]: row for row in _rows(db)}
    unknown = {run: unknown_after_s for run in run_ids - found.keys()}
    _mark_the_lost(db, {run: row for run, row in found.items() if row["finished_at"] is None}, unknown, clock)
    return run_ids & {row["run_id"] for row in _rows(db, "finished_at IS NOT NULL")}


def lost(db: DBConnection) -> set[str]:
    """Returns the runs that are marked as lost."""
    return {row["run_id"] for row in _rows(db, "finished_at IS NOT NULL") if is_lost(row)}


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


def commands_of(db: DBConnection, run_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Returns run_id -> its command, for those of these runs that the store knows."""
    found = {}
    for part in in_lists(run_ids):
        rows = db.open_table("runs").search().where(f"run_id IN ({part})").select(["run_id", "command"]).to_arrow()
        found |= {row["run_id"]: json.loads(row["command"]) for row in rows.to_pylist()}
    return found


def check_no_deletion(db: DBConnection, what: str) -> set[str]:
    """Returns the ids of all runs, unless a deletion is running, beside which nobody else may write.

    Raises:
        StoreError: a deletion is running.
    """
    rows = db.open_table("runs").to_lance()
    if rows.count_rows(f"finished_at IS NULL AND ({IS_DELETION})"):
        for run, left_s in alive(db, where=IS_DELETION).items():
            raise StoreError(
                f"{what}: a deletion is running in this store (run {run}); wait until it has ended or, if it was "
                f"killed on another machine, try again in {max(1, round(left_s / 60))} min"
            )
    return set(rows.to_table(columns=["run_id"])["run_id"].to_pylist())


@contextmanager
def without_deletion(db: DBConnection, what: str) -> Iterator[None]:
    """Runs the block, which writes to the store, unless a deletion is running.

    Raises:
        StoreError: a deletion is running, or one removed a file that the block was reading.
    """
    before = check_no_deletion(db, what)
    try:
        yield
    except StoreError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        now = set(db.open_table("runs").to_lance().to_table(columns=["run_id"])["run_id"].to_pylist())
        if any(command.get("job") == DELETION for command in commands_of(db, now - before).values()):
            raise StoreError(
                f"{what}: a deletion started in this store meanwhile; run again when it has ended"
            ) from error
        raise


def check_alone(db: DBConnection, what: str, clock: Clock = HERE, own: str = "") -> None:
    """Raises StoreError if a job other than the run `own` may be writing to the store."""
    for run, left_s in alive(db, clock, f"run_id != {quoted(own)}").items():
        raise StoreError(
            f"{what}: run {run} may be writing; wait until it has ended or, if it was killed on another machine, "
            f"try again in {max(1, round(left_s / 60))} min"
        )


def is_lost(row: Mapping[str, Any]) -> bool:
    """Returns whether a row of `runs`, with its summary, is of a run that was marked as lost."""
    return '"ended_by": "lost: ' in row["summary"]


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
    gone = {run for run, row in found.items() if _process_is_gone(run, row)}
    tokens = {run: row["heartbeat_at"].isoformat() for run, row in found.items() if run not in gone}
    limits = dict.fromkeys(tokens, LEASE_S) | dict(unknown)
    waited = _look(db, tokens | dict.fromkeys(unknown, ""), clock)
    gone |= {run for run, waited_s in waited.items() if waited_s >= limits[run]}
    for run in sorted(gone):
        if run in found:
            why = GONE if _process_is_gone(run, found[run]) else LOST
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
    retry(db, "the runs", lambda: _insert(db, row))


def _who() -> str:
    """The user and the machine of this process, as "ann@node3"; the machine alone where the user has no name."""
    try:
        return f"{getpass.getuser()}@{platform.node()}"
    except (KeyError, OSError):  # as in a container
        return platform.node()


def _process(pid: int) -> str:
    """The name of a process that no other has or had; "" if the system does not tell, or the process has ended."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else f"{HERE.name}/{os.readlink('/proc/self/ns/pid')}/{pid}/{fields[18]}"
    except OSError:
        return ""


def _process_is_gone(run: str, row: Mapping[str, Any]) -> bool:
    """Returns whether a run's process ran on this machine and has ended, or is this one and holds the run no more."""
    holder = json.loads(row["summary"]).get(_HELD_BY) or ""
    me = _process(os.getpid())
    if not holder or not me or holder.split("/")[:2] != me.split("/")[:2]:
        return False
    if holder == me:
        return run not in _held
    pid = int(holder.split("/")[2])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it is another user's
    now = _process(pid)
    return now != holder and os.access(f"/proc/{pid}/stat", os.R_OK)


def _insert(db: DBConnection, row: Mapping[str, Any]) -> None:
    table = db.open_table("runs")
    table.merge_insert("run_id").when_not_matched_insert_all().execute(rows.typed("runs", [row]))


def _finish(db: DBConnection, run: Run) -> None:
    now, summary = datetime.now(UTC), json.dumps(run.summary, sort_keys=True, default=str)
    where = f"run_id = {quoted(run.run_id)} AND finished_at IS NULL"
    values = {"heartbeat_at": now, "finished_at": now, "summary": summary}
    retry(db, "the run", lambda: db.open_table("runs").update(where=where, values=values))


def _beat(db: DBConnection, run_id: str, over: threading.Event, renew_s: float) -> None:
    while not over.wait(renew_s):
        try:
            renew(db, run_id)
        except (OSError, RuntimeError, ValueError):
            continue  # the next beat is soon, and a commit renews a lease that has grown old


def _rows(db: DBConnection, where: str = "true") -> list[dict[str, Any]]:
    columns = ["run_id", "heartbeat_at", "finished_at", "summary"]
    return db.open_table("runs").search().where(where).select(columns).to_arrow().to_pylist()


def _sql_time(moment: datetime) -> str:
    return f"timestamp '{moment.strftime('%Y-%m-%d %H:%M:%S.%f')}'"
