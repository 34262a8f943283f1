"""Probes: faces, voices and texts to search for, made of files, ids of the store, vectors or texts."""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.config import Config
from pipelines.extraction.faces.detectors import FaceDetector, open_detector
from pipelines.extraction.speech.recordings import read_recording
from pipelines.generation.faces import cut_face, encode_faces, open_encoder, read_photo_faces
from pipelines.progress import say
from pipelines.wording import count
from stores import Snapshot, Store
from stores.pairs import matrix
from stores.schema import KEYS, spaces_of, vector_column
from stores.sql import in_lists, quoted
from vclip.association.pairs import mean_direction
from vclip.audio import prepare_speech
from vclip.encoders import FaceEncoder, VoiceEncoder, embed_texts, open_voice_encoder, spec_of_space
from vclip.errors import InputError, SpaceError

FACE, VOICE, TEXT = "face", "voice", "text"
TABLES = {FACE: "faces", VOICE: "voices"}


@dataclass(frozen=True)
class Probe:
    """A face, a voice or a text to search for, or several faces or voices of one person."""

    kind: str  # face | voice | text
    vectors: np.ndarray  # (n, dim) float32, in the searcher's voice space, or for faces and texts in its face space
    name: str
    own: frozenset[str] = frozenset()  # ids of its faces or voices in the store, which are no hits

    @property
    def vector(self) -> np.ndarray:
        """The vector (dim,), or the mean direction of several."""
        if len(self.vectors) == 1:
            return self.vectors[0]
        return mean_direction(self.vectors, np.zeros(len(self.vectors), int), 1)[0]


def one_person(probes: Sequence[Probe]) -> Probe:
    """Returns the probe of one person whom all of the probes, which are of one kind, show.

    Raises:
        InputError: their vectors are of different lengths.
    """
    first = probes[0]
    for probe in probes:
        if probe.vectors.shape[1] != first.vectors.shape[1]:
            raise InputError(
                f"--same-person: found vectors of {first.vectors.shape[1]} numbers in {first.name} and of "
                f"{probe.vectors.shape[1]} in {probe.name}, expected those of one space"
            )
    vectors = np.concatenate([probe.vectors for probe in probes])
    own = frozenset().union(*(probe.own for probe in probes))
    return Probe(probes[0].kind, vectors, " + ".join(probe.name for probe in probes), own)


def stored_probe(snapshot: Snapshot, kind: str, key: str, space: str) -> Probe | None:
    """Returns a face or voice of the store, or None where the store has no vector of it.

    Args:
        snapshot: the state to read.
        kind: face or voice.
        key: its face_id or voice_id.
        space: the space of the vector.
    """
    table, column = TABLES[kind], vector_column(space)
    if space not in spaces_of(snapshot.schema(table)):
        return None
    rows = snapshot.query(table, [column], f"{KEYS[table]} = {quoted(key)}")
    return Probe(kind, matrix(rows[column]), key, frozenset({key})) if len(rows) else None


def person_probe(snapshot: Snapshot, kind: str, identity: str, space: str) -> Probe | None:
    """Returns all faces or voices of a person of the store; arguments and None as of `stored_probe`."""
    table, column = TABLES[kind], vector_column(space)
    if space not in spaces_of(snapshot.schema(table)):
        return None
    clips = snapshot.query("clips", ["clip_id"], f"identity = {quoted(identity)}")["clip_id"].to_pylist()
    found = [snapshot.query(table, [KEYS[table], column], f"clip_id IN ({some})") for some in in_lists(clips)]
    rows = pa.concat_tables(found) if found else None
    if rows is None or not len(rows):
        return None
    own = frozenset(rows[KEYS[table]].to_pylist())
    return Probe(kind, matrix(rows[column]), f"{identity} ({count(len(clips), 'clip')})", own)


