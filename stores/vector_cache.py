"""The vectors of one table and space in memory, read once for each version of the table."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stores import schema
from stores.arrow import compute
from stores.pairs import matrix
from stores.ranking import PART, Ranking, unit
from stores.snapshot import ROW_ID, Snapshot

BATCH = 1 << 13  # rows read at a time


@dataclass(frozen=True)
class CachedVectors:
    """n vectors of unit norm, and the columns that find their rows."""

    vectors: np.ndarray  # (n, dim) float32
    row_ids: np.ndarray  # (n,) uint64, ascending
    rank: np.ndarray  # (n,) int32, position of the row's id among all ids, sorted
    clip_id: pa.ChunkedArray  # (n,) str

    @classmethod
    def read(cls, snapshot: Snapshot, table: str, column: str) -> "CachedVectors":
        """Returns the vectors of all visible rows."""
        key, count = schema.KEYS[table], snapshot.count(table)
        dim = snapshot.schema(table).field(column).type.list_size
        vectors, row_ids = np.zeros((count, dim), np.float32), np.empty(count, np.uint64)
        names, read = [], 0
        for rows in batches(snapshot, table, column):
            part = slice(read, read + len(rows))
            unit(matrix(rows[column]), out=vectors[part])
            row_ids[part] = rows[ROW_ID].to_numpy()
            names.append(rows.select([key, "clip_id"]))
            read += len(rows)
        ids = pa.concat_tables(names) if names else pa.table({key: pa.array([], pa.string()), "clip_id": []})
        if (row_ids[1:] < row_ids[:-1]).any():
            order = np.argsort(row_ids)
            vectors, row_ids, ids = vectors[order], row_ids[order], ids.take(order)
        rank = np.empty(count, np.int32)
        rank[compute.sort_indices(ids[key]).to_numpy()] = np.arange(count, dtype=np.int32)
        return cls(vectors, row_ids, rank, ids["clip_id"].cast(pa.string()))

    def rank_by(self, ranking: Ranking, chosen: np.ndarray | None = None) -> None:
        """Adds the vectors to a ranking; only those at `chosen` (n,) bool where given."""
        if chosen is None:
            ranking.add(self.vectors, self.rank, self.row_ids)
            return
        places = np.flatnonzero(chosen)
        for start in range(0, len(places), PART):
            some = places[start : start + PART]
            ranking.add(self.vectors[some], self.rank[some], self.row_ids[some])

    def has_row_id(self, row_ids: np.ndarray) -> np.ndarray:
        """Returns which rows (n,) bool have one of these ids, all of which must be cached."""
        chosen = np.zeros(len(self.row_ids), bool)
        chosen[np.searchsorted(self.row_ids, row_ids)] = True
        return chosen


class VectorCache:
    """The vectors in memory: one array for each table and space, of the version used last."""

    def __init__(self) -> None:
        self._cached: dict[tuple[str, str], tuple[tuple, CachedVectors]] = {}
        self._reading = threading.Lock()

    def get(self, snapshot: Snapshot, table: str, column: str) -> CachedVectors:
        """Returns the vectors that are visible in this snapshot; reads them where they are not in memory."""
        # At the same version of the table, another version of the ledger may show other rows.
        version = snapshot.version[table], snapshot.filter(table, None)
        with self._reading:
            cached = self._cached.pop((table, column), None)
            if cached is None or cached[0] != version:
                cached = None  # frees the old version first: both at once need twice the memory
                cached = version, CachedVectors.read(snapshot, table, column)
            self._cached[table, column] = cached
            return cached[1]


def batches(snapshot: Snapshot, table: str, column: str, where: str | None = None) -> Iterator[pa.Table]:
    """Yields id, clip_id, vectors and row ids of a table, `BATCH` rows at a time."""
    for batch in snapshot.batches(table, [schema.KEYS[table], "clip_id", column, ROW_ID], where, BATCH):
        yield pa.Table.from_batches([batch])
