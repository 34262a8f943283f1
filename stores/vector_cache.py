"""The vectors of one table and space in memory, read once for each version of the table."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import compute

from stores import schema
from stores.pairs import matrix
from stores.ranking import PART, Ranking, unit
from stores.snapshot import ROW_ID, Snapshot

READ = 1 << 13  # rows at a time


@dataclass(frozen=True)
class Resident:
    """n vectors of unit norm, and what finds their rows."""

    vectors: np.ndarray  # (n, dim) float32
    row_ids: np.ndarray  # (n,) uint64, ascending
    rank: np.ndarray  # (n,) int32, place of the row's id among all ids
    clip_id: pa.ChunkedArray  # (n,) str

    @classmethod
    def read(cls, snapshot: Snapshot, table: str, column: str) -> "Resident":
        """Returns the vectors of all visible rows."""
        key, count = schema.KEYS[table], snapshot.count(table)
        dim = snapshot.schema(table).field(column).type.list_size
        vectors, row_ids = np.zeros((count, dim), np.float32), np.empty(count, np.uint64)
        names, read = [], 0
        for batch in snapshot.batches(table, [key, "clip_id", column, ROW_ID], rows=READ):
            part = slice(read, read + len(batch))
            rows = pa.Table.from_batches([batch])
            unit(matrix(rows[column]), out=vectors[part])
            row_ids[part] = rows[ROW_ID].to_numpy()
            names.append(rows.select([key, "clip_id"]))
            read += len(batch)
        ids = pa.concat_tables(names) if names else pa.table({key: pa.array([], pa.string()), "clip_id": []})
        if (row_ids[1:] < row_ids[:-1]).any():
            order = np.argsort(row_ids)
            vectors, row_ids, ids = vectors[order], row_ids[order], ids.take(order)
        rank = np.empty(count, np.int32)
        rank[compute.sort_indices(ids[key]).to_numpy()] = np.arange(count, dtype=np.int32)
        return cls(vectors, row_ids, rank, ids["clip_id"].cast(pa.string()))

    def rank_by(self, ranking: Ranking, chosen: np.ndarray | None) -> None:
        """Shows the ranking the vectors; those at `chosen` (n,) bool where given."""
        if chosen is None:
            ranking.see(self.vectors, self.rank, self.row_ids)
            return
        places = np.flatnonzero(chosen)
        for start in range(0, len(places), PART):
            some = places[start : start + PART]
            ranking.see(self.vectors[some], self.rank[some], self.row_ids[some])

    def among(self, row_ids: np.ndarray) -> np.ndarray:
        """Returns which rows (n,) bool have one of these ids."""
        chosen = np.zeros(len(self.row_ids), bool)
        chosen[np.searchsorted(self.row_ids, row_ids)] = True
        return chosen


class Memory:
    """The matrices that are in memory; one of each table and space, of the version last asked for.

    A copy in another process starts empty.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], tuple[tuple, Resident]] = {}
        self._reading = threading.Lock()

    def __reduce__(self) -> tuple[type["Memory"], tuple[()]]:
        return Memory, ()

    def get(self, snapshot: Snapshot, table: str, column: str) -> Resident:
        """Returns the matrix of what this snapshot sees."""
        # The ledger may vouch for other rows of the same version.
        version = snapshot.version[table], snapshot.filter(table, None)
        with self._reading:
            held = self._held.pop((table, column), None)
            if held is None or held[0] != version:
                held = None  # two versions at once need twice the memory
                held = version, Resident.read(snapshot, table, column)
            self._held[table, column] = held
            return held[1]


def batches(snapshot: Snapshot, table: str, column: str, where: str | None) -> Iterator[pa.Table]:
    """Yields id, clip_id, vectors and row ids of a table that is too large for memory."""
    for batch in snapshot.batches(table, [schema.KEYS[table], "clip_id", column, ROW_ID], where, READ):
        yield pa.Table.from_batches([batch])
