"""What a model says of all faces with all voices, a block at a time."""

from dataclasses import dataclass

import numpy as np

from vclip.association.base import Association
from vclip.association.pairs import Pairs, mean_direction
from vclip.association.score_norm import Level, normalise
from vclip.errors import InputError


@dataclass(frozen=True)
class Scores:
    """Embedded faces and voices, and how the cohort scores with them where scores are normalised."""

    faces: np.ndarray  # (F, dim) float32, unit norm
    voices: np.ndarray  # (V, dim) float32, unit norm
    face_level: Level | None = None
    voice_level: Level | None = None

    @classmethod
    def of(cls, model: Association, pairs: Pairs, cohort: Pairs | None = None, top: int | None = None) -> "Scores":
        """Returns the scores of the clips of `pairs`, normalised against the clips of `cohort` if given.

        Raises:
            InputError: the model's vectors hold no number, or the cohort is too small.
        """
        return cls(*embed_clips(model, pairs)).normalised(model, cohort, top)

    def normalised(self, model: Association, cohort: Pairs | None, top: int | None = None) -> "Scores":
        """Returns the same, normalised against the clips of `cohort` (see `s_norm`); unchanged if that is None."""
        if cohort is None:
            return self
        faces, voices = embed_clips(model, cohort)
        levels = Level.between(self.faces, voices, top), Level.between(self.voices, faces, top)
        return Scores(self.faces, self.voices, *levels)

    def __call__(self, faces: np.ndarray, voices: np.ndarray) -> np.ndarray:
        """Returns (n, m) float32 of rows of faces (n,) with rows of voices (m,)."""
        scores = self.faces[faces] @ self.voices[voices].T
        if self.face_level is None:
            return scores
        return normalise(scores, self.face_level[faces], self.voice_level[voices])

    def of_trials(self, faces: np.ndarray, voices: np.ndarray) -> np.ndarray:
        """Returns (n,) float32 of rows of faces (n,), each with its row of voices (n,)."""
        # einsum would hold two gathered copies; parts of them fit in the cache.
        parts = (slice(i, i + 8192) for i in range(0, len(faces), 8192))
        scores = [np.einsum("nd,nd->n", self.faces[faces[part]], self.voices[voices[part]]) for part in parts]
        scores = np.concatenate([np.empty(0, np.float32), *scores])
        if self.face_level is None:
            return scores
        face, voice = self.face_level[faces], self.voice_level[voices]
        return ((scores - face.mean) / face.std + (scores - voice.mean) / voice.std) / 2


def clip_scores(model: Association, pairs: Pairs) -> np.ndarray:
    """Returns the cosines (C, C) float32 of the face of each clip (rows) with the voice of each (columns).

    A clip's face and voice are the normed means over its views.
    """
    rows = np.arange(len(pairs))
    return Scores.of(model, pairs)(rows, rows)


def embed_clips(model: Association, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Returns the faces and the voices (C, dim) of clips: the normed means over their embedded views.

    Raises:
        InputError: a vector of a clip, or the model's of it, holds NaN or infinity; names the clip.
    """
    faces = mean_direction(model.embed_faces(pairs.faces), pairs.face_clip, len(pairs))
    voices = mean_direction(model.embed_voices(pairs.voices), pairs.voice_clip, len(pairs))
    for what, vectors in (("face", faces), ("voice", voices)):
        bad = ~np.isfinite(vectors).all(1)
        if bad.any():
            raise InputError(
                f"clip '{pairs.clip_id[bad][0]}': its {what} vector holds NaN or infinity, expected numbers"
                f" ({bad.sum()} of {len(pairs)} clips)"
            )
    return faces, voices
