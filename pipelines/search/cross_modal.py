"""Search across modalities: the clips whose faces, or voices, an association model scores highest for a query.

A clip is represented by the mean direction of its projected faces or voices, as in the evaluation, on whose scores
the model is calibrated.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.analysis.clips import directions_of
from pipelines.search.probes import VOICE
from stores import Snapshot
from stores.arrow import compute
from stores.ranking import Ranking
from stores.search import IN_MEMORY, MEMORY_BYTES, STREAM
from stores.sql import quoted
from vclip.association.base import Association
from vclip.association.pairs import mean_direction


@dataclass(frozen=True)
class ClipDirections:
    """n clips, in the order of their ids."""

    clip_id: np.ndarray  # (n,) str
    vectors: np.ndarray  # (n, dim) float32, unit norm

    def select(self, clip_ids: pa.ChunkedArray) -> "ClipDirections":
        """Returns the clips with these ids."""
        chosen = _is_in(self.clip_id, clip_ids)
        return ClipDirections(self.clip_id[chosen], self.vectors[chosen])


@dataclass(frozen=True)
class NearestClips:
    """The k best clips of each query, by query, the best first."""

    by: str  # memory | stream
    query: np.ndarray  # (hits,) int64, the number of the query
    clip_id: np.ndarray  # (hits,) str
    cosine: np.ndarray  # (hits,) float32


class CrossModalSearch:
    """Compares queries with the clips of a store through a model; keeps the vectors of the newest state in memory.

    Args:
        model: the association model that projects faces and voices.
    """

    def __init__(self, model: Association):
        self.model = model
        self._cached: dict[str, tuple[tuple, ClipDirections]] = {}
        self._reading = threading.Lock()

    def nearest(
        self,
        snapshot: Snapshot,
        find: str,
        kind: str,
        queries: Sequence[np.ndarray],
        k: int,
        where: str | None = None,
        media: str | None = None,
        memory_bytes: int = MEMORY_BYTES,
    ) -> NearestClips:
        """Returns the clips whose faces or voices fit each query best.

        Args:
            snapshot: the state to read.
            find: faces or voices; what of the clips is compared.
            kind: what the queries are: face, voice or text.
            queries: m queries, each (n, dim) in the space of their kind: one vector, or several of one person, whose
                projections are averaged as those of a clip.
            k: clips for each query, at most.
            where: an SQL filter over clips.
            media: an SQL filter over the table `find`; only its matching rows count.
            memory_bytes: limit of the clips' vectors in memory; larger tables are streamed.
        """
        views, of = np.concatenate(queries), np.repeat(np.arange(len(queries)), [len(query) for query in queries])
        project = self.model.embed_voices if kind == VOICE else self.model.embed_faces
        projected = mean_direction(project(views), of, len(queries))
        most = max(memory_bytes // (4 * projected.shape[1]), 1)
        wanted = None if where is None else snapshot.query("clips", ["clip_id"], where)["clip_id"]
        cached = self._in_memory(snapshot, find, most) if media is None else None
        if cached:
            parts: Iterable[ClipDirections] = [cached if wanted is None else cached.select(wanted)]
        else:
            names = _clip_ids(snapshot, find, media)
            parts = self._parts(
                snapshot, find, names if wanted is None else names[_is_in(names, wanted)], most, media
            )
        ranking = Ranking(projected, k)
        for part in parts:
            ranking.add(part.vectors, part.clip_id, part.clip_id)
        return NearestClips(IN_MEMORY if cached else STREAM, *ranking.best())

    def _in_memory(self, snapshot: Snapshot, find: str, most: int) -> ClipDirections | None:
        """Returns the clips if they are in memory or fit there."""
        version = snapshot.version[find], snapshot.filter(find, None)
        with self._reading:
            cached = self._cached.get(find)
            if cached is None or cached[0] != version:
                names = _clip_ids(snapshot, find, None)
                if len(names) > most:
                    return None
                cached = self._cached[find] = version, next(self._parts(snapshot, find, names, most, None))
            return cached[1]

    def _parts(
        self, snapshot: Snapshot, find: str, names: np.ndarray, most: int, media: str | None
    ) -> Iterator[ClipDirections]:
        """Yields the clips of these sorted ids, at most `most` at a time, each part with a pass over the table."""
        faces = find == "faces"
        space = self.model.face_space if faces else self.model.voice_space
        project = self.model.embed_faces if faces else self.model.embed_voices
        for start in range(0, max(len(names), 1), most):
            some = names[start : start + most]
            first, last = quoted(some[0]), quoted(some[-1])
            bounds = f"clip_id >= {first} AND clip_id <= {last}" if len(some) < len(names) else None
            both = " AND ".join(f"({one})" for one in (media, bounds) if one) or None
            yield ClipDirections(
                some, directions_of(snapshot, find, space, pa.array(some, pa.string()), project, both)
            )


def _is_in(names: np.ndarray, wanted: pa.ChunkedArray) -> np.ndarray:
    return compute.is_in(pa.array(names, pa.string()), wanted).to_numpy(zero_copy_only=False)


def _clip_ids(snapshot: Snapshot, table: str, where: str | None) -> np.ndarray:
    ids = snapshot.query(table, ["clip_id"], where)["clip_id"]
    return np.sort(compute.unique(ids).to_numpy(zero_copy_only=False).astype(str))
