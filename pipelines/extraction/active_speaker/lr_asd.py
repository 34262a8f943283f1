"""The active-speaker backend with LR-ASD's weights: the network and the lips together.

LR-ASD tells lips that speak from lips at rest, also in noise and on small faces, and hardly notices when the audio is
shifted by half a second; the correlation of lips and audio is the other way round. Their sum is better than either.
The shares were chosen on the development corpus (docs/extraction.md).

A track's frames go through the visual encoder once, in blocks. The detector then looks at overlapping windows of the
embeddings, and a frame's margin is the mean over the windows that contain it.

Measured, area under the ROC curve over 3 s windows of 45 talking people: 0.995 against stills that drift under
another person's voice, but 0.52 against the same lips under another person's voice. So the network sees whether lips
speak, and of the audio it uses little more than whether anybody speaks. After a face comes to rest it keeps scoring
it as speaking: in 5 % of the frames where the detector looks at 2 s at a time, in 82 % where it looks at the whole
track.

Weights: github.com/Junhua-Liao/LR-ASD, `weight/finetuning_TalkSet.model` (MIT licence, (c) 2025 Liao Junhua), a state
dict of 0.83 M parameters.
"""

import functools
from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor

from pipelines.extraction.active_speaker.base import Backend
from pipelines.extraction.active_speaker.lip_sync import activity_evidence, running_mean, sync_evidence
from pipelines.extraction.active_speaker.lr_asd_network import Network, load_checkpoint, mfcc, read_weights
from pipelines.extraction.config import ActiveSpeakerConfig
from pipelines.extraction.faces.tracks import Track
from pipelines.extraction.video.audio_file import SAMPLE_RATE_HZ, release_pages
from vclip.device import torch_device
from vclip.errors import InputError

SIDE_PX = 112
MFCC_PER_FRAME = 4  # 25 video frames and 100 rows of coefficients a second

# The network looks at the middle of the lower face. In shares of the longer side of the face box:
CROP_SIDE, CROP_BELOW = 0.70, 0.20
BORDER = 110  # grey, as in its training

BLOCK, CONTEXT = 50, 9  # frames encoded in one pass, and how far to each side an embedding sees
WINDOW, HOP = 50, 25  # frames that the detector looks at in one go, and from one window to the next
WINDOWS_AT_ONCE = 256

SYNC, ACTIVITY, MARGIN = 0.7, 0.7, 0.4  # shares of the two lip-sync evidences and of the network's margin
INTERCEPT = 0.25
MOST_MARGIN, SMOOTH = 4.0, 25  # margins are clipped to this, and averaged over so many frames


def lr_asd(weights: str = "", config: ActiveSpeakerConfig | None = None) -> Backend:
    """Returns LR-ASD with these weights, or with those that the configuration names.

    Raises:
        InputError: no weights are named, they cannot be read or downloaded, or are not LR-ASD's.
    """
    config = config or ActiveSpeakerConfig()
    if not (weights or config.lr_asd):
        raise InputError("active-speaker backend 'lr_asd': expected lr_asd:WEIGHTS, or their path in speaking.lr_asd")
    return open_lr_asd(weights or config.lr_asd, config.lr_asd_sha256)


@functools.cache
def open_lr_asd(weights: str, sha256: str) -> Backend:
    """Returns the backend with these weights, one per process.

    Raises:
        InputError: the weights cannot be read or downloaded, or are not LR-ASD's.
    """
    network = LrAsd(weights, sha256, device=None)

    def evidence(track: Track, audio: np.ndarray, rate_hz: float, config: ActiveSpeakerConfig) -> np.ndarray:
        assert track.observed is not None  # by the observer below
        lips = SYNC * sync_evidence(track, audio, rate_hz, config) + ACTIVITY * activity_evidence(track)
        own_audio = audio[round(track.first / rate_hz * SAMPLE_RATE_HZ) :]
        margins = network.margins(track.observed.astype(np.float32), own_audio)
        release_pages(audio)
        return INTERCEPT + lips + MARGIN * running_mean(np.clip(margins, -MOST_MARGIN, MOST_MARGIN), SMOOTH)

    return Backend(evidence, lambda: LrAsdObserver(network))


class LrAsdObserver:
    """Encodes the frames of one track as they are decoded, holding one block of them at a time.

    Args:
        network: its `encode_faces` is used.
    """

    def __init__(self, network: "LrAsd"):
        self._network = network
        self._patches: list[np.ndarray] = []  # not encoded yet, and CONTEXT before them
        self._before = 0  # how many of them are encoded already
        self._encoded: list[np.ndarray] = []

    def __call__(self, grey: np.ndarray, box: np.ndarray) -> None:
        """Receives the next frame, (height, width) uint8, and the face's box in it, pixels."""
        self._patches.append(face_patch(grey, box))
        if len(self._patches) == self._before + BLOCK + CONTEXT:
            self._encode(BLOCK)

    def end(self) -> np.ndarray:
        """Returns the embeddings of all frames, (frames, 128) float16."""
        self._encode(len(self._patches) - self._before)
        return np.concatenate(self._encoded)

    def _encode(self, count: int) -> None:
        end = self._before + count
        embeddings = self._network.encode_faces(np.stack(self._patches))
        self._encoded.append(embeddings[self._before : end].astype(np.float16))
        kept = max(0, end - CONTEXT)
        self._patches, self._before = self._patches[kept:], end - kept


