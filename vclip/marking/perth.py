"""The watermark `perth`: Perth-Net Implicit by Resemble AI (MIT licence), with the weights of `resemble-perth`.

A network adds a residual to the spectrogram below 2 kHz, and a second one recognises it. There is one mark, with no
message in it. Where `pkg_resources` or `torchaudio` is missing, `import perth` leaves out the watermarker without a
word; so the package is not imported, and the network is defined here. It differs in one point: the residual is added
to the given samples, which keeps everything above 2 kHz as it was, where the package resamples and rebuilds all.
"""

import hashlib
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from vclip.audio import resample
from vclip.errors import InputError

PACKAGE, INSTALL = "resemble-perth", "pip install 'vclip[watermark]'"
WEIGHTS = "perth/perth_net/pretrained/implicit/perth_net_250000.pth.tar"
SHA256 = "a15bce457ebc53ce5e6c9c3f11df78cf7ee2bf9cdab0a798902135b4c4027670"
RATE_HZ, WINDOW, HOP = 32_000, 2048, 320
BANDS, CHANNELS = 128, 256  # the bands below 2 kHz
FLOOR_DB, RANGE_DB = -180.0, 195.0  # the network sees levels from the floor on, divided by the range
QUIET = 0.05  # a frame whose levels sum to less than this share of the loudest frame's is neither marked nor read
SPEEDS = {"slow_layers": 1.25, "normal_layers": 1.0, "fast_layers": 0.75}  # at which the mark is looked for
BLOCK_S = 30.0  # longer speech is marked and read in blocks, which bounds the memory


class Perth:
    """Marks speech and finds the mark; implements `vclip.marking.watermark.Watermark`.

    Raises:
        InputError: the package is missing, or its weights are not those of version 1.0.1.
    """

    name, threshold = "perth", 0.5

    def __init__(self):
        self.made_of = {"resemble_perth_sha256": SHA256}
        state = torch.load(_weights(), map_location="cpu", weights_only=True)["model"]
        self._net = PerthNet()
        self._net.load_state_dict({name: value for name, value in state.items() if not name.startswith("ap.")})
        self._net.eval().requires_grad_(False)

    def embed(self, samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        """Returns marked speech (samples,) float32 of the same length, as `Watermark.embed` does."""
        samples, threads = np.asarray(samples, np.float32), torch.get_num_threads()
        torch.set_num_threads(1)  # more of them round otherwise
        try:
            return np.concatenate([self._embed(block, sample_rate_hz) for block in _blocks(samples, sample_rate_hz)])
        finally:
            torch.set_num_threads(threads)

    def detect(self, samples: np.ndarray, sample_rate_hz: int) -> float:
        """Returns the confidence in 0..1 that speech is marked, as `Watermark.detect` does."""
        found = [self._detect(block, sample_rate_hz) for block in _blocks(samples, sample_rate_hz)]
        return float(np.clip(np.mean(found), 0, 1))

    @torch.inference_mode()
    def _embed(self, samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        at_rate = resample(samples, sample_rate_hz, RATE_HZ)
        if len(at_rate) <= WINDOW or not samples.any():
            return samples
        spectrum = _spectrum(at_rate)
        gain_db = RANGE_DB * self._net.residual(*_levels_and_mask(spectrum))[0]
        added = torch.zeros_like(spectrum)
        added[:BANDS] = spectrum[:BANDS] * (10 ** (gain_db / 20) - 1)
        wave = torch.istft(added, WINDOW, HOP, window=_window(), length=len(at_rate)).numpy()
        wave = resample(wave, RATE_HZ, sample_rate_hz)[: len(samples)]
        return samples + np.pad(wave, (0, len(samples) - len(wave)))

    @torch.inference_mode()
    def _detect(self, samples: np.ndarray, sample_rate_hz: int) -> float:
        at_rate = resample(np.asarray(samples, np.float32), sample_rate_hz, RATE_HZ)
        if len(at_rate) <= WINDOW or not at_rate.any():
            return 0.0
        return float(self._net.confidence(*_levels_and_mask(_spectrum(at_rate)))[0])


class PerthNet(nn.Module):
    """The two networks, which see levels (batch, BANDS, frames) and a mask (batch, 1, frames) of loud frames."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleDict({"layers": _layers(BANDS)})
        self.decoder = nn.ModuleDict({name: _layers(2) for name in SPEEDS})

    def residual(self, levels: Tensor, mask: Tensor) -> Tensor:
        """Returns what the mark adds to the levels, (batch, BANDS, frames)."""
        return self.encoder["layers"](levels) * mask

    def confidence(self, levels: Tensor, mask: Tensor) -> Tensor:
        """Returns the confidence (batch,), 0 to 1 but for rounding, that the mark is there at one of the speeds."""
        weights, marks = [], []
        for name, speed in SPEEDS.items():
            frames = int(levels.shape[-1] * speed)
            read = self.decoder[name](interpolate(levels, size=frames, mode="linear", align_corners=True))
            loud = interpolate(mask, size=frames)
            weight, mark = ((read * loud).sum(2) / loud.sum(2)).unbind(1)
            weights.append(weight)
            marks.append(mark)
        return (torch.stack(marks, 1) * torch.stack(weights, 1).softmax(1)).sum(1)


class _Convolution(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int, last: bool):
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, width, padding=width // 2)
        self.activation = nn.Identity() if last else nn.LeakyReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.conv(x))


def _layers(outputs: int) -> nn.Sequential:
    sizes = [(BANDS, CHANNELS, 1), *[(CHANNELS, CHANNELS, 7)] * 5, (CHANNELS, outputs, 1)]
    return nn.Sequential(*(_Convolution(*size, last=size is sizes[-1]) for size in sizes))


def _levels_and_mask(spectrum: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the levels (1, BANDS, frames), 0 at the floor, and the mask (1, 1, frames) of loud frames."""
    levels = (20 * spectrum.abs().clip(10 ** (FLOOR_DB / 20)).log10() - FLOOR_DB) / RANGE_DB
    loudness = levels.sum(0)
    return levels[None, :BANDS], (loudness > QUIET * loudness.max()).float()[None, None]


def _spectrum(samples: np.ndarray) -> Tensor:
    wave = torch.from_numpy(np.ascontiguousarray(samples, np.float32))
    return torch.stft(wave, WINDOW, HOP, window=_window(), return_complex=True)


def _window() -> Tensor:
    return torch.hann_window(WINDOW)


def _blocks(samples: np.ndarray, sample_rate_hz: int) -> list[np.ndarray]:
    """Returns samples divided into equal blocks of at most BLOCK_S."""
    return np.array_split(samples, max(1, int(np.ceil(len(samples) / (BLOCK_S * sample_rate_hz)))))


def _weights() -> str:
    try:
        path = distribution(PACKAGE).locate_file(WEIGHTS)
    except PackageNotFoundError:
        raise InputError(f"watermark 'perth': needs the package {PACKAGE}; {INSTALL}") from None
    try:
        with open(str(path), "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"watermark 'perth': {path}: {error.strerror}; reinstall it: {INSTALL}") from None
    if found != SHA256:
        raise InputError(
            f"watermark 'perth': {path} has the SHA-256 {found[:8]}..., expected {SHA256[:8]}..., that of "
            f"{PACKAGE} 1.0.1; {INSTALL}"
        )
    return str(path)
