"""`vclip merge`: add the rows of other stores to one store."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pipelines.progress import step
from stores import Store, StoreError
from stores.maintenance.merge import Merged
from stores.maintenance.merge import merge as merge_stores


@dataclass(frozen=True)
class MergeResult:
    """What a merge added to a store."""

    store: str
    merged: dict[str, Merged]  # URI of the other store -> what was done with its rows


def merge(others: Sequence[str], store_uri: str) -> MergeResult:
    """Adds the rows of other stores to one store, which is created if it does not exist.

    Args:
        others: the stores to read; they stay as they are.
        store_uri: the store to write.

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
    store = Store.create(store_uri, spaces["faces"], spaces["voices"], encoders=first.encoders, exist_ok=True)
    result = MergeResult(store_uri, {})
    with store.run({"job": "merge", "inputs": list(others)}, {}) as run:
        for uri, other in opened:
            with step(f"merge {uri}", other.count("videos"), "videos") as progress:
                result.merged[uri] = merge_stores(store, other, run.run_id, progress.advance)
        run.summary = asdict(result)
    return result