def face_patch(grey: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Returns the part of a frame that the network looks at, (112, 112) uint8.

    Args:
        grey: (height, width) uint8.
        box: x0, y0, x1, y1 of the face, in pixels of the frame. Outside of the frame the patch is grey.
    """
    x0, y0, x1, y1 = map(float, box)
    longer = max(x1 - x0, y1 - y0, 1.0)
    scale = SIDE_PX / (CROP_SIDE * longer)
    middle = (x0 + x1) / 2, (y0 + y1) / 2 + CROP_BELOW * longer
    # The centre of pixel i is at i + 0.5.
    matrix = np.array([[scale, 0, SIDE_PX / 2 - 0.5 - scale * (m - 0.5)] for m in middle])
    matrix[1, :2] = 0, scale
    return cv2.warpAffine(grey, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR, borderValue=BORDER)


class LrAsd:
    """The network with its weights.

    Args:
        weights: path or http(s) address of the original weights, or of the same tensors as .safetensors.
        sha256: their checksum; needed with an address.
        device: "cpu", "cuda", ...; None selects a GPU if there is one.
        block: frames encoded in one pass.
        window: frames that the detector looks at in one go.

    Raises:
        InputError: the weights cannot be read or downloaded, or are not LR-ASD's.
    """

    def __init__(
        self,
        weights: str,
        sha256: str = "",
        device: str | None = None,
        block: int = BLOCK,
        window: int = WINDOW,
    ):
        self.network = Network().eval().requires_grad_(False)
        load_checkpoint(self.network, read_weights(weights, sha256))
        self.device, self.block, self.window = torch_device(device), block, window
        self.network.to(self.device).to(memory_format=torch.channels_last)

    def __call__(self, faces: np.ndarray, audio: np.ndarray) -> np.ndarray:
        """Returns the margin per frame, (frames,) float32: the logit of "speaking" less that of "not speaking".

        Args:
            faces: (frames, 112, 112) uint8, 25 per second, see `face_patch`.
            audio: (samples,) int16 at 16 kHz, from the time of the first frame on.
        """
        return self.margins(self.encode_faces(faces), audio)

    @torch.inference_mode()
    def encode_faces(self, faces: np.ndarray) -> np.ndarray:
        """Returns the embedding of each face, (frames, 128) float32; each depends on CONTEXT frames to each side.

        Args:
            faces: (frames, 112, 112) uint8, 25 per second, see `face_patch`.
        """
        return self._in_blocks(self.network.encode_frames, torch.from_numpy(faces), 1).cpu().numpy()

    @torch.inference_mode()
    def margins(self, embeddings: np.ndarray, audio: np.ndarray) -> np.ndarray:
        """Returns the margin per frame, (frames,) float32.

        Args:
            embeddings: (frames, 128) of `encode_faces`.
            audio: (samples,) int16 at 16 kHz, from the time of the first frame on.
        """
        coefficients = torch.from_numpy(mfcc(audio, MFCC_PER_FRAME * len(embeddings)))
        of_audio = self._in_blocks(self.network.encode_audio, coefficients, MFCC_PER_FRAME)
        both = torch.cat([of_audio, torch.from_numpy(embeddings).to(of_audio)], 1)  # (frames, 256)
        return windowed(self.network.detect, both, self.window)

    def _in_blocks(self, encode: Callable[[Tensor], Tensor], x: Tensor, rate: int) -> Tensor:
        parts, frames = [], len(x) // rate
        for start in range(0, frames, self.block):
            end = min(start + self.block, frames)
            low, high = max(0, start - CONTEXT), min(frames, end + CONTEXT)
            parts.append(encode(x[low * rate : high * rate].to(self.device))[start - low : end - low])
        return torch.cat(parts)


def windowed(
    detect: Callable[[Tensor], Tensor], both: Tensor, window: int = WINDOW, at_once: int = WINDOWS_AT_ONCE
) -> np.ndarray:
    """Returns the margin per frame, averaged over the windows that contain it, (frames,) float32.

    Args:
        detect: (windows, frames, channels) -> (windows, frames) margins.
        both: (frames, channels).
        window: frames per window; from one window to the next are HOP.
        at_once: windows in one call of `detect`.
    """
    width, last = min(window, len(both)), max(0, len(both) - window)
    starts = [*range(0, last, HOP), last]
    total, count = np.zeros(len(both), np.float32), np.zeros(len(both), np.float32)
    for i in range(0, len(starts), at_once):
        some = starts[i : i + at_once]
        margins = detect(torch.stack([both[start : start + width] for start in some])).cpu().numpy()
        for start, margin in zip(some, margins, strict=True):
            total[start : start + width] += margin
            count[start : start + width] += 1
    return total / count
