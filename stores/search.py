"""Nearest neighbours by cosine: from memory where the vectors fit, else from an index, else from a pass over them.

`memory` and `stream` are exact and give the same rows and the same cosines; `index` is approximate, with the recall
that `stores.maintenance.index.build_index` measured. All three apply filters before the search.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stores import index, schema
from stores.arrow import compute
from stores.errors import StoreError
from stores.pairs import matrix, space_column
from stores.ranking import Ranking, unit
from stores.snapshot import ROW_ID, Snapshot
from stores.sql import quoted
from stores.vector_cache import VectorCache, batches

IN_MEMORY, INDEX, STREAM = "memory", "index", "stream"
MEMORY_BYTES = 4 << 30  # of vectors of one table and space: 2 million of 512 floats
FEW_BYTES = 64 << 20  # filtered rows up to this size are searched exactly, where the table does not fit
FEW_CLIPS = 10_000  # that a filter of an index can list


@dataclass(frozen=True)
class Neighbours:
    """The rows most similar to each of m queries."""

    rows: pa.Table  # `query` (0..m - 1), `cosine` (-1..1, float32), then the row without media and vectors
    by: str  # memory | index | stream
    snapshot: Snapshot  # the state that was searched


@dataclass(frozen=True)
class Query:
    """A search that was checked against the store; made by `query_of`."""

    snapshot: Snapshot
    table: str
    column: str  # of the vectors in the table
    vectors: np.ndarray  # (m, dim) float32, finite, none all zero
    k: int
    where: str | None
    clip_ids: pa.ChunkedArray | None  # only rows of these clips

    @property
    def row_bytes(self) -> int:
        """Bytes of one vector."""
        return 4 * self.vectors.shape[1]

    @property
    def sql(self) -> str | None:
        """Both filters as one."""
        parts = [] if self.where is None else [f"({self.where})"]
        if self.clip_ids is not None:
            names = ", ".join(map(quoted, self.clip_ids.to_pylist()))
            parts.append(f"clip_id IN ({names})" if names else "false")
        return " AND ".join(parts) or None


def query_of(
    snapshot: Snapshot,
    table: str,
    vectors: np.ndarray,
    space: str | None = None,
    k: int = 10,
    where: str | None = None,
    clips: str | None = None,
) -> Query:
    """Returns a search of a snapshot; arguments and errors are those of `Store.nearest`."""
    column = space_column(snapshot, table, space)
    dim = snapshot.schema(table).field(column).type.list_size
    queries = np.atleast_2d(np.asarray(vectors, np.float32))
    if queries.ndim != 2 or queries.shape[1] != dim or not np.isfinite(queries).all() or not queries.any(1).all():
        raise StoreError(
            f"{table}: searched with an array of shape {np.shape(vectors)}, "
            f"expected ({dim},) or (queries, {dim}), with finite values and no row all zero"
        )
    if k < 1:
        raise StoreError(f"{table}: searched for k = {k} rows, expected at least 1")
    clip_ids = None if clips is None else snapshot.query("clips", ["clip_id"], clips)["clip_id"]
    return Query(snapshot, table, column, queries, k, where, clip_ids)


def nearest(query: Query, cache: VectorCache, exact: bool = False, memory_bytes: int = MEMORY_BYTES) -> Neighbours:
    """Returns the rows most similar to each query vector; `exact` and `memory_bytes` as in `Store.nearest`."""
    if query.snapshot.count(query.table) * query.row_bytes <= memory_bytes:
        by, hits = IN_MEMORY, _from_memory(query, cache)
    elif not exact and index.exists(query.snapshot, query.table, query.column) and _needs_index(query, memory_bytes):
        by = INDEX
        hits = index.search(query.snapshot, query.table, query.column, query.vectors, query.k, query.sql)
    else:
        by, hits = STREAM, _streamed(query)
    return Neighbours(_rows(query, *hits), by, query.snapshot)


def _from_memory(query: Query, cache: VectorCache) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cached = cache.get(query.snapshot, query.table, query.column)
    chosen = None
    if query.where is not None:
        rows = query.snapshot.query(query.table, [ROW_ID], query.where)
        chosen = cached.has_row_id(rows[ROW_ID].to_numpy())
    if query.clip_ids is not None:
        of_clips = compute.is_in(cached.clip_id, query.clip_ids).to_numpy()
        chosen = of_clips if chosen is None else chosen & of_clips
    ranking = Ranking(query.vectors, query.k)
    cached.rank_by(ranking, chosen)
    return ranking.best()


def _streamed(query: Query) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ranking = Ranking(query.vectors, query.k)
    for rows in batches(query.snapshot, query.table, query.column, query.where):
        if query.clip_ids is not None:
            rows = rows.filter(compute.is_in(rows["clip_id"], query.clip_ids))
        if len(rows):
            keys = rows[schema.KEYS[query.table]].to_numpy().astype(str)
            ranking.add(unit(matrix(rows[query.column])), keys, rows[ROW_ID].to_numpy())
    return ranking.best()


def _needs_index(query: Query, memory_bytes: int) -> bool:
    """Whether the index can apply the filters, and they leave too many rows for exact search."""
    if query.sql is None:
        return True
    if query.clip_ids is not None and len(query.clip_ids) > FEW_CLIPS:
        return False
    return query.snapshot.count(query.table, query.sql) * query.row_bytes > min(FEW_BYTES, memory_bytes)


def _rows(query: Query, number: np.ndarray, row_id: np.ndarray, cosine: np.ndarray) -> pa.Table:
    schema_of = query.snapshot.schema(query.table)
    hidden = {*map(schema.vector_column, schema.spaces_of(schema_of)), schema.MEDIA.get(query.table)}
    rows = query.snapshot.take(query.table, row_id, [name for name in schema_of.names if name not in hidden])
    rows = rows.add_column(0, "cosine", pa.array(cosine, pa.float32()))
    return rows.add_column(0, "query", pa.array(number, pa.int64()))
