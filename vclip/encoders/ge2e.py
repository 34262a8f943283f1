"""Resemblyzer's GE2E speaker encoder (Wan et al., 2018), batched over utterances.

The weights come from the installed package `resemblyzer`, which is not imported, because its import needs
`pkg_resources` and its `embed_utterance` takes one utterance at a time. The vectors equal those of that function to
1e-4 (tested).
"""

import math
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import torch
from torch import Tensor, nn

from vclip.audio import expect_speech
from vclip.device import torch_device, uploaded
from vclip.encoders.base import prepared_utterances
from vclip.encoders.precision import full_precision
from vclip.errors import InputError

SPACE = "resemblyzer/ge2e-256"
SAMPLE_RATE_HZ = 16_000
N_FFT, HOP, N_MELS = 400, 160, 40  # 25 ms windows, 10 ms steps
PARTIAL_FRAMES = 160  # the network embeds partials of 1.6 s,
PARTIAL_STEP = 77  # which start 1.3 times a second;
MIN_COVERAGE = 0.75  # the last one counts only if at least this share of it is audio
MAX_BATCH = 512  # partials per pass of the network on a GPU
CPU_BATCH = 32  # and on a CPU, where more take memory (0.7 MB each) and no less time


class GE2E(nn.Module):
    """A three-layer LSTM over mel frames; embeddings are non-negative (the last layer is a ReLU) and of unit norm."""

    space, dim, sample_rate_hz = SPACE, 256, SAMPLE_RATE_HZ
    gains_from_gpu = True

    def __init__(self, device: str | None = None):
        super().__init__()
        self.lstm = nn.LSTM(N_MELS, self.dim, num_layers=3, batch_first=True)
        self.linear = nn.Linear(self.dim, self.dim)
        self.prepare = MelPartials()
        self.device = torch_device(device)
        state = torch.load(_weights_path(), map_location="cpu", weights_only=True)["model_state"]
        self.load_state_dict({k: v for k, v in state.items() if k.startswith(("lstm", "linear"))})
        self.eval().requires_grad_(False).to(self.device)

    def forward(self, mels: Tensor) -> Tensor:
        """Returns embeddings (batch, 256), unit norm, of mel partials (batch, 160, 40)."""
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)

    @torch.inference_mode()
    def embed(self, utterances: Sequence[np.ndarray], batch_size: int | None = None) -> np.ndarray:
        """Returns vectors (n, 256) float32, unit norm, >= 0, for n utterances.

        The vector of an utterance is the mean over its partials, scaled to unit norm. Silence, for which the original
        gives NaN, is an error.

        Args:
            utterances: (samples,) float32 in -1..1 at 16 kHz.
            batch_size: partials in one pass of the network, at most; None for what suits the device.

        Raises:
            InputError: an utterance is empty, silent or not finite.
        """
        return self.embed_prepared(prepared_utterances(self.prepare, utterances), batch_size)

    @torch.inference_mode()
    def embed_prepared(self, prepared: Sequence[np.ndarray], batch_size: int | None = None) -> np.ndarray:
        """Returns the vectors of `embed` for the mel partials (partials, 160, 40) of n utterances."""
        if not len(prepared):
            return np.zeros((0, self.dim), np.float32)
        batch_size = batch_size or (CPU_BATCH if self.device.type == "cpu" else MAX_BATCH)
        with full_precision(self.device):
            partials = uploaded(np.concatenate(prepared), self.device)
            # Of even size, because a matrix product of a few rows rounds otherwise than one of many.
            batches = partials.tensor_split(math.ceil(len(partials) / batch_size))
            embedded = torch.cat([self(batch) for batch in batches])
            means = torch.stack([part.mean(0) for part in embedded.split([len(p) for p in prepared])])
            return nn.functional.normalize(means, dim=1).cpu().numpy()


class MelPartials:
    """Computes the mel partials of utterances, on the CPU; it can be pickled."""

    def __init__(self) -> None:
        self._filters = mel_filters()

    def __call__(self, utterance: np.ndarray) -> np.ndarray:
        """Returns the partials (partials, 160, 40) float32 of an utterance (samples,) in -1..1 at 16 kHz.

        Raises:
            InputError: the utterance is empty, silent or not finite.
        """
        expect_speech(utterance)
        starts = partial_starts(len(utterance))
        short = max(0, (starts[-1] + PARTIAL_FRAMES) * HOP - len(utterance))
        mel = self.mel(np.pad(np.asarray(utterance, dtype=np.float32), (0, short))).numpy()
        return np.stack([mel[s : s + PARTIAL_FRAMES] for s in starts])

    @torch.inference_mode()
    def mel(self, samples: np.ndarray) -> Tensor:
        """Returns the mel frames (frames, 40), one every 10 ms, of samples (samples,) float32 in -1..1 at 16 kHz."""
        audio, filters = (torch.from_numpy(x).to("cpu") for x in (samples, self._filters))
        window = torch.hann_window(N_FFT, device="cpu")
        with full_precision(audio.device):
            spectrum = torch.stft(
                audio, N_FFT, HOP, window=window, center=True, pad_mode="constant", return_complex=True
            )
            return (filters @ spectrum.abs().square()).T


def mel_filters() -> np.ndarray:
    """Returns the mel filters (40, 201) float32: triangles between frequencies that are even on Slaney's mel scale.

    The scale (Auditory Toolbox, 1998) is linear up to 1 kHz and logarithmic above. The filters equal
    `librosa.filters.mel` to the bit (tested); librosa would bring numba, 0.12 GB in every worker.
    """
    mel_hz, knee_hz, step = 200 / 3, 1000.0, np.log(6.4) / 27
    knee = knee_hz / mel_hz
    mels = np.linspace(0, knee + np.log(SAMPLE_RATE_HZ / 2 / knee_hz) / step, N_MELS + 2)
    edges_hz = np.where(mels < knee, mel_hz * mels, knee_hz * np.exp(step * (mels - knee)))
    widths, ramps = np.diff(edges_hz), edges_hz[:, None] - np.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE_HZ)
    rising, falling = -ramps[:-2] / widths[:-1, None], ramps[2:] / widths[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    return (filters * (2 / (edges_hz[2:] - edges_hz[:-2]))[:, None]).astype(np.float32)  # the same area each


def partial_starts(n_samples: int) -> list[int]:
    """Returns the first frame of each partial of an utterance (Resemblyzer's `compute_partial_slices`)."""
    n_frames = int(np.ceil((n_samples + 1) / HOP))
    starts = list(range(0, max(1, n_frames - PARTIAL_FRAMES + PARTIAL_STEP + 1), PARTIAL_STEP))
    coverage = (n_samples - starts[-1] * HOP) / (PARTIAL_FRAMES * HOP)
    return starts[:-1] if coverage < MIN_COVERAGE and len(starts) > 1 else starts


def _weights_path() -> str:
    try:
        return str(distribution("resemblyzer").locate_file("resemblyzer/pretrained.pt"))
    except PackageNotFoundError:
        raise InputError("voice encoder 'resemblyzer': not installed; pip install resemblyzer") from None
