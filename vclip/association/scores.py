"""Scores of faces with voices: cosines of a model's embeddings, normalised against a cohort if one is given.

Symmetric score normalisation (s-norm) measures a score in standard deviations above the scores that its face and its
voice have with a cohort of other people:

    s_norm(x, e) = ((s - mean_x) / std_x + (s - mean_e) / std_e) / 2

where mean_x and std_x are of the scores of the face with the voices of the cohort, and mean_e and std_e of the scores
of the voice with its faces (Shum et al., Unsupervised speaker adaptation based on the cosine similarity, 2010).
Adaptive s-norm takes only the `top` highest cohort scores of each (Matejka et al., Analysis of score normalization in
multilingual speaker recognition, 2017).
"""

from dataclasses import dataclass

import numpy as np

from vclip.association.base import Association
from vclip.association.pairs import Pairs, mean_direction
from vclip.errors import InputError

ROWS = 2048  # rows scored against the cohort at a time


@dataclass(frozen=True)
class Level:
    """The mean and standard deviation of the cohort scores of each face, or of each voice."""

    mean: np.ndarray  # (n,) float32
    std: np.ndarray  # (n,) float32

    @classmethod
    def of(cls, scores: np.ndarray, top: int | None = None) -> "Level":
        """Returns the level of each row of scores (n, cohort), or of the `top` highest scores of each row.

        Raises:
            InputError: fewer than two scores in a row, or rows whose scores are all the same.
        """
        if top is not None:
            if top < 2:
                raise InputError(f"score normalisation: found a top of {top}, expected at least 2")
            scores = np.partition(scores, -top, axis=1)[:, -top:] if top < scores.shape[1] else scores
        if scores.shape[1] < 2:
            raise InputError(f"score normalisation: found a cohort of {scores.shape[1]}, expected at least 2")
        mean, std = scores.mean(1, dtype=np.float64), scores.std(1, dtype=np.float64)
        if len(std) and std.min() < 1e-9:
            raise InputError("score normalisation: the cohort's scores are all the same; expected different people")
        return cls(mean.astype(np.float32), std.astype(np.float32))

    @classmethod
    def between(cls, vectors: np.ndarray, cohort: np.ndarray, top: int | None = None, rows: int = ROWS) -> "Level":
        """Returns the level of each of the vectors (n, dim) against the cohort (cohort, dim); both have unit norm."""
        parts = [cls.of(vectors[i : i + rows] @ cohort.T, top) for i in range(0, len(vectors), rows)]
        return cls(np.concatenate([part.mean for part in parts]), np.concatenate([part.std for part in parts]))

    def __getitem__(self, rows: np.ndarray) -> "Level":
        return Level(self.mean[rows], self.std[rows])


def normalise(scores: np.ndarray, face: Level, voice: Level) -> np.ndarray:
    """Returns scores (faces, voices) normalised by the levels of the faces and the voices."""
    return _s_norm(scores, Level(face.mean[:, None], face.std[:, None]), voice)


def _s_norm(scores: np.ndarray, face: Level, voice: Level) -> np.ndarray:
    return ((scores - face.mean) / face.std + (scores - voice.mean) / voice.std) / 2


@dataclass(frozen=True)
class Scores:
    """Embedded faces and voices, and their levels if scores are normalised."""

    faces: np.ndarray  # (F, dim) float32, unit norm
    voices: np.ndarray  # (V, dim) float32, unit norm
    face_level: Level | None = None
    voice_level: Level | None = None

    @classmethod
    def of(cls, model: Association, pairs: Pairs, cohort: Pairs | None = None, top: int | None = None) -> "Scores":
        """Returns the scores of the clips of `pairs`, normalised against the clips of `cohort` if given.

        Raises:
            InputError: an embedding holds NaN or infinity, or the cohort is too small.
        """
        return cls(*embed_clips(model, pairs)).normalised(model, cohort, top)

    def normalised(self, model: Association, cohort: Pairs | None, top: int | None = None) -> "Scores":
        """Returns the scores normalised against the clips of `cohort` (s-norm), or unchanged if it is None."""
        if cohort is None:
            return self
        faces, voices = embed_clips(model, cohort)
        levels = Level.between(self.faces, voices, top), Level.between(self.voices, faces, top)
        return Scores(self.faces, self.voices, *levels)

    def __call__(self, faces: np.ndarray, voices: np.ndarray) -> np.ndarray:
        """Returns the scores (n, m) float32 of the faces in rows (n,) with the voices in rows (m,)."""
        scores = self.faces[faces] @ self.voices[voices].T
        if self.face_level is None or self.voice_level is None:
            return scores
        return normalise(scores, self.face_level[faces], self.voice_level[voices])

    def of_trials(self, faces: np.ndarray, voices: np.ndarray) -> np.ndarray:
        """Returns the scores (n,) float32 of trials: the face in each row (n,) with the voice in each row (n,)."""
        # All at once, einsum would hold two gathered copies; parts of them fit in the cache.
        parts = (slice(i, i + 8192) for i in range(0, len(faces), 8192))
        scores = [np.einsum("nd,nd->n", self.faces[faces[part]], self.voices[voices[part]]) for part in parts]
        scores = np.concatenate([np.empty(0, np.float32), *scores])
        if self.face_level is None or self.voice_level is None:
            return scores
        return _s_norm(scores, self.face_level[faces], self.voice_level[voices])


def clip_scores(model: Association, pairs: Pairs) -> np.ndarray:
    """Returns the cosines (C, C) float32 of the face of each clip (rows) with the voice of each (columns).

    The face and the voice of a clip are the mean directions of its views.
    """
    rows = np.arange(len(pairs))
    return Scores.of(model, pairs)(rows, rows)


def embed_clips(model: Association, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Returns the faces and the voices (C, dim) of clips, unit norm: the mean directions of their embedded views.

    Raises:
        InputError: a vector of a clip or its embedding holds NaN or infinity; the message names the clip.
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
