"""`vclip optimize`: sweep crashed commits, merge small fragments, free bytes, and build vector indices."""

from dataclasses import asdict, dataclass
from typing import Any

from pipelines.progress import step
from stores import Store
from stores.maintenance.compact import DAY_S, compact, sweep
from stores.maintenance.index import IndexReport, build_index


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

    def to_json(self) -> dict[str, Any]:
        """Returns the fields, as `vclip optimize --json` prints them."""
        return asdict(self)


def optimize(store_uri: str, keep_days: float, index: bool = False) -> OptimizeResult:
    """Sweeps, compacts and prunes a store.

    Args:
        store_uri: the store.
        keep_days: age in days up to which old versions stay readable.
        index: build the vector indices of `faces` and `voices` anew, in all spaces, and measure their recall.

    Raises:
        StoreError: there is no store, it cannot be written now, or a table is too small for an index.
    """
    store = Store.open(store_uri)
    before = sum(store.info()["bytes"].values())
    spaces = [(table, space) for table in ("faces", "voices") for space in store.spaces(table) if index]
    with store.run({"job": "optimize", "keep_days": keep_days}, {}) as run, step("optimize", 1) as progress:
        swept = sweep(store)
        done = compact(store, keep_days * DAY_S)
        progress.set(1)
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
