"""Clips as a model sees them: one vector of each clip's faces, or voices, to be compared with the other modality.

A clip's vector is the normed mean of its projected views, as in the evaluation and so in the calibration.
"""

import threading
from collections.abc import Iterable, Iterator
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

    def among(self, wanted: pa.ChunkedArray) -> "Clips":
        """Returns those of these ids."""
        chosen = _is_in(self.clip_id, wanted)
        return Clips(self.clip_id[chosen], self.vectors[chosen])


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
        most = max(memory_bytes // (4 * dim), 1)
        wanted = None if clips is None else snapshot.query("clips", ["clip_id"], clips)["clip_id"]
        ranking = Ranking(queries, k)
        held = self._resident(snapshot, table, dim, most) if where is None else None
        if held:
            parts: Iterable[Clips] = [held if wanted is None else held.among(wanted)]
        else:
            names = _clip_ids(snapshot, table, where)
            names = names if wanted is None else names[_is_in(names, wanted)]
            parts = self._parts(snapshot, table, names, dim, most, where)
        for part in parts:
            ranking.see(part.vectors, part.clip_id, part.clip_id)
        return RESIDENT if held else STREAM, *ranking.best()

    def _resident(self, snapshot: Snapshot, table: str, dim: int, most: int) -> Clips | None:
        """Returns the clips if they are, or may be, in memory."""
        version = snapshot.version[table], snapshot.filter(table, None)
        with self._reading:
            held = self._held.get(table)
            if held is None or held[0] != version:
                names = _clip_ids(snapshot, table, None)
                if len(names) > most:
                    return None
                held = self._held[table] = version, next(self._parts(snapshot, table, names, dim, most, None))
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


def _is_in(names: np.ndarray, wanted: pa.ChunkedArray) -> np.ndarray:
    return compute.is_in(pa.array(names), wanted).to_numpy(zero_copy_only=False)


def _clip_ids(snapshot: Snapshot, table: str, where: str | None) -> np.ndarray:
    ids = snapshot.query(table, ["clip_id"], where)["clip_id"]
    return np.sort(compute.unique(ids).to_numpy(zero_copy_only=False).astype(str))
