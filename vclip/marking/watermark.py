"""Imperceptible watermarks: a mark in the samples themselves, which is still there when every other label is gone.

A spec string opens a watermark (see `vclip.registry`):

perth    Perth-Net Implicit by Resemble AI: one mark without a message, for speech

Other packages register watermarks in the entry-point group `vclip.watermarks`.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol, runtime_checkable

import numpy as np

from vclip.registry import Plugin, Registry


@runtime_checkable
class Watermark(Protocol):
    """Puts a mark into speech and finds it again."""

    name: str  # its spec
    made_of: Mapping[str, Any]  # the versions and hashes that decide what it writes, for the provenance
    threshold: float  # confidence above which speech is taken as marked

    def embed(self, samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        """Returns marked speech (samples,) float32 of the same length; equal arguments give equal samples.

        Args:
            samples: (samples,) float in -1..1. Speech is marked a sentence at a time; what is too short to carry a
                mark, or silent, is returned as it is.
            sample_rate_hz: the sample rate.
        """
        ...

    def detect(self, samples: np.ndarray, sample_rate_hz: int) -> float:
        """Returns the confidence in 0..1 that speech (samples,) of any length and level is marked; 0 for silence."""
        ...


WATERMARKS: Registry[Watermark] = Registry(
    "watermark",
    "vclip.watermarks",
    ("name", "made_of", "threshold", "embed", "detect"),
    "vclip.marking.watermark.Watermark",
    (
        Plugin(
            "perth",
            "vclip.marking.perth:Perth",
            about="one mark without a message, found after MP3, AAC and telephone speech",
            install="vclip[watermark]",
        ),
    ),
)


@cache
def open_watermark(spec: str) -> Watermark:
    """Returns the watermark that `spec` names, opened once in each process.

    Raises:
        InputError: the name is unknown, a package is missing, or the weights are not the expected ones.
    """
    return WATERMARKS.open(spec)
