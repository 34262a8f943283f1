"""Who may write beside whom: nobody beside a deletion, and some jobs only alone."""

from collections.abc import Iterator
from contextlib import contextmanager

from lancedb.db import DBConnection

from stores.errors import StoreError
from stores.leases import alive
from stores.processes import HERE, Clock
from stores.sql import quoted

DELETION = "delete"  # the job of a deletion, beside which nobody else may write
IS_DELETION = f'command LIKE \'%"job": "{DELETION}"%\''  # SQL over `runs`


def check_no_deletion(db: DBConnection, what: str) -> set[str]:
    """Returns the ids of all runs, unless a deletion is running, beside which nobody else may write.

    Raises:
        StoreError: a deletion is running.
    """
    rows = db.open_table("runs").to_lance()
    if rows.count_rows(f"finished_at IS NULL AND ({IS_DELETION})"):
        for run, left_s in alive(db, where=IS_DELETION).items():
            raise StoreError(f"{what}: a deletion is running in this store (run {run}); {_until_over(left_s)}")
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
        deletions = db.open_table("runs").to_lance().to_table(columns=["run_id"], filter=IS_DELETION)
        if not before.issuperset(deletions["run_id"].to_pylist()):
            raise StoreError(
                f"{what}: a deletion started in this store meanwhile; run again when it has ended"
            ) from error
        raise


def check_alone(db: DBConnection, what: str, clock: Clock = HERE, own: str = "") -> None:
    """Raises StoreError if a job other than the run `own` may be writing to the store."""
    for run, left_s in alive(db, clock, f"run_id != {quoted(own)}").items():
        raise StoreError(f"{what}: run {run} may be writing; {_until_over(left_s)}")


def _until_over(left_s: float) -> str:
    minutes = max(1, round(left_s / 60))
    return f"wait until it has ended or, if it was killed on another machine, try again in {minutes} min"
