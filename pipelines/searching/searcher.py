"""One store, and perhaps one model, that can be asked again and again."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.config import Config
from pipelines.progress import say
from pipelines.searching.across import Across
from pipelines.searching.answers import Answer, Found, matched
from pipelines.searching.probes import FACE, TABLES, TEXT, VOICE, Encoders, Probe
from stores import Store
from stores.search import MEMORY_BYTES
from vclip.association.calibration import PRIOR
from vclip.association.methods import load as load_association
from vclip.association.protocol import Association
from vclip.errors import InputError

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
        self.encoders = Encoders(store, *spaces, config or Config())
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
