"""Whether a face is the one heard, by LR-ASD and the lips together: the backend that needs weights.

LR-ASD tells lips that speak from lips at rest, also in noise and on small faces, and hardly hears a shift of the
sound by half a second; the correlation of lips and sound is the other way round. Their sum is better than either.
The shares were chosen on the development corpus (see docs/extraction.md).
"""

import functools

import numpy as np

from pipelines.extraction.config import SpeakingConfig
from pipelines.extraction.faces.tracks import Track
from pipelines.extraction.media.sound_file import SAMPLE_RATE_HZ, forget
from pipelines.extraction.speaking.contrast import Backend
from pipelines.extraction.speaking.lip_sync import activity_evidence, running_mean, sync_evidence
from pipelines.extraction.speaking.lr_asd import BLOCK, CONTEXT, LrAsd, face_patch

SYNC, ACTIVITY, MARGIN = 0.7, 0.7, 0.4  # shares of the log-likelihood ratios and of the margin
INTERCEPT = 0.25
MOST_MARGIN, SMOOTH = 4.0, 25  # margins beyond this say no more; pictures over which they are averaged


@functools.cache
def open_lr_asd(weights: str, sha256: str) -> Backend:
    """Returns the backend with these weights, one per process; raises InputError if they cannot be had."""
    network = LrAsd(weights, sha256)

    def evidence(track: Track, sound: np.ndarray, rate_hz: float, config: SpeakingConfig) -> np.ndarray:
        lips = SYNC * sync_evidence(track, sound, rate_hz, config) + ACTIVITY * activity_evidence(track)
        own_sound = sound[round(track.first / rate_hz * SAMPLE_RATE_HZ) :]
        margins = network.margins(track.seen.astype(np.float32), own_sound)
        forget(sound)
        return INTERCEPT + lips + MARGIN * running_mean(np.clip(margins, -MOST_MARGIN, MOST_MARGIN), SMOOTH)

    return Backend(evidence, lambda: FaceWatcher(network))


class FaceWatcher:
    """Sends the pictures of one track through LR-ASD's encoder as they come, holding a block of them at a time."""

    def __init__(self, network: LrAsd):
        self._network = network
        self._patches: list[np.ndarray] = []  # not encoded yet, and CONTEXT before them
        self._before = 0  # how many of them are
        self._seen: list[np.ndarray] = []

    def __call__(self, grey: np.ndarray, box: np.ndarray) -> None:
        """Takes the next picture, (height, width) uint8, and the face's box in it, pixels."""
        self._patches.append(face_patch(grey, box))
        if len(self._patches) == self._before + BLOCK + CONTEXT:
            self._encode(BLOCK)

    def end(self) -> np.ndarray:
        """Returns what was seen in all pictures, (pictures, 128) float16."""
        self._encode(len(self._patches) - self._before)
        return np.concatenate(self._seen)

    def _encode(self, count: int) -> None:
        end = self._before + count
        self._seen.append(self._network.see(np.stack(self._patches))[self._before : end].astype(np.float16))
        kept = max(0, end - CONTEXT)
        self._patches, self._before = self._patches[kept:], end - kept
