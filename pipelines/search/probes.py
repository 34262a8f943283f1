"""What is searched for: faces and voices out of files, out of the store, or vectors; and texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.config import Config
from pipelines.extraction.faces.detectors import open_detector
from pipelines.generation.faces import cut_face, encode_faces, open_encoder, read_photo_faces
from stores import Store
from stores.schema import KEYS, spaces_of, vector_column
from stores.sql import quoted
from vclip.audio import prepare_speech, read_audio
from vclip.encoders import embed_texts, open_voice_encoder, spec_of_space
from vclip.errors import InputError, SpaceError

FACE, VOICE, TEXT = "face", "voice", "text"
TABLES = {FACE: "faces", VOICE: "voices"}


@dataclass(frozen=True)
class Probe:
    """One thing to search for."""

    kind: str  # face | voice | text
    vector: np.ndarray  # (dim,) float32, of the searcher's face space, also for a text, or voice space
    name: str
    id: str | None = None  # where it is a face or a voice of the store: it is not found itself


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
        self._opened: dict[str, Any] = {}

    def probes(self, kind: str, wanted: Sequence[str | Path | np.ndarray], index: int | None = None) -> list[Probe]:
        """Returns the probes of files (pictures, speech or .npy), ids of the store, or vectors.

        Args:
            kind: face or voice.
            wanted: each a path, an id, or a vector (dim,).
            index: which face of a picture with several, from the left; None takes the largest.

        Raises:
            InputError, StoreError: one of them is none of these; names it.
        """
        probes: list[Probe] = []
        for one in wanted:
            if isinstance(one, np.ndarray):
                probes += self._vectors(kind, np.atleast_2d(one), f"vector {len(probes)}")
            elif Path(one).suffix == ".npy":
                probes += self._vectors(kind, _loaded(Path(one)), str(one))
            elif Path(one).is_file():
                vector = self._face_file(Path(one), index) if kind == FACE else self.voice_vector(str(one))
                probes.append(Probe(kind, vector, str(one)))
            else:
                probes.append(self._of_store(kind, str(one)))
        return probes

    def face_in(self, picture: bytes, name: str, index: int | None = None) -> Probe:
        """Returns the face in the content of a picture file; raises InputError, naming it, where there is none."""
        portrait = cut_face(picture, name, self._detector(), index)
        return Probe(FACE, encode_faces([portrait], self._face())[0].vector, name)

    def voice_vector(self, speech: str | bytes) -> np.ndarray:
        """Returns the vector (dim,) of an audio file, or of the content of one."""
        encoder = self._voice()
        samples = prepare_speech(*read_audio(speech), encoder.sample_rate_hz)
        return encoder.embed([samples])[0]

    def text(self, text: str) -> Probe:
        """Returns a text in the face space.

        Raises:
            InputError: the face encoder has no text tower.
        """
        return Probe(TEXT, embed_texts(self._face(), [text])[0], text)

    def _vectors(self, kind: str, vectors: np.ndarray, name: str) -> list[Probe]:
        rows = np.asarray(vectors, np.float32)
        if len(rows) == 1:
            return [Probe(kind, rows[0], name)]
        return [Probe(kind, row, f"{name}[{number}]") for number, row in enumerate(rows)]

    def _face_file(self, path: Path, index: int | None) -> np.ndarray:
        return encode_faces(read_photo_faces([path], self._detector(), index), self._face())[0].vector

    def _of_store(self, kind: str, name: str) -> Probe:
        table, space = TABLES[kind], self._spaces[kind]
        snapshot = self._store.snapshot()
        found: list[dict] = []
        if space in spaces_of(snapshot.schema(table)):
            column = vector_column(space)
            found = snapshot.query(table, [column], f"{KEYS[table]} = {quoted(name)}").to_pylist()
        if not found:
            raise InputError(
                f"{kind} '{name}': neither a file nor a {KEYS[table]} of {self._store.uri} with a vector in "
                f"'{space}'; see vclip query"
            )
        return Probe(kind, np.array(found[0][column], np.float32), name, name)

    def _detector(self) -> Any:
        return self._kept("detector", lambda: open_detector(self._config.extraction.tracks.detector))

    def _face(self) -> Any:
        space = self._spaces[FACE]
        return self._kept(
            FACE, lambda: open_encoder(spec_of_space(space, self._recorded, self._config.encoders.face), space)
        )

    def _voice(self) -> Any:
        space = self._spaces[VOICE]
        spec = spec_of_space(space, self._recorded, self._config.encoders.voice)
        encoder = self._kept(VOICE, lambda: open_voice_encoder(spec))
        if encoder.space != space:
            raise SpaceError(encoder.space, space, "voice encoder")
        return encoder

    def _kept(self, name: str, make: Any) -> Any:
        if name not in self._opened:
            self._opened[name] = make()
        return self._opened[name]


def _loaded(path: Path) -> np.ndarray:
    try:
        vectors = np.atleast_2d(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"vectors {path}: {error}; expected a .npy of shape (dim,) or (n, dim)") from None
    if vectors.ndim != 2 or not np.issubdtype(vectors.dtype, np.number) or not len(vectors):
        raise InputError(
            f"vectors {path}: shape {vectors.shape} {vectors.dtype}, expected (dim,) or (n, dim) numbers"
        )
    return vectors
