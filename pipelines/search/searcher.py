"""The searcher of one store, with or without an association model; keeps what it read for the next search."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.association.centring import centred_on
from pipelines.config import Config
from pipelines.progress import warn
from pipelines.search.cross_modal import CrossModalSearch
from pipelines.search.probes import FACE, TABLES, TEXT, VOICE, Encoders, Probe
from pipelines.search.results import Answer, BareHit, matches_of
from stores import Snapshot, Store
from stores.schema import KEYS
from stores.search import MEMORY_BYTES
from vclip.association.base import Association
from vclip.association.calibration import PRIOR, ScoreCalibration
from vclip.association.methods import load as load_association
from vclip.errors import InputError


class Searcher:
    """Finds faces and voices of a store.

    Args:
        store: the store to search.
        model: the association model that compares faces with voices; without one, faces are only compared with
            faces, and voices with voices.
        config: its sections `encoders` and `extraction` are used for queries that are files.
        memory_bytes: limit of the vectors of one table in memory; see `Store.nearest`.
        centre: whether the model is centred on the means of the store, see `vclip.association.centring`.

    Raises:
        InputError, StoreError: a model is to be centred and cannot be.
    """

    def __init__(
        self,
        store: Store,
        model: Association | None = None,
        config: Config | None = None,
        memory_bytes: int = MEMORY_BYTES,
        centre: bool = False,
    ):
        if centre:
            if model is None:
                raise InputError("search: found --centre without --model; expected the model to centre")
            model = centred_on(model, store.snapshot(), store.uri)
        self.store, self.model, self._memory_bytes, self._centred = store, model, memory_bytes, centre
        spaces = (model.face_space, model.voice_space) if model else (store.face_space, store.voice_space)
        self.face_space, self.voice_space = spaces
        self.encoders = Encoders(store, *spaces, config or Config(), model.encoders if model else None)
        self._cross_modal = CrossModalSearch(model) if model else None

    @classmethod
    def open(
        cls,
        store: str,
        model: str | Path | None = None,
        config: Config | None = None,
        memory_bytes: int = MEMORY_BYTES,
        centre: bool = False,
    ) -> "Searcher":
        """Returns the searcher of the store at a URI and the model in a folder.

        Raises:
            InputError, StoreError: there is no such store or model.
        """
        loaded = load_association(model, None) if model else None
        return cls(Store.open(store), loaded, config, memory_bytes, centre)

    def faces(self, queries: Sequence[str | Path | np.ndarray], index: int | None = None) -> list[Probe]:
        """Returns faces to search for: photos, .npy files, face_ids or vectors; see `Encoders.probes`."""
        return self.encoders.probes(FACE, queries, index)

    def voices(self, queries: Sequence[str | Path | np.ndarray]) -> list[Probe]:
        """Returns voices to search for: audio files, .npy files, voice_ids or vectors; see `Encoders.probes`."""
        return self.encoders.probes(VOICE, queries)

    def person(self, kind: str, identity: str) -> Probe:
        """Returns all faces or all voices (`kind` face or voice) of a person of the store, to search for at once."""
        return self.encoders.person(kind, identity)

    def texts(self, queries: Sequence[str]) -> list[Probe]:
        """Returns texts to search faces by; raises InputError where the face encoder does not read texts."""
        return [self.encoders.text(text) for text in queries]

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
        """Returns the faces or voices that are most similar to each probe, or match it best.

        Faces are compared with faces, and voices with voices, by the cosine of their vectors. Faces are compared
        with voices clip by clip and through the model: by the cosine of their projections and, where the model is
        calibrated, with the probability that both belong to one person.

        Args:
            find: faces or voices.
            probes: of one kind. Several faces or voices of one person in a probe are compared as one: by the mean
                direction of their vectors or, through the model, of their projections.
            k: hits for each probe, at most; a face or voice of the store is not among its own hits.
            where: an SQL filter over clips, as in "gender = 'f'".
            media: an SQL filter over the table that is searched, as in "quality > 0.5".
            exact: do not use an index.
            prior: probability of a match before faces and voices are compared.

        Raises:
            InputError, StoreError: an argument cannot be used, or the search needs a model and there is none.
        """
        kinds = sorted({probe.kind for probe in probes})
        if find not in TABLES.values() or len(kinds) != 1:
            what = f"a search for {find} by {' and '.join(kinds) or 'nothing'}"
            raise InputError(f"{what}: expected faces or voices, by faces, voices or texts, of one kind")
        if k < 1:
            raise InputError(f"search: k = {k}, expected at least 1")
        (kind,) = kinds
        self._check(kind, probes)
        names = [probe.name for probe in probes]
        if find == TABLES.get(kind, "faces"):
            snapshot, by, hits = self._similar(find, probes, k, where, media, exact)
            return Answer(find, by, False, None, matches_of(snapshot, find, names, hits))
        if self._cross_modal is None:
            raise InputError(f"{find} for a {kind}: expected an association model to compare them, give --model")
        calibration, snapshot = _calibration(self._cross_modal.model, kind), self.store.snapshot()
        views = [probe.vectors for probe in probes]
        near = self._cross_modal.nearest(snapshot, find, kind, views, k, where, media, self._memory_bytes)
        hits: list[list[BareHit]] = [[] for _ in probes]
        for query, clip, cosine in zip(near.query.tolist(), near.clip_id.tolist(), near.cosine.tolist(), strict=True):
            probability = float(calibration.probability(cosine, prior)) if calibration else None
            hits[query].append(BareHit(cosine, clip, probability=probability))
        matches = matches_of(snapshot, find, names, hits)
        return Answer(find, near.by, True, prior if calibration else None, matches, self._centred)

    def _similar(
        self,
        find: str,
        probes: Sequence[Probe],
        k: int,
        where: str | None,
        media: str | None,
        exact: bool,
    ) -> tuple[Snapshot, str, list[list[BareHit]]]:
        """Returns the state that was searched, how, and the hits of each probe within its own modality."""
        space = self.face_space if find == "faces" else self.voice_space
        more = k + max(len(probe.own) for probe in probes)  # the probe itself may come back
        queries = np.stack([probe.vector for probe in probes])
        near = self.store.nearest(find, queries, space, more, media, where, exact, self._memory_bytes)
        hits: list[list[BareHit]] = [[] for _ in probes]
        columns = (near.rows[name].to_pylist() for name in ("query", "cosine", "clip_id", KEYS[find]))
        for query, cosine, clip, name in zip(*columns, strict=True):
            if name not in probes[query].own and len(hits[query]) < k:
                hits[query].append(BareHit(cosine, clip, name))
        return near.snapshot, near.by, hits

    def _check(self, kind: str, probes: Sequence[Probe]) -> None:
        """Raises InputError where a probe's vectors do not fit the space."""
        table = TABLES.get(kind, "faces")
        space = self.voice_space if kind == VOICE else self.face_space
        dim = self.store.spaces(table).get(space, probes[0].vectors.shape[-1])
        for probe in probes:
            if (
                probe.vectors.shape[1:] != (dim,)
                or not np.isfinite(probe.vectors).all()
                or not probe.vectors.any(1).all()
            ):
                raise InputError(
                    f"{kind} {probe.name}: an array of shape {probe.vectors.shape}, expected vectors of '{space}' "
                    f"(n, {dim}), finite, none all zero"
                )


def _calibration(model: Association, kind: str) -> ScoreCalibration | None:
    """Returns the calibration of the scores of probes of a kind; None for texts, because faces were calibrated."""
    if kind == TEXT:
        return None
    if model.calibration is None:
        warn("this model was trained before models were calibrated, so there are no probabilities; train it again")
    return model.calibration
