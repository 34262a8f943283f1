"""Evidence from lip motion against speech, without weights.

provisional
"""

import numpy as np

from pipelines.extraction.lips import SIGNALS
from pipelines.extraction.speech import FRAME_S, Speech
from pipelines.extraction.tracks import Track


def evidence(track: Track, speech: Speech, rate_hz: float, start: int, end: int) -> float:
    """Returns the log-likelihood ratio of heard to merely visible over rows [start, end) of a track."""
    lips = np.nan_to_num(track.lips[start:end])
    motion = lips[:, SIGNALS.index("lips")]
    times = (track.first + np.arange(start, end)) / rate_hz
    at = np.clip((times / FRAME_S).astype(int), 0, max(0, len(speech.power) - 1))
    if not len(speech.power) or motion.mean() < 0.08:
        return -4.0
    loud = np.log(speech.power[at] + 1e-6)
    best = max(_correlation(np.abs(np.roll(motion, lag)), loud) for lag in range(-3, 4))
    return float(4 * (best - 0.05) + 2 * np.log(motion.mean() / 0.15))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / (np.sqrt((a @ a) * (b @ b)) + 1e-9))
