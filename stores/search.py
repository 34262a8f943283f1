"""Nearest neighbours by cosine: from memory where the vectors fit, else from an index, else from a pass over them.

`memory` and `stream` are exact and give the same rows and the same figures; `index` is what `build_index` found of
them. Filters act before the search in all three.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import compute

from stores import index, schema
from stores.errors import StoreError
from stores.pairs import matrix, space_column
from stores.ranking import Ranking, unit
from stores.snapshot import ROW_ID, Snapshot
from stores.sql import quoted
from stores.vector_cache import Memory, batches

IN_MEMORY, INDEX, STREAM = "memory", "index", "stream"
MEMORY_BYTES = 4 << 30  # of vectors of one table and space: 2 million of 512 floats
FEW_BYTES = 64 << 20  # a filter that leaves less is answered exactly, where a table does not fit
FEW_CLIPS = 10_000  # that a filter of an index can name


@dataclass(frozen=True)
class Neighbours:
    """The rows most similar to each of m queries."""

    rows: pa.Table  # `query` (0..m - 1), `cosine` (-1..1, float32), then the row without media and vectors
    by: str  # memory | index | stream
    snapshot: Snapshot  # that was searched


def nearest(
    snapshot: Snapshot,
    memory: Memory,
    table: str,
    vectors: np.ndarray,
    space: str | None = None,
    k: int = 10,
    where: str | None = None,
    clips: str | None = None,
    exact: bool = False,
    memory_bytes: int = MEMORY_BYTES,
) -> Neighbours:
    """Returns the k rows of `table` most similar to each of `vectors`; as `Store.nearest` says."""
    column = space_column(snapshot, table, space)
    dim = snapshot.schema(table).field(column).type.list_size
    queries = check_queries(table, vectors, dim)
    if k < 1:
        raise StoreError(f"{table}: searched for k = {k} rows, expected at least 1")
    wanted = None if clips is None else snapshot.query("clips", ["clip_id"], clips)["clip_id"]
    row_bytes = 4 * dim
    if snapshot.count(table) * row_bytes <= memory_bytes:
        by, found = IN_MEMORY, _resident(snapshot, memory, table, column, queries, k, where, wanted)
    elif not exact and index.exists(snapshot, table, column) and _many(snapshot, table, where, wanted, row_bytes):
        by, found = INDEX, index.search(snapshot, table, column, queries, k, _both(where, wanted))
    else:
        by, found = STREAM, _streamed(snapshot, table, column, queries, k, where, wanted)
    return Neighbours(_rows(snapshot, table, *found), by, snapshot)


def check_queries(table: str, vectors: np.ndarray, dim: int) -> np.ndarray:
    """Returns vectors (dim,) or (m, dim) as (m, dim) float32.

    Raises:
        StoreError: of another shape, not finite, or zero.
    """
    queries = np.atleast_2d(np.asarray(vectors, np.float32))
    if queries.ndim != 2 or queries.shape[1] != dim or not np.isfinite(queries).all() or not queries.any(1).all():
        raise StoreError(
            f"{table}: searched with an array of shape {np.shape(vectors)}, "
            f"expected ({dim},) or (queries, {dim}), finite, none all zero"
        )
    return queries


def _resident(
    snapshot: Snapshot,
    memory: Memory,
    table: str,
    column: str,
    queries: np.ndarray,
    k: int,
    where: str | None,
    wanted: pa.ChunkedArray | None,
) -> tuple[np.ndarray, ...]:
    held = memory.get(snapshot, table, column)
    chosen = None
    if where is not None:
        chosen = held.among(snapshot.query(table, [ROW_ID], where)[ROW_ID].to_numpy())
    if wanted is not None:
        of_clips = compute.is_in(held.clip_id, wanted).to_numpy()
        chosen = of_clips if chosen is None else chosen & of_clips
    ranking = Ranking(queries, k)
    held.rank_by(ranking, chosen)
    return ranking.best()


def _streamed(
    snapshot: Snapshot,
    table: str,
    column: str,
    queries: np.ndarray,
    k: int,
    where: str | None,
    wanted: pa.ChunkedArray | None,
) -> tuple[np.ndarray, ...]:
    ranking = Ranking(queries, k)
    for rows in batches(snapshot, table, column, where):
        if wanted is not None:
            rows = rows.filter(compute.is_in(rows["clip_id"], wanted))
        if len(rows):
            keys = rows[schema.KEYS[table]].to_numpy().astype(str)
            ranking.see(unit(matrix(rows[column])), keys, rows[ROW_ID].to_numpy())
    return ranking.best()


def _many(snapshot: Snapshot, table: str, where: str | None, wanted: pa.ChunkedArray | None, row_bytes: int) -> bool:
    """Returns whether the filters can be told to the index, and leave so many rows that it is needed."""
    if where is None and wanted is None:
        return True
    if wanted is not None and len(wanted) > FEW_CLIPS:
        return False
    return snapshot.count(table, _both(where, wanted)) * row_bytes > FEW_BYTES


def _both(where: str | None, wanted: pa.ChunkedArray | None) -> str | None:
    """Returns the SQL of the rows that match, and are of these clips."""
    parts = [] if where is None else [f"({where})"]
    if wanted is not None:
        parts.append(f"clip_id IN ({', '.join(map(quoted, wanted.to_pylist()))})" if len(wanted) else "false")
    return " AND ".join(parts) or None


def _rows(snapshot: Snapshot, table: str, query: np.ndarray, row: np.ndarray, cosine: np.ndarray) -> pa.Table:
    vectors = set(map(schema.vector_column, schema.spaces_of(snapshot.schema(table))))
    columns = [name for name in snapshot.schema(table).names if name not in vectors | {schema.MEDIA.get(table)}]
    rows = snapshot.take(table, row, columns)
    rows = rows.add_column(0, "cosine", pa.array(cosine, pa.float32()))
    return rows.add_column(0, "query", pa.array(query, pa.int64()))
