"""Voice encoders from ONNX files, on log-mel filter banks or on the waveform, at 16 kHz."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from vclip.audio import expect_speech
from vclip.encoders.base import prepared_utterances
from vclip.encoders.filter_banks import SAMPLE_RATE_HZ, FilterBanks, FilterBankSettings
from vclip.encoders.onnx_network import Network, NetworkSettings, digest, read_settings
from vclip.onnx_session import has_gpu

KIND = "onnx-voice"
RULE = "mean-over-windows"
LEAST_SAMPLES = SAMPLE_RATE_HZ // 10  # in a window; no published network takes fewer


class VoiceSettings(NetworkSettings):
    """The YAML beside a voice network."""

    input: Literal["fbank", "waveform"]
    full_scale: float = Field(gt=0, allow_inf_nan=False, description="what a sample of 1 becomes: 32768 or 1")
    fbank: FilterBankSettings = FilterBankSettings()
    mean_normalisation: bool = Field(default=False, description="subtract the utterance's mean of each bin")
    layout: Literal["BTF", "BFT"] = Field(default="BTF", description="batch, time and bins")

    @model_validator(mode="after")
    def _bins_or_waveform(self) -> Self:
        own = {"fbank", "mean_normalisation", "layout"} & self.model_fields_set
        if self.input == "waveform" and own:
            raise ValueError(f"found {min(own)}, which filter banks have, with input: waveform")
        return self


class OnnxVoice:
    """Embeds utterances with a network from an ONNX file.

    A network whose input has a fixed length is given windows of that length, which overlap as little as they can; a
    shorter utterance is repeated. The vector of the utterance is the mean over its windows, scaled to unit norm.

    Args:
        file: the ONNX file; `FILE.yaml` is beside it.
        device: "cpu", "cuda", ...; None selects a GPU if there is one.

    Raises:
        InputError: a file is missing, the YAML is wrong, or the network does not fit it.
    """

    sample_rate_hz = SAMPLE_RATE_HZ

    def __init__(self, file: str, device: str | None = None):
        spec, path = f"voice encoder {KIND}:{file}", Path(file)
        settings = self._settings = read_settings(spec, path, VoiceSettings)
        self.space = "/".join((KIND, settings.name, settings.version, digest(path, settings, RULE)))
        self._network = Network(spec, path, settings, device)
        self.dim, self.licence, self.gains_from_gpu = settings.size, settings.licence, has_gpu()
        one_channel = settings.input == "waveform" and len(self._network.shape) == 3
        self.prepare = VoiceInput(settings, self._fixed_length(), one_channel)
        noise = np.random.default_rng(0).standard_normal((2, SAMPLE_RATE_HZ)).astype(np.float32)
        self._network.check([self.prepare(samples)[0] for samples in 0.1 * noise])

    def embed(self, utterances: Sequence[np.ndarray]) -> np.ndarray:
        """Returns vectors (n, dim) float32, unit norm, for n utterances (samples,) float32 in -1..1 at 16 kHz.

        Raises:
            InputError: an utterance is empty, silent, shorter than a frame or not finite.
        """
        return self.embed_prepared(prepared_utterances(self.prepare, utterances))

    def embed_prepared(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the vectors of `embed` for n utterances that `prepare` has made into windows."""
        if not len(prepared):
            return np.zeros((0, self.dim), np.float32)
        vectors = self._network([window for windows in prepared for window in windows])
        means = np.stack([own.mean(0) for own in np.split(vectors, np.cumsum([len(p) for p in prepared])[:-1])])
        return means / np.linalg.norm(means, axis=1, keepdims=True).clip(1e-12)

    def _fixed_length(self) -> int | None:
        """Returns the frames or samples that the network takes; None for any number."""
        settings, network = self._settings, self._network
        if settings.input == "waveform":
            sides = (*((1,) if len(network.shape) == 3 else ()), None)
            network.expect(*sides, key="input")
            if (network.shape[-1] or LEAST_SAMPLES) < LEAST_SAMPLES:  # bins of a filter bank, taken for samples
                raise network.unexpected(*sides, key="input")
            return network.shape[-1]
        bins, time, other = settings.fbank.num_mel_bins, settings.layout.index("T"), settings.layout.index("F")
        sides = (None, bins) if time == 1 else (bins, None)
        network.expect(*sides)
        if network.shape[time] == bins and network.shape[other] is None:  # would run, with time for bins
            raise network.unexpected(*sides, key="layout")
        return network.shape[time]


class VoiceInput:
    """Makes the network's input of an utterance; it can be pickled.

    Args:
        settings: the YAML beside the network.
        length: the frames or samples that the network takes; None for any number.
        one_channel: a waveform network takes (batch, 1, samples), not (batch, samples).
    """

    def __init__(self, settings: VoiceSettings, length: int | None, one_channel: bool):
        self._settings, self._length, self._one_channel = settings, length, one_channel
        self._filter_banks = FilterBanks(settings.fbank) if settings.input == "fbank" else None

    def __call__(self, utterance: np.ndarray) -> np.ndarray:
        """Returns the windows of an utterance (samples,), float32: one input of the network each.

        Raises:
            InputError: the utterance is empty, silent, shorter than a frame or not finite.
        """
        expect_speech(utterance)
        samples = np.asarray(utterance, np.float32) * np.float32(self._settings.full_scale)
        if self._filter_banks is None:
            windows = self._windows(samples)
            return windows[:, None] if self._one_channel else windows
        features = self._filter_banks(samples)
        if self._settings.mean_normalisation:
            features = features - features.mean(0)
        windows = self._windows(features)
        return windows if self._settings.layout == "BTF" else windows.transpose(0, 2, 1)

    def _windows(self, rows: np.ndarray) -> np.ndarray:
        if self._length is None:
            return rows[None]
        rows = np.concatenate([rows] * math.ceil(self._length / len(rows)))
        starts = np.linspace(0, len(rows) - self._length, math.ceil(len(rows) / self._length)).round().astype(int)
        return np.stack([rows[start : start + self._length] for start in starts])
