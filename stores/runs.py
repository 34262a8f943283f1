"""Runs: the jobs that write, their commands and configurations. Which of them are alive is known by `leases`."""

import getpass
import json
import platform
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lancedb.db import DBConnection

from stores import ids, leases
from stores.errors import StoreUnavailable
from stores.exclusion import DELETION, check_no_deletion
from stores.retry import retry
from stores.sql import in_lists, quoted


@dataclass
class Run:
    """A job that writes. Set `summary` before it ends."""

    run_id: str
    summary: dict[str, Any] = field(default_factory=dict)


@contextmanager
def running(
    db: DBConnection, command: Mapping[str, Any], config: Mapping[str, Any], renew_s: float = leases.RENEW_S
) -> Iterator[Run]:
    """Records a run and renews its lease every `renew_s` seconds until the block ends, as `Store.run` does.

    Raises:
        StoreError: a deletion is running.
    """
    run, now, over = Run(ids.run_id()), datetime.now(UTC), threading.Event()
    command = {**command, "who": _who()}
    row = {"run_id": run.run_id, "command": command, "config": config}
    row |= {"started_at": now, "heartbeat_at": now, "finished_at": None}
    heart = threading.Thread(target=_beat, args=(db, run.run_id, over, renew_s), daemon=True, name="lease")
    with leases.held(db, run.run_id) as holder:
        try:
            retry(db, "the run", lambda: leases.insert(db, row | {"summary": holder}))
            heart.start()
            # Only now, so that of a deletion and another job that start at once, one sees the other.
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


def commands_of(db: DBConnection, run_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Returns run_id -> its command, for those of these runs that the store knows."""
    found = {}
    for part in in_lists(run_ids):
        rows = db.open_table("runs").search().where(f"run_id IN ({part})").select(["run_id", "command"]).to_arrow()
        found |= {row["run_id"]: json.loads(row["command"]) for row in rows.to_pylist()}
    return found


def _who() -> str:
    """The user and the machine of this process, as "ann@node3"; the machine alone where the user has no name."""
    try:
        return f"{getpass.getuser()}@{platform.node()}"
    except (KeyError, OSError):  # as in a container
        return platform.node()


def _finish(db: DBConnection, run: Run) -> None:
    now, summary = datetime.now(UTC), json.dumps(run.summary, sort_keys=True, default=str)
    where = f"run_id = {quoted(run.run_id)} AND finished_at IS NULL"
    values = {"heartbeat_at": now, "finished_at": now, "summary": summary}
    retry(db, "the run", lambda: db.open_table("runs").update(where=where, values=values))


def _beat(db: DBConnection, run_id: str, over: threading.Event, renew_s: float) -> None:
    while not over.wait(renew_s):
        try:
            leases.renew(db, run_id)
        except (OSError, RuntimeError, ValueError):
            continue  # the next beat is soon, and a commit renews a lease that has grown old
