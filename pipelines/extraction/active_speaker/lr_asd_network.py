"""The LR-ASD network for inference, its audio features, and how the original weights are loaded into it.

Liao et al., "LR-ASD: Lightweight and Robust Network for Active Speaker Detection", IJCV 2025; the successor of
Light-ASD (CVPR 2023). This is our own implementation: batch normalisations are folded into the convolutions before
them, and channels come last in memory, so a convolution over time needs no copy after one within frames. It is five
times as fast as the original on one core, and its output is equal within 1e-5.

The audio features are mel-frequency cepstral coefficients, equal to those of python_speech_features (tested). That
package takes twice the time, needs memory for the whole audio at once and has no wheel. Its defaults: pre-emphasis
0.97, no window, 26 triangular filters between whole lines of a 512-point spectrum, an orthonormal DCT, a lifter of
22, and the log energy of the frame in place of the first coefficient.

Weights come from a path or an address: downloaded once, checked against their SHA-256, read without executing code.
"""

import hashlib
import shutil
import urllib.request
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from scipy.fft import dct
from torch import Tensor, nn

from pipelines.extraction.video.audio_file import SAMPLE_RATE_HZ
from vclip.errors import InputError
from vclip.files import whole_file

GREY_MEAN, GREY_STD = 0.4161, 0.1688  # of the training frames, 0..1
NORM_EPS = 1e-3  # of the batch normalisations
NORM = ("weight", "bias", "running_mean", "running_var")
GRU = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

MFCC_FRAME, MFCC_HOP = 400, 160  # samples: 25 ms, 10 ms
COEFFICIENTS = 13
PREEMPHASIS, LIFTER = 0.97, 22
N_FFT, FILTERS = 512, 26
MFCC_BLOCK = 6000  # frames in one pass, so that long audio needs no more memory than short audio

DOWNLOAD_LIMIT_S = 60  # without receiving a byte


class SeparableBlock(nn.Module):
    """Two convolutions within each instant, then two over time, 5 and 3 wide; a ReLU follows each."""

    def __init__(self, inputs: int, outputs: int, frame: bool, stride: int = 1):
        super().__init__()
        half = outputs // 2
        self.within_1 = _conv(inputs, half, (5, 5) if frame else (5, 1), stride)
        self.within_2 = _conv(half, outputs, (3, 3) if frame else (3, 1))
        self.along_1 = _conv(outputs, outputs, (5, 1) if frame else (1, 5))
        self.along_2 = _conv(outputs, outputs, (3, 1) if frame else (1, 3))
        self.frame = frame

    def forward(self, x: Tensor) -> Tensor:
        x = self.within_2(self.within_1(x).relu_()).relu_()
        if not self.frame:
            return self.along_2(self.along_1(x).relu_()).relu_()
        # (time, channels, height, width) becomes (1, channels, time, height * width): with the channels last, both
        # have one layout in memory.
        time, channels, height, width = x.shape
        x = x.permute(0, 2, 3, 1).reshape(1, time, height * width, channels).permute(0, 3, 1, 2)
        x = self.along_2(self.along_1(x).relu_()).relu_()
        return x.permute(0, 2, 3, 1).reshape(time, height, width, channels).permute(0, 3, 1, 2)


