"""Faces embedded together with their mirror image, by any encoder.

Which way a face is turned, and from where the light falls, says nothing about the voice. The mean of both directions
keeps less of it; on 850 real pairs that is worth .003 AUC (docs/association.md). Embedding takes twice as long.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vclip.encoders.base import FaceEncoder, Prepares, ReadsTexts, gains_from_gpu, licence_of

MIRRORED = "mirrored"  # the first part of the space, and of the spec


class Mirrored:
    """Embeds each crop and its mirror image by another encoder, and returns the direction of their mean.

    It reads texts, and prepares crops elsewhere, if the other encoder does.
    """

    def __init__(self, encoder: FaceEncoder):
        self.space, self.dim = f"{MIRRORED}/{encoder.space}", encoder.dim
        self.gains_from_gpu, self.licence = gains_from_gpu(encoder), licence_of(encoder)
        self._embed: Any = encoder.embed
        if isinstance(encoder, ReadsTexts):
            self.embed_texts = encoder.embed_texts
        if isinstance(encoder, Prepares):
            self.prepare = _BothPrepared(encoder.prepare)
            self._embed = encoder.embed_prepared
            self.embed_prepared = self._embed_both

    def embed(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """Returns vectors (n, dim) float32, unit norm, for n crops (side, side, 3) uint8 RGB."""
        both = getattr(self, "prepare", _both)
        return self._embed_both([both(crop) for crop in crops])

    def _embed_both(self, both: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
        vectors = self._embed([image for two in both for image in two])
        means = vectors.reshape(len(both), 2, self.dim).mean(1)
        return means / np.linalg.norm(means, axis=1, keepdims=True).clip(1e-12)


@dataclass(frozen=True)
class _BothPrepared:
    prepare: Callable[[np.ndarray], np.ndarray]

    def __call__(self, crop: np.ndarray) -> np.ndarray:
        return np.stack([self.prepare(image) for image in _both(crop)])


def _both(crop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return crop, np.ascontiguousarray(crop[:, ::-1])
