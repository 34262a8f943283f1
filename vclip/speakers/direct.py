"""Direct mapping, the baseline without retrieval: a regression from faces straight to speaker vectors.

e = mean_v + (f_i(x) - mean_i) W,    W = (C_ii + r I)^-1 C_iv        ridge regression over known pairs
"""

from dataclasses import dataclass

import numpy as np
import torch

from vclip.association.linear import STRENGTHS, Folds, ridge_maps, rules
from vclip.association.pairs import Pairs, clip_means


@dataclass(frozen=True)
class DirectMapping:
    """A fitted regression."""

    face_mean: np.ndarray  # (d_face,)
    voice_mean: np.ndarray  # (d_voice,)
    weights: np.ndarray  # (d_face, d_voice)

    @classmethod
    def fit(cls, pairs: Pairs, seed: int = 0) -> "DirectMapping":
        """Returns the regression of the voices of clips on their faces; its strength matches strangers best."""
        faces = torch.as_tensor(clip_means(pairs.faces, pairs.face_clip, len(pairs)))
        voices = torch.as_tensor(clip_means(pairs.voices, pairs.voice_clip, len(pairs)))
        folds = Folds(faces, voices, pairs.people(), seed)
        strength, moments = STRENGTHS[folds.best(rules(ridge_maps, STRENGTHS))[0]], folds.whole
        of_faces, _, between = moments.covariances()
        penalty = strength * of_faces.diagonal().mean() * torch.eye(len(of_faces), dtype=of_faces.dtype)
        weights = torch.linalg.solve(of_faces + penalty, between)
        means = ((total / moments.count).numpy() for total in (moments.face, moments.voice))
        return cls(*means, weights.numpy())

    def __call__(self, faces: np.ndarray) -> np.ndarray:
        """Returns voices (n, d_voice) of faces (n, d_face); not yet on the encoder's range, see `on_range`."""
        return self.voice_mean + (faces - self.face_mean) @ self.weights
