"""Audio-visual offset of clips: by how much the audio lags behind the lips.

Lips and audio have coordinates that correlate (`lip_sync`); the offset is the shift at which they fit best. Clips of
one video mostly share it, so the other clips of the video count as well, by half. The confidence is the probability
of the offset and of the two beside it (docs/extraction.md has how often it is right).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines.extraction.active_speaker.lip_sync import RATE_HZ, audio_coordinates, coefficients, window_correlations

MARGIN = 10  # frames to each side; files are shifted by up to 0.2 s, and some are off by as much
SPREAD = 4.0  # standard deviation of the prior, in frames
LENGTH = 75  # frames; the correlations of a clip this long count as they are, those of a shorter one less
OF_OTHERS = 0.5  # weight of the other clips of a video
_OFFSETS = np.arange(-MARGIN, MARGIN + 1)


class Offset(NamedTuple):
    """The offset of one clip."""

    offset_s: float  # positive where the audio is late, a multiple of 0.04
    confidence: float  # 0..1: probability that it is right within 0.04 s


def offset_evidence(lips: np.ndarray, audio: np.ndarray, first: int) -> np.ndarray:
    """Returns how well the lips of a clip fit the audio at each offset, (offsets,) log-likelihoods up to a constant.

    Args:
        lips: (frames, coordinates) of the clip, see `lip_sync.lip_coordinates`.
        audio: (samples,) int16 at 16 kHz, of the whole video.
        first: number of the clip's first frame.
    """
    heard = audio_coordinates(audio, first, first + len(lips), MARGIN)
    return len(lips) / LENGTH * window_correlations(lips, heard) @ coefficients().weights


def find_offsets(evidence: Sequence[np.ndarray]) -> list[Offset]:
    """Returns the offset of each clip of a video.

    Args:
        evidence: `offset_evidence` of each clip.
    """
    total = np.sum(evidence, axis=0)
    return [_offset(own + OF_OTHERS * (total - own)) for own in evidence]


def _offset(evidence: np.ndarray) -> Offset:
    belief = evidence - 0.5 * (_OFFSETS / SPREAD) ** 2
    belief = np.exp(belief - belief.max())
    best = int(np.argmax(belief))
    near = belief[max(0, best - 1) : best + 2].sum() / belief.sum()
    return Offset(float(_OFFSETS[best] / RATE_HZ), float(near))
