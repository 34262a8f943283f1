"""Remove what no reader sees, and bring the rest into fewer and fuller files.

Compaction rewrites whole fragments, media included. A fragment that has reached the target size and lost no row is
left alone, so a moderate target bounds what later compactions write again.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any, cast

from lance import optimize
from lance.optimize import CompactionOptions
from lancedb.db import DBConnection

from stores import fragments, leases
from stores.commit import remove, take_back
from stores.exclusion import check_no_deletion
from stores.maintenance.drafts import sweep_drafts
from stores.processes import HERE, Clock
from stores.retry import retry
from stores.schema import TABLES, VIDEO_TABLES
from stores.store import Store

DAY_S = 86_400.0
_ROWS = 1 << 20  # rows to a fragment, Lance's default
# A deletion rewrites and then searches the fragments of the deleted rows, so these are small: 60 MB of face crops,
# 400 MB of speech.
_FEWER_ROWS = {"clips": 1 << 16, "faces": 1 << 12, "voices": 1 << 12}
_AT_ONCE = 64  # rewritten groups of fragments that one version names


@dataclass(frozen=True)
class Compaction:
    """What the compaction of one table did."""

    fragments_removed: int
    fragments_added: int
    bytes_removed: int


def sweep(store: Store, older_than_s: float = 7 * DAY_S, clock: Clock = HERE) -> int:
    """Deletes the rows and files that crashed or superseded commits left behind; returns the number of rows deleted.

    Only rows of runs that are over are deleted: the rows of a live run may belong to a commit that has yet to write
    its ledger rows. `stores.leases` says how a run is known to be over.

    Args:
        store: the store.
        older_than_s: how long after this machine first saw rows of a run that has no row in `runs` (a script's) the
            run counts as over; 0 at once.
        clock: the clock by which this machine remembers what it saw.
    """
    check_no_deletion(store.db, "sweep")
    snapshot = store.snapshot()
    suspects = {run for table in VIDEO_TABLES for run in snapshot.uncommitted(table)}
    over = leases.over(store.db, suspects, older_than_s, clock) if suspects else set()
    snapshot = store.snapshot()  # newer, so it shows what these runs committed before they finished
    removed = 0
    for run in sorted(over):
        videos = {video for table in VIDEO_TABLES for video in snapshot.uncommitted(table).get(run, ())}
        run_of = dict.fromkeys(sorted(videos), run)
        removed += retry(store.db, "the sweep", lambda run_of=run_of: remove(store.db, run_of))
    # A lost run may have committed since; this and earlier sweeps removed what it named.
    if lost := leases.lost(store.db):
        retry(store.db, "the sweep", lambda: take_back(store.db, lost))
    _sweep_files(store.db)
    sweep_drafts(store.db)
    return removed


def _sweep_files(db: DBConnection) -> None:
    """Deletes the data files that runs which have ended wrote and never committed."""
    found = {table: fragments.unnamed(db, table) for table in VIDEO_TABLES}
    over = leases.ended(db) if any(found.values()) else set()
    if not (over := over.intersection(run for files in found.values() for run in files)):
        return
    for table, files in found.items():
        names = [name for run in sorted(over.intersection(files)) for name in files[run]]
        fragments.delete(db, table, fragments.never_named(db, table, names))
    for run in sorted(over):
        leases.mark_swept(db, run)


def rewrite(db: DBConnection, name: str, task: str) -> str:
    """Rewrites the fragments of one task of a compaction, which another process may then commit.

    Args:
        db: the store.
        name: the table.
        task: a task as JSON.

    Returns:
        What `compact` commits, as JSON.
    """
    return cast(Any, _task_of(task).execute(db.open_table(name).to_lance())).json()


# Runs `rewrite` for the tasks of a table, here or elsewhere; yields the results in any order.
Spread = Callable[[str, Sequence[str]], Iterable[str]]


def compact(store: Store, keep_versions_s: float = 7 * DAY_S, spread: Spread | None = None) -> dict[str, Compaction]:
    """Merges small fragments, and frees the bytes of deleted rows and of old versions.

    Args:
        store: the store.
        keep_versions_s: age up to which old versions stay readable. 0 frees the most, and is safe only while nobody
            reads.
        spread: rewrites the fragments, on a cluster, say; here where left out.

    Returns:
        table -> what was done.

    Raises:
        StoreUnavailable: the disk is full, or other commits kept coming in between. The store is whole.
    """
    check_no_deletion(store.db, "optimize")
    spread = spread or (lambda name, tasks: (rewrite(store.db, name, task) for task in tasks))
    done = {}
    for name in TABLES:
        metrics = retry(store.db, f"the compaction of {name}", partial(_merge_fragments, store.db, name, spread))
        removed = prune(store.db, name, keep_versions_s)
        done[name] = Compaction(*metrics, removed)
    return done


def _merge_fragments(db: DBConnection, name: str, spread: Spread) -> tuple[int, int]:
    """Rewrites a table's small fragments, and those with deleted rows without these rows; returns fragments removed
    and added."""
    # Any deleted row counts: `optimize` would leave up to a tenth of a fragment's deleted faces on disk.
    options: CompactionOptions = {
        "target_rows_per_fragment": _FEWER_ROWS.get(name, _ROWS),
        "materialize_deletions_threshold": 0.0,
    }
    planned = optimize.Compaction.plan(db.open_table(name).to_lance(), options).tasks
    results, removed, added = iter(spread(name, [cast(Any, task).json() for task in planned])), 0, 0
    while some := [cast(Any, optimize.RewriteResult).from_json(one) for one in islice(results, _AT_ONCE)]:
        metrics = optimize.Compaction.commit(db.open_table(name).to_lance(), some)
        removed, added = removed + metrics.fragments_removed, added + metrics.fragments_added
    return removed, added


def free_deleted(db: DBConnection, name: str) -> None:
    """Rewrites the fragments of a table that have deleted rows without these rows, and leaves the others alone."""
    rows = db.open_table(name).to_lance()
    # No fragment is smaller than one row, so the plan does not add the small ones.
    only_holed: CompactionOptions = {"target_rows_per_fragment": 1, "materialize_deletions_threshold": 0.0}
    tasks = []
    for task in optimize.Compaction.plan(rows, only_holed).tasks:
        planned = json.loads(cast(Any, task).json())  # pylance's stubs do not know this method, nor its counterpart
        planned["options"]["target_rows_per_fragment"] = _FEWER_ROWS.get(name, _ROWS)
        tasks.append(_task_of(json.dumps(planned)))
    if tasks:
        optimize.Compaction.commit(rows, [task.execute(rows) for task in tasks])


def _task_of(task: str) -> optimize.CompactionTask:
    return cast(Any, optimize.CompactionTask).from_json(task)


def prune(db: DBConnection, name: str, keep_versions_s: float, nobody_writes: bool = False) -> int:
    """Removes the old untagged versions of a table and the files that only they need; returns the bytes freed.

    Args:
        db: the connection.
        name: the table.
        keep_versions_s: age up to which versions stay.
        nobody_writes: also removes files that no version names. They may belong to a running commit, or to a dead
            one.
    """
    removed = (
        db.open_table(name)
        .to_lance()
        .cleanup_old_versions(
            timedelta(seconds=keep_versions_s), delete_unverified=nobody_writes, error_if_tagged_old_versions=False
        )
    )
    return removed.bytes_removed
