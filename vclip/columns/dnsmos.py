"""The quality of stored speech as DNSMOS predicts it (Reddy et al., 2022, ITU-T P.835)."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version

import numpy as np

from vclip.columns.base import SAMPLE_RATE_HZ
from vclip.speakers.metrics import speech_quality


class Dnsmos:
    """Fills `voices.dnsmos` with the predicted mean opinion score, 1 to 5; null for silence."""

    table = "voices"
    columns: Mapping[str, type] = {"dnsmos": float}

    def __init__(self) -> None:
        self.version = f"speechmos {version('speechmos')}"

    def __call__(self, media: Sequence[np.ndarray]) -> Mapping[str, Sequence[float | None]]:
        """Returns the scores of utterances (samples,) at 16 kHz."""
        return {"dnsmos": [speech_quality(one, SAMPLE_RATE_HZ) if np.any(one) else None for one in media]}
