"""Whether a face is the one heard, from its pictures and the sound, by the network LR-ASD.

A track's pictures go through the visual encoder once, in blocks; the detector then looks at overlapping windows of
the embeddings, and a picture's margin is the mean over the windows it is in.

It sees whether lips speak, and hears little more than whether anybody does: 3 s windows of 45 talking people are told
from stills that drift under another's voice with an area under the ROC curve of 0.995, from the same lips under
another's voice with 0.52. After a face comes to rest it keeps scoring it as speaking in 5 % of the pictures where the
detector looks at 2 s at a time, in 82 % where it looks at the whole track.

Weights: github.com/Junhua-Liao/LR-ASD, `weight/finetuning_TalkSet.model` (MIT licence, (c) 2025 Liao Junhua), a state
dict of 0.83 M parameters.
"""

import functools
from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor

from pipelines.extraction.active_speaker.lip_sync import activity_evidence, running_mean, sync_evidence
from pipelines.extraction.active_speaker.lr_asd_network import Network, fill
from pipelines.extraction.active_speaker.mfcc import mfcc
from pipelines.extraction.active_speaker.scores import Backend
from pipelines.extraction.active_speaker.weights import read_weights
from pipelines.extraction.config import SpeakingConfig
from pipelines.extraction.faces.tracks import Track
from pipelines.extraction.video.audio_file import SAMPLE_RATE_HZ, forget

SIDE_PX = 112
MFCC_PER_PICTURE = 4  # 25 pictures and 100 frames of coefficients a second

# The network looks at the middle of the lower face. In shares of a face box's longer side:
CROP_SIDE, CROP_BELOW = 0.70, 0.20
BORDER = 110  # grey, as in its training

BLOCK, CONTEXT = 50, 9  # pictures encoded in one pass, and how far to each side an embedding sees
WINDOW, HOP = 50, 25  # pictures that the detector looks at in one go
WINDOWS_AT_ONCE = 256


def face_patch(grey: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Returns the (112, 112) uint8 part of a picture that the network looks at.

    Args:
        grey: (height, width) uint8.
        box: x0, y0, x1, y1 of the face, in pixels of the picture. What reaches out of it is grey.
    """
    x0, y0, x1, y1 = map(float, box)
    longer = max(x1 - x0, y1 - y0, 1.0)
    scale = SIDE_PX / (CROP_SIDE * longer)
    middle = (x0 + x1) / 2, (y0 + y1) / 2 + CROP_BELOW * longer
    # Pixel centres stand at halves.
    matrix = np.array([[scale, 0, SIDE_PX / 2 - 0.5 - scale * (m - 0.5)] for m in middle])
    matrix[1, :2] = 0, scale
    return cv2.warpAffine(grey, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR, borderValue=BORDER)


class LrAsd:
    """The network with weights.

    Args:
        weights: path or http(s) address of the original's weights, or of the same as .safetensors.
        sha256: their checksum; needed with an address.
        device: where it runs.

    Raises:
        InputError: weights that cannot be had, or are not the network's.
    """

    def __init__(self, weights: str, sha256: str = "", device: str = "cpu"):
        self.network = Network().eval().requires_grad_(False)
        fill(self.network, read_weights(weights, sha256))
        self.network.to(device, memory_format=torch.channels_last)
        self.device = device

    def __call__(self, faces: np.ndarray, sound: np.ndarray) -> np.ndarray:
        """Returns the margin per picture, (pictures,) float32: the logit of "heard" less that of "not heard".

        Args:
            faces: (pictures, 112, 112) uint8, 25 a second, see `face_patch`.
            sound: (samples,) int16 at 16 kHz, from the first picture's time on.
        """
        return self.margins(self.see(faces), sound)

    @torch.inference_mode()
    def see(self, faces: np.ndarray) -> np.ndarray:
        """Returns what it sees, (pictures, 128) float32, of faces as above; each knows of CONTEXT to each side."""
        return self._in_blocks(self.network.see, torch.from_numpy(faces), 1).cpu().numpy()

    @torch.inference_mode()
    def margins(self, seen: np.ndarray, sound: np.ndarray) -> np.ndarray:
        """Returns the margin per picture, (pictures,) float32, of what was seen and a sound as above."""
        coefficients = torch.from_numpy(mfcc(sound, MFCC_PER_PICTURE * len(seen)))
        heard = self._in_blocks(self.network.hear, coefficients, MFCC_PER_PICTURE)
        both = torch.cat([heard, torch.from_numpy(seen).to(heard)], 1)  # (pictures, 256)
        return windowed(self.network.detect, both)

    def _in_blocks(self, encode: Callable[[Tensor], Tensor], x: Tensor, rate: int) -> Tensor:
        parts, pictures = [], len(x) // rate
        for start in range(0, pictures, BLOCK):
            end = min(start + BLOCK, pictures)
            low, high = max(0, start - CONTEXT), min(pictures, end + CONTEXT)
            parts.append(encode(x[low * rate : high * rate].to(self.device))[start - low : end - low])
        return torch.cat(parts)


def windowed(detect: Callable[[Tensor], Tensor], both: Tensor) -> np.ndarray:
    """Returns the margin per picture, averaged over the windows it is in, (pictures,) float32.

    Args:
        detect: gives (windows, pictures) margins of (windows, pictures, channels).
        both: (pictures, channels).
    """
    width, last = min(WINDOW, len(both)), max(0, len(both) - WINDOW)
    starts = [*range(0, last, HOP), last]
    total, count = np.zeros(len(both), np.float32), np.zeros(len(both), np.float32)
    for i in range(0, len(starts), WINDOWS_AT_ONCE):
        some = starts[i : i + WINDOWS_AT_ONCE]
        margins = detect(torch.stack([both[start : start + width] for start in some])).cpu().numpy()
        for start, margin in zip(some, margins, strict=True):
            total[start : start + width] += margin
            count[start : start + width] += 1
    return total / count


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
