"""`vclip optimize`: a store in fewer and fuller files, without what nobody reads."""

from typing import Any

from pipelines.progress import step
from stores import Store

DAY_S = 86_400.0


def optimize(store_uri: str, keep_days: float) -> dict[str, Any]:
    """Sweeps, compacts and prunes a store; returns rows swept, fragments before and after, and bytes freed, by table.

    Raises:
        StoreError: no store, or it cannot be written now.
    """
    store = Store.open(store_uri)
    before = store.info()["bytes"]
    with store.run({"job": "optimize", "keep_days": keep_days}, {}) as run, step("optimize", 1) as progress:
        swept = store.sweep()
        done = store.compact(keep_days * DAY_S)
        progress.set(1)
        run.summary = {
            "swept_rows": swept,
            "fragments": {
                table: f"{of.fragments_removed} -> {of.fragments_added}"
                for table, of in done.items()
                if of.fragments_removed
            },
            "freed_bytes": sum(of.bytes_removed for of in done.values()),
            "tags": sorted(store.tags()),
        }
    return {"store": store_uri, **run.summary, "bytes": {"before": sum(before.values()), "after": _bytes(store)}}


def _bytes(store: Store) -> int:
    return sum(store.info()["bytes"].values())
