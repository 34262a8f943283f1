"""Nearest neighbours by cosine: from memory where the vectors fit, else from an index, else from a pass over them.

`memory` and `stream` are exact and give the same rows and the same cosines; `index` is approximate, with the recall
that `stores.maintenance.index.build_index` measured. All three apply filters before the search.

The index is IVF: the vectors are in cells around centroids, and a query reads the `nprobes` nearest cells. The number
of cells that a recall needs is measured when the index is built, and kept in the table's configuration. A cell keeps
four bits of each dimension (RaBitQ); the best rows by these are compared once more in full.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import pyarrow as pa
from lancedb.query import LanceVectorQueryBuilder

from stores import schema
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
REFINE = 5  # times k vectors are compared in full
PROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

Hits = tuple[np.ndarray, np.ndarray, np.ndarray]  # query number, row id and cosine, as `Ranking.best` returns them


@dataclass(frozen=True)
class Neighbours:
    """The rows most similar to each of m queries."""

    rows: pa.Table  # `query` (0..m - 1), `cosine` (-1..1, float32), then the row without media and vectors
    by: str  # memory | index | stream
    snapshot: Snapshot  # the state that was searched


@dataclass(frozen=True)
class Query:
    """A search of one state of the store; arguments and errors as of `Store.nearest`."""

    snapshot: Snapshot
    table: str
    vectors: np.ndarray  # (dim,) or (m, dim) float32
    space: str | None
    k: int
    where: str | None
    clips: str | None

    def __post_init__(self) -> None:
        dim = self.snapshot.schema(self.table).field(self.column).type.list_size
        queries = self.queries
        if queries.ndim != 2 or queries.shape[1] != dim or not np.isfinite(queries).all() or not queries.any(1).all():
            raise StoreError(
                f"{self.table}: searched with an array of shape {self.vectors.shape}, "
                f"expected ({dim},) or (queries, {dim}), with finite values and no row all zero"
            )
        if self.k < 1:
            raise StoreError(f"{self.table}: searched for k = {self.k} rows, expected at least 1")

    def nearest(self, cache: VectorCache, exact: bool, memory_bytes: int) -> Neighbours:
        """Returns the rows most similar to each query vector."""
        if self.snapshot.count(self.table) * self.row_bytes <= memory_bytes:
            by, hits = IN_MEMORY, self._from_memory(cache)
        elif not exact and has_index(self.snapshot, self.table, self.column) and self._needs_index(memory_bytes):
            by, hits = INDEX, self._from_index()
        else:
            by, hits = STREAM, self._streamed()
        return Neighbours(self._rows(*hits), by, self.snapshot)

    @cached_property
    def column(self) -> str:
        """The column of the vectors in the table."""
        return space_column(self.snapshot, self.table, self.space)

    @property
    def queries(self) -> np.ndarray:
        """The query vectors, (m, dim) float32."""
        return np.atleast_2d(self.vectors)

    @property
    def row_bytes(self) -> int:
        """Bytes of one vector."""
        return 4 * self.queries.shape[1]

    @cached_property
    def clip_ids(self) -> pa.ChunkedArray | None:
        """The clips that the filter over clips leaves; None without such a filter."""
        return None if self.clips is None else self.snapshot.query("clips", ["clip_id"], self.clips)["clip_id"]

    @cached_property
    def sql(self) -> str | None:
        """Both filters as one."""
        parts = [] if self.where is None else [f"({self.snapshot.parsed(self.table, self.where)})"]
        if self.clip_ids is not None:
            names = ", ".join(map(quoted, self.clip_ids.to_pylist()))
            parts.append(f"clip_id IN ({names})" if names else "false")
        return " AND ".join(parts) or None

    def _from_memory(self, cache: VectorCache) -> Hits:
        cached = cache.get(self.snapshot, self.table, self.column)
        chosen = None
        if self.where is not None:
            rows = self.snapshot.query(self.table, [ROW_ID], self.where)
            chosen = cached.has_row_id(rows[ROW_ID].to_numpy())
        if self.clip_ids is not None:
            of_clips = compute.is_in(cached.clip_id, self.clip_ids).to_numpy()
            chosen = of_clips if chosen is None else chosen & of_clips
        ranking = Ranking(self.queries, self.k)
        cached.rank_by(ranking, chosen)
        return ranking.best()

    def _from_index(self) -> Hits:
        settings = self.snapshot.table(self.table).to_lance().config()
        nprobes = int(settings.get(nprobes_key(self.column), PROBES[-1]))
        found = [
            search_index(self.snapshot, self.table, self.column, query, self.k, self.sql, nprobes)
            for query in self.queries
        ]
        number = np.repeat(np.arange(len(found)), [len(cosine) for _, cosine in found])
        row_ids, cosines = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return number, row_ids, cosines

    def _streamed(self) -> Hits:
        ranking = Ranking(self.queries, self.k)
        # Not `compute.is_in`, which would hash all ids anew for each batch: 2.5 million of them take 1.4 s.
        wanted = None if self.clip_ids is None else set(self.clip_ids.to_pylist())
        for rows in batches(self.snapshot, self.table, self.column, self.where):
            if wanted is not None:
                rows = rows.filter(pa.array([clip in wanted for clip in rows["clip_id"].to_pylist()], pa.bool_()))
            if len(rows):
                keys = rows[schema.KEYS[self.table]].to_numpy().astype(str)
                ranking.add(unit(matrix(rows[self.column])), keys, rows[ROW_ID].to_numpy())
        return ranking.best()

    def _needs_index(self, memory_bytes: int) -> bool:
        """Whether the index can apply the filters, and they leave too many rows for exact search."""
        if self.where is None and self.clips is None:
            return True
        if self.clip_ids is not None and len(self.clip_ids) > FEW_CLIPS:
            return False
        return self.snapshot.count(self.table, self.sql) * self.row_bytes > min(FEW_BYTES, memory_bytes)

    def _rows(self, number: np.ndarray, row_id: np.ndarray, cosine: np.ndarray) -> pa.Table:
        schema_of = self.snapshot.schema(self.table)
        hidden = {*map(schema.vector_column, schema.spaces_of(schema_of)), schema.MEDIA.get(self.table)}
        rows = self.snapshot.take(self.table, row_id, [name for name in schema_of.names if name not in hidden])
        rows = rows.add_column(0, "cosine", pa.array(cosine, pa.float32()))
        return rows.add_column(0, "query", pa.array(number, pa.int64()))


def has_index(snapshot: Snapshot, table: str, column: str) -> bool:
    """Returns whether the vectors have an index."""
    return any(column in index.columns for index in snapshot.table(table).list_indices())


def search_index(
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
