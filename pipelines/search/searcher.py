"""One store, and perhaps one model, that can be asked again and again."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import compute

from pipelines.config import Config
from pipelines.progress import say
from pipelines.search.probes import FACE, TABLES, TEXT, VOICE, Encoders, Probe
from pipelines.search.results import Answer, Found, matched
from stores import Snapshot, Store
from stores.pairs import matrix, space_column
from stores.ranking import Ranking, unit
from stores.search import IN_MEMORY, MEMORY_BYTES, STREAM
from vclip.association.base import Association
from vclip.association.calibration import PRIOR
from vclip.association.methods import load as load_association
from vclip.errors import InputError

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
            ranking.add(part.vectors, part.clip_id, part.clip_id)
        return IN_MEMORY if held else STREAM, *ranking.best()

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


FIND = ("faces", "voices")


class Searcher:
    """Finds faces and voices of a store.

    Args:
        store: where to search.
        model: compares faces with voices; without one only like is compared with like.
        config: its sections `encoders` and `extraction`, for what comes as a file.
        memory_bytes: that the vectors of one table may take in memory; see `Store.nearest`.
    """

    def __init__(
        self,
        store: Store,
        model: Association | None = None,
        config: Config | None = None,
        memory_bytes: int = MEMORY_BYTES,
    ):
        self.store, self.model, self._memory_bytes = store, model, memory_bytes
        spaces = (model.face_space, model.voice_space) if model else (store.face_space, store.voice_space)
        self.face_space, self.voice_space = spaces
        self.encoders = Encoders(store, *spaces, config or Config(), model.encoders if model else None)
        self._across = Across(model) if model else None

    @classmethod
    def open(cls, store: str, model: str | Path | None = None, config: Config | None = None) -> "Searcher":
        """Returns a searcher of a store and a model; raises InputError or StoreError where there is none."""
        return cls(Store.open(store), load_association(model) if model else None, config)

    def faces(self, wanted: Sequence[str | Path | np.ndarray], index: int | None = None) -> list[Probe]:
        """Returns faces to search for: pictures, .npy files, face_ids or vectors; see `Encoders.probes`."""
        return self.encoders.probes(FACE, wanted, index)

    def voices(self, wanted: Sequence[str | Path | np.ndarray]) -> list[Probe]:
        """Returns voices to search for: audio files, .npy files, voice_ids or vectors; see `Encoders.probes`."""
        return self.encoders.probes(VOICE, wanted)

    def texts(self, wanted: Sequence[str]) -> list[Probe]:
        """Returns texts to search faces by; raises InputError where the face encoder reads no text."""
        return [self.encoders.text(text) for text in wanted]

    def find(
        self,
        find: str,
        probes: Sequence[Probe],
        k: int = 10,
        where: str | None = None,
        media: str | None = None,
        exact: bool = False,
        prior: float = PRIOR,
    ) -> Answer:
        """Returns what is most like each probe, or suits it best.

        Like is compared with like by the cosine of their vectors. A face is compared with voices, and a voice with
        faces, clip by clip and through the model: by the cosine of what it projects them to, and with the probability
        that they belong to one person, where the model is calibrated.

        Args:
            find: faces or voices.
            probes: of one kind.
            k: hits for each, at most; a face or voice of the store is not found by itself.
            where: an SQL filter over clips, as in "gender = 'f'".
            media: an SQL filter over the table that is searched, as in "quality > 0.5".
            exact: asks no index.
            prior: probability of a match before faces and voices are compared.

        Raises:
            InputError, StoreError: what is asked makes no sense; says what.
        """
        kinds = sorted({probe.kind for probe in probes})
        if find not in FIND or len(kinds) != 1:
            what = f"a search for {find} by {' and '.join(kinds) or 'nothing'}"
            raise InputError(f"{what}: expected faces or voices, by faces, voices or texts, of one kind")
        if k < 1:
            raise InputError(f"search: k = {k}, expected at least 1")
        (kind,) = kinds
        queries = self._stacked(kind, probes)
        if find == TABLES.get(kind, "faces"):
            return self._alike(find, probes, queries, k, where, media, exact)
        if self.model is None:
            raise InputError(f"{find} for a {kind}: expected an association model to compare them, give --model")
        return self._suiting(find, kind, probes, queries, k, where, media, prior)

    def _alike(
        self,
        find: str,
        probes: Sequence[Probe],
        queries: np.ndarray,
        k: int,
        where: str | None,
        media: str | None,
        exact: bool,
    ) -> Answer:
        space, key = (self.face_space, "face_id") if find == "faces" else (self.voice_space, "voice_id")
        more = k + any(probe.id for probe in probes)
        near = self.store.nearest(find, queries, space, more, media, where, exact, self._memory_bytes)
        found: list[list[Found]] = [[] for _ in probes]
        columns = (near.rows[name].to_pylist() for name in ("query", "cosine", "clip_id", key))
        for query, cosine, clip, name in zip(*columns, strict=True):
            if name != probes[query].id and len(found[query]) < k:
                found[query].append(Found(cosine, clip, name))
        matches = matched(near.snapshot, find, [probe.name for probe in probes], found)
        return Answer(find, near.by, False, None, matches)

    def _suiting(
        self,
        find: str,
        kind: str,
        probes: Sequence[Probe],
        queries: np.ndarray,
        k: int,
        where: str | None,
        media: str | None,
        prior: float,
    ) -> Answer:
        calibration = self.model.calibration
        if kind == TEXT:
            calibration = None  # what a cosine is worth was measured on faces
        elif calibration is None:
            say("this model was trained before models were calibrated, so there are no probabilities; train it again")
        snapshot = self.store.snapshot()
        projected = self.model.embed_voices(queries) if kind == VOICE else self.model.embed_faces(queries)
        by, *columns = self._across.nearest(snapshot, find, projected, k, where, media, self._memory_bytes)
        found: list[list[Found]] = [[] for _ in probes]
        for query, clip, cosine in zip(*(column.tolist() for column in columns), strict=True):
            chance = float(calibration.probability(cosine, prior)) if calibration else None
            found[query].append(Found(cosine, clip, probability=chance))
        matches = matched(snapshot, find, [probe.name for probe in probes], found)
        return Answer(find, by, True, prior if calibration else None, matches)

    def _stacked(self, kind: str, probes: Sequence[Probe]) -> np.ndarray:
        """Returns the vectors (m, dim) of probes; raises InputError where one does not fit the space."""
        table = TABLES.get(kind, "faces")
        space = self.voice_space if kind == VOICE else self.face_space
        dim = self.store.spaces(table).get(space, len(probes[0].vector))
        for probe in probes:
            if probe.vector.shape != (dim,) or not np.isfinite(probe.vector).all() or not probe.vector.any():
                raise InputError(
                    f"{kind} {probe.name}: an array of shape {probe.vector.shape}, expected a vector of '{space}' "
                    f"({dim},), finite, not all zero"
                )
        return np.stack([probe.vector for probe in probes])
