"""Symmetric score normalisation: how far a score stands out among those that its face and its voice get anyway.

s_norm(x, e) = ((s - mean_x) / std_x + (s - mean_e) / std_e) / 2

where mean_x and std_x are of the face with the voices of a cohort of other people, and mean_e and std_e of the voice
with their faces (Shum et al., Unsupervised speaker adaptation based on the cosine similarity, 2010). The adaptive
kind takes of each only the `top` highest (Matejka et al., Analysis of score normalization in multilingual speaker
recognition, 2017).
"""

from dataclasses import dataclass

import numpy as np

from vclip.errors import InputError

ROWS = 2048  # scored against the cohort at a time


@dataclass(frozen=True)
class Level:
    """What each face, or each voice, scores with the cohort."""

    mean: np.ndarray  # (n,) float32
    std: np.ndarray  # (n,) float32

    @classmethod
    def of(cls, scores: np.ndarray, top: int | None = None) -> "Level":
        """Returns the level of the rows of scores (n, cohort); of the `top` highest of each if given.

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
    def between(cls, vectors: np.ndarray, cohort: np.ndarray, top: int | None = None) -> "Level":
        """Returns the level of the cosines of unit vectors (n, dim) with those of the cohort (cohort, dim)."""
        parts = [cls.of(vectors[i : i + ROWS] @ cohort.T, top) for i in range(0, len(vectors), ROWS)]
        return cls(np.concatenate([part.mean for part in parts]), np.concatenate([part.std for part in parts]))

    def __getitem__(self, rows: np.ndarray) -> "Level":
        return Level(self.mean[rows], self.std[rows])


def normalise(scores: np.ndarray, face: Level, voice: Level) -> np.ndarray:
    """Returns scores (faces, voices) normalised by the levels of the faces and the voices."""
    by_face = (scores - face.mean[:, None]) / face.std[:, None]
    by_voice = (scores - voice.mean) / voice.std
    return (by_face + by_voice) / 2


def s_norm(
    scores: np.ndarray, face_with_cohort: np.ndarray, voice_with_cohort: np.ndarray, top: int | None = None
) -> np.ndarray:
    """Returns normalised scores, of the shape of `scores`; 0 is what the cohort scores, 1 a deviation above it.

    Args:
        scores: (faces, voices) cosines.
        face_with_cohort: (faces, cohort) cosines of each face with the cohort's voices.
        voice_with_cohort: (voices, cohort) cosines of each voice with the cohort's faces.
        top: takes the so many highest of each only (adaptive); all if None.

    Raises:
        InputError: the cohort is too small, or its scores do not differ.
    """
    return normalise(scores, Level.of(face_with_cohort, top), Level.of(voice_with_cohort, top))
