"""`vclip optimize`: a store in fewer and fuller files, without what nobody reads."""

from dataclasses import asdict
from typing import Any

from pipelines.progress import step
from stores import Store

DAY_S = 86_400.0


def optimize(store_uri: str, keep_days: float, index: bool = False) -> dict[str, Any]:
    """Sweeps, compacts and prunes a store, and returns what that did.

    Args:
        store_uri: the store.
        keep_days: age up to which old versions stay.
        index: build the vector indices of `faces` and `voices` anew, in all spaces, and measure their recall.

    Returns:
        store; swept_rows; fragments: table -> "before -> after"; freed_bytes; tags; indices: [{table, space, kind,
        rows, nprobes, recall_at_10, queries, build_s, query_ms}]; bytes: of the newest version, before and after.

    Raises:
        StoreError: no store, it cannot be written now, or a table is too small for an index.
    """
    store = Store.open(store_uri)
    before = store.info()["bytes"]
    spaces = [(table, space) for table in ("faces", "voices") for space in store.spaces(table) if index]
    with store.run({"job": "optimize", "keep_days": keep_days}, {}) as run, step("optimize", 1) as progress:
        swept = store.sweep()
        done = store.compact(keep_days * DAY_S)
        progress.set(1)
        built = [asdict(store.build_index(table, space)) for table, space in spaces]
        run.summary = {
            "swept_rows": swept,
            "fragments": {
                table: f"{of.fragments_removed} -> {of.fragments_added}"
                for table, of in done.items()
                if of.fragments_removed
            },
            "freed_bytes": sum(of.bytes_removed for of in done.values()),
            "tags": sorted(store.tags()),
            "indices": built,
        }
    return {"store": store_uri, **run.summary, "bytes": {"before": sum(before.values()), "after": _bytes(store)}}


def _bytes(store: Store) -> int:
    return sum(store.info()["bytes"].values())
