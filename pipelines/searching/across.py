"""Clips as a model sees them: one vector of each clip's faces, or voices, to be compared with the other modality.

A clip's vector is the normed mean of its projected views, as in the evaluation and so in the calibration.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import compute

from stores import Snapshot
from stores.pairs import matrix, space_column
from stores.ranking import Ranking, unit
from stores.search import MEMORY_BYTES, RESIDENT, STREAM
from vclip.association.protocol import Association

READ = 1 << 13  # rows at a time


@dataclass(frozen=True)
class Clips:
    """n clips, in the order of their ids."""

    clip_id: np.ndarray  # (n,) str
    vectors: np.ndarray  # (n, dim) float32, unit norm


class Across:
    """Compares projected queries with a store's clips; keeps the clips of the newest state that fit in memory."""

    def __init__(self, model: Association):
        self._model = model
        self._held: dict[str, tuple[tuple, Clips]] = {}
        self._reading = threading.Lock()

    def nearest(
        self,
        snapshot: Snapshot,
        table: str,
        queries: np.ndarray,
        k: int,
        clips: str | None = None,
        where: str | None = None,
        memory_bytes: int = MEMORY_BYTES,
    ) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
        """Returns how it was done, and of the k best clips of each query, by query: query, clip_id and cosine.

        Args:
            snapshot: the state to read.
            table: faces or voices; what of the clips is compared.
            queries: (m, dim) of the other modality, projected.
            k: clips for each query, at most.
            clips: an SQL filter over clips.
            where: an SQL filter over `table`: only such rows count.
            memory_bytes: that the clips' vectors may take.
        """
        dim = queries.shape[1]
        names = _clip_ids(snapshot, table, where)
        most = max(memory_bytes // (4 * dim), 1)
        wanted = None if clips is None else snapshot.query("clips", ["clip_id"], clips)["clip_id"]
        ranking = Ranking(queries, k)
        if len(names) <= most and where is None:
            by, parts = RESIDENT, iter([self._resident(snapshot, table, names, dim)])
        else:
            if wanted is not None:
                names = names[compute.is_in(pa.array(names), wanted.combine_chunks()).to_numpy(zero_copy_only=False)]
            by, parts = STREAM, self._parts(snapshot, table, names, dim, most, where)
        for part in parts:
            chosen = np.arange(len(part.clip_id))
            if wanted is not None and by == RESIDENT:
                chosen = np.flatnonzero(np.isin(part.clip_id, wanted.to_numpy().astype(str)))
            vectors = part.vectors if len(chosen) == len(part.vectors) else part.vectors[chosen]
            names_of = part.clip_id[chosen]
            ranking.see(vectors, names_of, names_of)
        query, name, cosine = ranking.best()
        return by, query, name, cosine

    def _resident(self, snapshot: Snapshot, table: str, names: np.ndarray, dim: int) -> Clips:
        version = snapshot.version[table], snapshot.filter(table, None)
        with self._reading:
            held = self._held.get(table)
            if held is None or held[0] != version:
                held = version, next(self._parts(snapshot, table, names, dim, max(len(names), 1), None))
                self._held[table] = held
            return held[1]

    def _parts(
        self, snapshot: Snapshot, table: str, names: np.ndarray, dim: int, most: int, where: str | None
    ) -> Iterator[Clips]:
        """Yields the clips of these ids, at most so many at a time, each with a pass over the table."""
        faces = table == "faces"
        space = self._model.face_space if faces else self._model.voice_space
        project = self._model.embed_faces if faces else self._model.embed_voices
        column = space_column(snapshot, table, space)
        for start in range(0, max(len(names), 1), most):
            some = names[start : start + most]
            sums = np.zeros((len(some), dim), np.float32)
            bounds = f"clip_id >= '{some[0]}' AND clip_id <= '{some[-1]}'" if len(some) < len(names) else None
            both = " AND ".join(f"({one})" for one in (where, bounds) if one) or None
            for batch in snapshot.batches(table, ["clip_id", column], both, READ):
                rows = pa.Table.from_batches([batch])
                clip = rows["clip_id"].to_numpy().astype(str)
                place = np.searchsorted(some, clip)
                mine = place < len(some)
                mine[mine] = some[place[mine]] == clip[mine]
                if mine.any():
                    np.add.at(sums, place[mine], project(matrix(rows[column])[mine]))
            yield Clips(some, unit(sums))


def _clip_ids(snapshot: Snapshot, table: str, where: str | None) -> np.ndarray:
    ids = snapshot.query(table, ["clip_id"], where)["clip_id"]
    return np.sort(compute.unique(ids).to_numpy(zero_copy_only=False).astype(str))
