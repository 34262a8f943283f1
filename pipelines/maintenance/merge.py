"""`vclip merge`: adds the rows of other stores to one."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pipelines.progress import step
from stores import Store, StoreError
from stores.maintenance.merge import merge as merge_stores


def merge(others: Sequence[str], store_uri: str) -> dict[str, Any]:
    """Adds the rows of other stores to one, which is created if needed.

    Returns:
        store; merged: other store -> the fields of `stores.maintenance.merge.Merged`.

    Raises:
        StoreError: a store does not exist, has other spaces, or is merged into itself. Nothing is written.
    """
    opened = [(uri, Store.open(uri)) for uri in others]
    first = opened[0][1]
    spaces = {table: first.spaces(table) for table in ("faces", "voices")}
    for uri, other in opened:
        if uri.rstrip("/") == store_uri.rstrip("/"):
            raise StoreError(f"merge: {uri} into itself; give another --store")
        if (found := {table: other.spaces(table) for table in spaces}) != spaces:
            raise StoreError(f"merge: {others[0]} holds vectors of {spaces}, {uri} of {found}; expected the same")
    store = Store.open_or_create(store_uri, spaces["faces"], spaces["voices"], encoders=first.encoders)
    done: dict[str, Any] = {"store": store_uri, "merged": {}}
    with store.run({"job": "merge", "inputs": list(others)}, {}) as run:
        for uri, other in opened:
            with step(f"merge {uri}", other.count("videos"), "videos") as progress:
                merged = merge_stores(store, other, run.run_id, progress.advance)
            done["merged"][uri] = asdict(merged)
        run.summary = done
    return done
