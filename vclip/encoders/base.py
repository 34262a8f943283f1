"""What an encoder is: a frozen map from crops or utterances to unit vectors of a named space."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class FaceEncoder(Protocol):
    """Embeds face crops cut by `vclip.encoders.face_crop`."""

    space: str  # encoder, weights and preprocessing; vectors of two spaces cannot be compared
    dim: int

    def embed(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """Returns (n, dim) float32, unit norm, of n crops (side, side, 3) uint8 RGB."""
        ...


class VoiceEncoder(Protocol):
    """Embeds utterances of one speaker each."""

    space: str
    dim: int
    sample_rate_hz: int

    def embed(self, utterances: Sequence[np.ndarray]) -> np.ndarray:
        """Returns (n, dim) float32, unit norm, of n utterances (samples,) float32 in -1..1 at `sample_rate_hz`."""
        ...
