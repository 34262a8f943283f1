"""Vector indices for tables that do not fit memory: built, measured against exact search, and asked.

IVF: the vectors stand in cells around centroids, and a query looks into the `nprobes` nearest cells. How many are
needed for a recall is measured when the index is built, and stands in the table's configuration.
"""

import numpy as np

from stores.snapshot import Snapshot


def exists(snapshot: Snapshot, table: str, column: str) -> bool:
    """Returns whether the vectors have an index."""
    return False


def search(
    snapshot: Snapshot, table: str, column: str, queries: np.ndarray, k: int, where: str | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns query, row id and cosine of what the index finds, as `Ranking.best`."""
    raise NotImplementedError
