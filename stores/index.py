"""Search through the vector index of a table that does not fit memory.

IVF: the vectors stand in cells around centroids, and a query looks into the `nprobes` nearest cells. The number of
cells that a recall needs is measured when the index is built (`stores.maintenance.index`), and kept in the table's
configuration. A cell keeps four bits of each dimension (RaBitQ); the best rows by these are compared once more in
full.
"""

from typing import cast

import numpy as np
from lancedb.query import LanceVectorQueryBuilder

from stores import schema
from stores.pairs import matrix
from stores.ranking import Ranking, unit
from stores.snapshot import ROW_ID, Snapshot

REFINE = 5  # times k vectors are compared in full
PROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


def exists(snapshot: Snapshot, table: str, column: str) -> bool:
    """Returns whether the vectors have an index."""
    return any(column in index.columns for index in snapshot.table(table).list_indices())


def search(
    snapshot: Snapshot, table: str, column: str, queries: np.ndarray, k: int, where: str | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns query number, row id and cosine of the rows that the index finds, as `Ranking.best` does.

    Args:
        snapshot: the state to search.
        table: faces or voices.
        column: of the vectors.
        queries: (m, dim) float32.
        k: rows for each query, at most.
        where: an SQL filter, applied before the search.
    """
    settings = snapshot.table(table).to_lance().config()
    nprobes = int(settings.get(nprobes_key(column), PROBES[-1]))
    found = [search_one(snapshot, table, column, query, k, where, nprobes) for query in queries]
    number = np.repeat(np.arange(len(found)), [len(cosine) for _, cosine in found])
    row_ids, cosines = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return number, row_ids, cosines


def search_one(
    snapshot: Snapshot, table: str, column: str, query: np.ndarray, k: int, where: str | None, nprobes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns row ids and cosines of one query (dim,); with a filter, more than `nprobes` cells may be read."""
    key = schema.KEYS[table]
    with snapshot.reading(table):
        builder = snapshot.table(table).search(query, vector_column_name=column, query_type="vector")
        builder = cast(LanceVectorQueryBuilder, builder)
        builder = builder.distance_type("cosine").limit(k).refine_factor(REFINE)
        # Without a filter, no upper limit (0) would look into every cell (lancedb 0.40).
        most = nprobes if where is None else 0
        builder = builder.minimum_nprobes(nprobes).maximum_nprobes(most).select([key, column, ROW_ID, "_distance"])
        if filter := snapshot.filter(table, where):
            builder = builder.where(filter, prefilter=True)
        rows = builder.to_arrow()
    ranking = Ranking(query[None], k)
    if len(rows):
        keys = rows[key].to_numpy().astype(str)
        ranking.add(unit(matrix(rows[column])), keys, rows[ROW_ID].to_numpy())
    return ranking.best()[1:]


def nprobes_key(column: str) -> str:
    """Returns the key of the table's configuration that holds the number of cells to look into."""
    return f"vclip.nprobes.{column}"