class Encoders:
    """Turns files, ids, vectors and texts into probes; opens each encoder when it is first needed."""

    def __init__(
        self,
        store: Store,
        face_space: str,
        voice_space: str,
        config: Config,
        encoders: Mapping[str, str] | None = None,
    ):
        self._store, self._config = store, config
        self._spaces = {FACE: face_space, VOICE: voice_space}
        self._recorded = {**(encoders or {}), **store.encoders}

    def probes(self, kind: str, queries: Sequence[str | Path | np.ndarray], index: int | None = None) -> list[Probe]:
        """Returns the probes of files (photos, speech or .npy), ids of the store, or vectors.

        Args:
            kind: face or voice.
            queries: each a path, an id, or a vector (dim,).
            index: which face of a photo with several, from the left; None takes the largest.

        Raises:
            InputError, StoreError: a query is none of these; names it.
        """
        probes: list[Probe] = []
        for query in queries:
            if isinstance(query, np.ndarray):
                probes += _of_vectors(kind, np.atleast_2d(query), f"vector {len(probes)}")
            elif Path(query).suffix == ".npy":
                probes += _of_vectors(kind, _loaded(Path(query)), str(query))
            elif os.path.isfile(query):  # unlike Path, also where the name is too long for a file
                probes.append(self._of_file(kind, Path(query), index))
            else:
                probes.append(self._of_id(kind, str(query)))
        return probes

    def photo(self, content: bytes, name: str, index: int | None = None) -> Probe:
        """Returns the face in the content of an image file; raises InputError with its name where there is none."""
        face = cut_face(content, name, self._detector, index)
        return Probe(FACE, encode_faces([face], self._face_encoder)[0].vectors, name)

    def text(self, text: str) -> Probe:
        """Returns a text in the face space; raises InputError where the face encoder does not read texts."""
        return Probe(TEXT, embed_texts(self._face_encoder, [text]), text)

    def person(self, kind: str, identity: str) -> Probe:
        """Returns all faces, or all voices, of a person of the store; raises InputError where there are none."""
        snapshot, space = self._store.snapshot(), self._spaces[kind]
        probe = person_probe(snapshot, kind, identity, space)
        if probe is not None:
            return probe
        known = snapshot.query("clips", ["identity"], "identity IS NOT NULL")["identity"].unique().to_pylist()
        if identity in known:
            raise InputError(f"--{kind}-of '{identity}': has no {kind} in '{space}' in {self._store.uri}")
        names = {name.casefold(): name for name in known}
        near = difflib.get_close_matches(identity.strip().casefold(), names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(repr(names[name]) for name in near)}?" if near else ""
        raise InputError(
            f"--{kind}-of '{identity}': {self._store.uri} has {count(len(known), 'identity', 'identities')}, none of "
            f"this name; {hint or 'see vclip query --select identity'}"
        )

    def _of_file(self, kind: str, path: Path, index: int | None) -> Probe:
        if kind == FACE:
            (face,) = encode_faces(read_photo_faces([path], self._detector, index), self._face_encoder)
            return Probe(kind, face.vectors, str(path))
        rate_hz = self._voice_encoder.sample_rate_hz
        speech = read_recording(str(path), rate_hz=rate_hz)
        if speech.note:
            say(f"audio {path}: {speech.note}")
        samples = prepare_speech(speech.samples, speech.rate_hz, rate_hz)
        return Probe(kind, self._voice_encoder.embed([samples]), str(path))

    def _of_id(self, kind: str, key: str) -> Probe:
        space = self._spaces[kind]
        probe = stored_probe(self._store.snapshot(), kind, key, space)
        if probe is None:
            raise InputError(
                f"{kind} '{key}': neither a file nor a {kind}_id of {self._store.uri} with a vector in '{space}'; "
                "see vclip query"
            )
        return probe

    @cached_property
    def _detector(self) -> FaceDetector:
        return open_detector(self._config.extraction.tracks.detector)

    @cached_property
    def _face_encoder(self) -> FaceEncoder:
        space = self._spaces[FACE]
        return open_encoder(spec_of_space(space, self._recorded, self._config.encoders.face), space, None)

    @cached_property
    def _voice_encoder(self) -> VoiceEncoder:
        space = self._spaces[VOICE]
        encoder = open_voice_encoder(spec_of_space(space, self._recorded, self._config.encoders.voice), None)
        if encoder.space != space:
            raise SpaceError(encoder.space, space, "voice encoder")
        return encoder


def _of_vectors(kind: str, vectors: np.ndarray, name: str) -> list[Probe]:
    rows = np.asarray(vectors, np.float32)
    if len(rows) == 1:
        return [Probe(kind, rows, name)]
    return [Probe(kind, row[None], f"{name}[{number}]") for number, row in enumerate(rows)]


def _loaded(path: Path) -> np.ndarray:
    try:
        vectors = np.atleast_2d(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"vectors {path}: {error}; expected a .npy of shape (dim,) or (n, dim)") from None
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu" or not len(vectors):
        raise InputError(
            f"vectors {path}: shape {vectors.shape} {vectors.dtype}, expected (dim,) or (n, dim) numbers"
        )
    return vectors