class Encoder(nn.Module):
    """Three blocks, halving height and width (frames) or time (audio) after the first two."""

    def __init__(self, frame: bool):
        super().__init__()
        self.block1 = SeparableBlock(1, 32, frame, stride=2 if frame else 1)
        self.block2 = SeparableBlock(32, 64, frame)
        self.block3 = SeparableBlock(64, 128, frame)
        self.pool = nn.MaxPool2d(3, 2, 1) if frame else nn.MaxPool2d((1, 3), (1, 2), (0, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.block3(self.pool(self.block2(self.pool(self.block1(x)))))


class Gate(nn.Module):
    """Weighs each channel of the joined embeddings by all channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.weigh = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the weighed channels, of the same shape (batch, time, channels)."""
        return x * self.weigh(x).sigmoid()


class Network(nn.Module):
    """Turns the face patches and the coefficients of the audio into a margin per frame."""

    def __init__(self):
        super().__init__()
        self.frames = Encoder(frame=True)
        self.audio = Encoder(frame=False)
        self.fusion = Gate(256)
        self.gru = nn.GRU(256, 64, batch_first=True, bidirectional=True)
        self.attention = Gate(128)
        self.head = nn.Linear(128, 2)

    def encode_frames(self, faces: Tensor) -> Tensor:
        """Returns the embeddings, (time, 128), of face patches (time, 112, 112) uint8."""
        x = (faces[:, None].float() / 255 - GREY_MEAN) / GREY_STD
        return self.frames(x.contiguous(memory_format=torch.channels_last)).amax((2, 3))

    def encode_audio(self, coefficients: Tensor) -> Tensor:
        """Returns the embeddings, (time, 128), of coefficients (4 * time, 13)."""
        return self.audio(coefficients.T[None, None])[0].mean(1).T

    def detect(self, both: Tensor) -> Tensor:
        """Returns the margins, (batch, time), of joined embeddings (batch, time, 256), those of the audio first."""
        states, _ = self.gru(self.fusion(both))
        silent, speaking = self.head(self.attention(states)).unbind(-1)
        return speaking - silent


def _conv(inputs: int, outputs: int, kernel: tuple[int, int], stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, (kernel[0] // 2, kernel[1] // 2))


def load_checkpoint(network: Network, checkpoint: dict[str, Tensor]) -> None:
    """Loads a checkpoint of the original into a network, with the normalisations folded in.

    Raises:
        InputError: a tensor is missing, unknown or of another shape.
    """
    # Not needed: the head for frames alone, which only helps training, and the counts of training steps.
    found = {k: v for k, v in checkpoint.items() if not k.startswith("lossV.") and not k.endswith("_tracked")}
    folded, copied = dict(_folded()), dict(_copied())
    expected = {f"{conv}.weight" for conv, _ in folded.values()} | set(copied.values())
    expected |= {f"{norm}.{part}" for _, norm in folded.values() for part in NORM}
    missing, extra = expected - found.keys(), found.keys() - expected
    if missing or extra:
        raise InputError(f"LR-ASD weights: missing {_listed(missing)}; unknown {_listed(extra)}")
    state = {mine: found[theirs].float() for mine, theirs in copied.items()}
    for mine, (conv, norm) in folded.items():
        weight, bias, mean, variance = (found[f"{norm}.{part}"].float() for part in NORM)
        scale = weight * (variance + NORM_EPS).rsqrt()
        state[f"{mine}.weight"] = (found[f"{conv}.weight"].float().movedim(0, -1) * scale).movedim(-1, 0)
        state[f"{mine}.bias"] = bias - mean * scale
    for name, own in network.state_dict().items():
        if state[name].squeeze().shape != own.squeeze().shape:
            raise InputError(f"LR-ASD weights: {name} is {tuple(state[name].shape)}, expected {tuple(own.shape)}")
        state[name] = state[name].reshape(own.shape)
    network.load_state_dict(state)


def _folded() -> Iterator[tuple[str, tuple[str, str]]]:
    """Yields the name of a layer here, and the names of its convolution and its normalisation in the checkpoint."""
    for mine, theirs, within in ("frames", "visualEncoder", "s"), ("audio", "audioEncoder", "m"):
        for block, (role, letter), i in product((1, 2, 3), (("within", within), ("along", "t")), (1, 2)):
            layers = f"model.{theirs}.block{block}.{letter}"
            yield f"{mine}.block{block}.{role}_{i}", (f"{layers}_{i}", f"{layers}_norm_{i}")
    for mine, theirs in ("fusion", "model.fusion"), ("attention", "model.detector.attention"):
        yield f"{mine}.weigh", (f"{theirs}.attention", f"{theirs}.bn")


def _copied() -> Iterator[tuple[str, str]]:
    """Yields the name of a parameter here, and its name in the checkpoint."""
    for (mine, theirs), part in product((("l0", "forward"), ("l0_reverse", "backward")), GRU):
        yield f"gru.{part}_{mine}", f"model.detector.gru_{theirs}.{part}_l0"
    yield "head.weight", "lossAV.FC.weight"
    yield "head.bias", "lossAV.FC.bias"


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "nothing"


def read_weights(source: str, sha256: str = "") -> dict[str, Tensor]:
    """Returns the tensors of a state dict, by name.

    Args:
        source: the path of a .safetensors file or of one that `torch.save` wrote, or its http(s) address.
        sha256: the checksum that the file must have, hexadecimal. Not needed for a path.

    Raises:
        InputError: there is no such file, it has another checksum, or it cannot be read safely as a state dict.
    """
    path = weights_file(source, sha256)
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, SafetensorError, UnpicklingError):
        state = None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"weights {source}: found no plain state dict, expected one of torch.save or safetensors")
    return state


def weights_file(source: str, sha256: str = "") -> Path:
    """Returns the path of a file of weights; an address is downloaded once, into ~/.cache/vclip.

    Raises:
        InputError: there is no such file, it has another checksum, or an address comes without a checksum.
    """
    path = Path(source)
    if source.startswith(("http://", "https://")):
        if not sha256:
            raise InputError(f"weights {source}: found no checksum, expected the SHA-256 of the file")
        path = Path.home() / ".cache" / "vclip" / sha256.lower() / source.partition("?")[0].rpartition("/")[2]
        if not path.is_file() or _digest(path) != sha256.lower():
            _download(source, sha256, path)
    if not path.is_file():
        raise InputError(f"weights {source}: no such file")
    if sha256:
        _check(source, path, sha256)
    return path


def _download(address: str, sha256: str, path: Path) -> None:
    with whole_file(path) as draft:  # another process may be downloading it, too
        try:
            with urllib.request.urlopen(address, timeout=DOWNLOAD_LIMIT_S) as answer, draft.open("wb") as file:
                shutil.copyfileobj(answer, file)
        except (OSError, ValueError) as error:
            raise InputError(f"weights {address}: download failed ({error})") from None
        _check(address, draft, sha256)


def _check(source: str, path: Path, sha256: str) -> None:
    if (found := _digest(path)) != sha256.lower():
        raise InputError(f"weights {source}: found SHA-256 {found}, expected {sha256.lower()}")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mfcc(audio: np.ndarray, frames: int, block: int = MFCC_BLOCK) -> np.ndarray:
    """Returns the coefficients of the first frames of the audio, (frames, 13) float32.

    Args:
        audio: (samples,) int16 at 16 kHz, at its integer scale: the log energy depends on it.
        frames: number of frames; frame i covers samples 160 i to 160 i + 400. Beyond the audio, samples are zero.
        block: frames computed in one pass.
    """
    rows = [_mfcc_block(audio, first, min(first + block, frames)) for first in range(0, frames, block)]
    return np.concatenate([np.zeros((0, COEFFICIENTS), np.float32), *rows])


def _mfcc_block(audio: np.ndarray, first: int, end: int) -> np.ndarray:
    start, count = first * MFCC_HOP, (end - first - 1) * MFCC_HOP + MFCC_FRAME
    given = audio[start : start + count]
    samples = np.zeros(1 + count)  # the first is the one before
    samples[1 : 1 + len(given)] = given
    samples[0] = audio[start - 1] if 0 < start <= len(audio) else 0
    emphasised = samples[1:] - PREEMPHASIS * samples[:-1]
    emphasised[len(given) :] = 0
    pieces = np.lib.stride_tricks.sliding_window_view(emphasised, MFCC_FRAME)[::MFCC_HOP]
    power = np.abs(np.fft.rfft(pieces, N_FFT)) ** 2 / N_FFT
    cepstra = np.asarray(dct(np.log(_not_zero(power @ _MEL_FILTERS)), norm="ortho"))[:, :COEFFICIENTS] * _LIFTS
    cepstra[:, 0] = np.log(_not_zero(power.sum(1)))
    return cepstra.astype(np.float32)


def _not_zero(power: np.ndarray) -> np.ndarray:
    return np.where(power == 0, np.finfo(float).eps, power)


def _mel_filters() -> np.ndarray:
    """Returns (spectral lines, FILTERS): triangles from one whole line over the next to the one after."""
    mels = np.linspace(0, 2595 * np.log10(1 + SAMPLE_RATE_HZ / 2 / 700), FILTERS + 2)
    corners = np.floor((N_FFT + 1) * 700 * (10 ** (mels / 2595) - 1) / SAMPLE_RATE_HZ)
    lines, low, middle, high = np.arange(N_FFT // 2 + 1)[:, None], corners[:-2], corners[1:-1], corners[2:]
    rising, falling = (lines - low) / (middle - low), (high - lines) / (high - middle)
    return np.where(lines < middle, rising, falling).clip(0)


_MEL_FILTERS = _mel_filters()
_LIFTS = 1 + LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / LIFTER)
