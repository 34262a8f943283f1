"""`vclip optimize`: sweep crashed commits, merge small fragments, free bytes, and build vector indices.

Where RAY_ADDRESS names a cluster, its tasks rewrite the fragments and build the indices; otherwise this process does.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from pipelines.cluster.failures import Failure
from pipelines.cluster.remote_task import Work
from pipelines.cluster.session import on_cluster, start_ray
from pipelines.cluster.tasks import run_tasks
from pipelines.progress import step
from stores import Store, StoreError
from stores.maintenance.compact import DAY_S, compact, rewrite, sweep
from stores.maintenance.index import IndexReport, build_index
from stores.schema import TABLES
from vclip.errors import InputError


@dataclass(frozen=True)
class OptimizeResult:
    """What an optimization did."""

    store: str
    swept_rows: int  # of crashed commits
    fragments: dict[str, str]  # table -> "before -> after", for tables with merged fragments
    freed_bytes: int
    tags: list[str]  # their versions stay readable
    indices: list[IndexReport]  # built
    bytes: dict[str, int]  # "before", "after" -> size of the newest version


def optimize(
    store_uri: str, keep_days: float, index: bool = False, cluster: Callable[[], bool] = on_cluster
) -> OptimizeResult:
    """Sweeps, compacts and prunes a store.

    Args:
        store_uri: the store.
        keep_days: age in days up to which old versions stay readable.
        index: build the vector indices of `faces` and `voices` anew, in all spaces, and measure their recall.
        cluster: returns whether a cluster does the work.

    Raises:
        InputError: a task of the cluster failed.
        StoreError: there is no store, it cannot be written now, or a table is too small for an index.
    """
    store = Store.open(store_uri)
    before = sum(store.info()["bytes"].values())
    spaces = [(table, space) for table in ("faces", "voices") for space in store.spaces(table) if index]
    command = {"job": "optimize", "keep_days": keep_days}
    with store.run(command, {}) as run, step("optimize", len(TABLES), "tables") as progress:
        swept = sweep(store)
        on_tasks = cluster()
        if on_tasks:
            start_ray()
        done = compact(store, keep_days * DAY_S, partial(_rewritten, store_uri) if on_tasks else None)
        progress.set(len(TABLES))
        if on_tasks:
            built = _each(partial(_open_building, store_uri), spaces, "index")
            indices = sorted(built, key=lambda report: (report.table, report.space))  # whichever was done first
        else:
            indices = [build_index(store, table, space) for table, space in spaces]
        fragments = {
            table: f"{compaction.fragments_removed} -> {compaction.fragments_added}"
            for table, compaction in done.items()
            if compaction.fragments_removed
        }
        freed = sum(compaction.bytes_removed for compaction in done.values())
        tags = sorted(store.tags())
        run.summary = {
            "swept_rows": swept,
            "fragments": fragments,
            "freed_bytes": freed,
            "tags": tags,
            "indices": [asdict(report) for report in indices],
        }
    after = sum(store.info()["bytes"].values())
    return OptimizeResult(store_uri, swept, fragments, freed, tags, indices, {"before": before, "after": after})


def _rewritten(store_uri: str, table: str, tasks: Sequence[str]) -> Iterator[str]:
    return _each(partial(_open_rewriting, store_uri, table), tasks, "compact")


def _each(open_work: Callable[[], Work], items: Sequence[Any], name: str) -> Iterator[Any]:
    """Yields the results of work on the cluster."""
    for _, result in run_tasks(([item] for item in items), open_work, name, 1.0):
        if isinstance(result, Failure):
            raise InputError(f"optimize: a task ({name}) failed: {result.reason}; run it again, the store is intact")
        yield result


def _open_rewriting(store_uri: str, table: str) -> Work[str, str]:
    store = Store.open(store_uri)
    return lambda task, again: rewrite(store.db, table, task)


def _open_building(store_uri: str) -> Work[tuple[str, str], IndexReport | Failure]:
    store = Store.open(store_uri)

    def work(place: tuple[str, str], again: bool) -> IndexReport | Failure:
        try:
            return build_index(store, *place)
        except StoreError as error:
            return Failure.of_input(str(error), error)

    return work
