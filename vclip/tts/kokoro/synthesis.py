"""Renders phonemes as speech: Kokoro's network in a style, then the length of the vocal tract and the colour."""

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soxr

from vclip.onnx_session import open_session
from vclip.tts.kokoro import graph
from vclip.tts.kokoro.controls import N_COLOUR, Controls

SAMPLE_RATE_HZ = 24_000
ROW_PHONEMES = 10  # the styles have a row for every ten phonemes of a sentence
COLOUR_TOP_HZ = 8000.0


@dataclass(frozen=True)
class Styles:
    """What the style vectors of Kokoro's voice packs have in common: their means and principal components.

    A pack holds a style for each length of a sentence. Its first half sets the timbre, its second half the durations,
    the pitch and the energy. Row r is for sentences of about ROW_PHONEMES * r phonemes.

    Attributes:
        timbre: (rows, 1 + N_TIMBRE, 128) float32, the mean of the packs, then a step along each component.
        prosody: (rows, 1 + N_PROSODY, 128) float32, likewise.
    """

    timbre: np.ndarray
    prosody: np.ndarray

    def style(self, controls: Controls, n_phonemes: int) -> np.ndarray:
        """Returns the style vector (256,) float32 for a sentence."""
        row = min(round((n_phonemes - 1) / ROW_PHONEMES), len(self.timbre) - 1)
        halves = ((self.timbre, controls.timbre), (self.prosody, controls.prosody))
        return np.concatenate([np.array([1.0, *z], np.float32) @ steps[row] for steps, z in halves])


@cache
def session() -> Any:
    """Returns the onnxruntime session of the network, one for each process: with one thread, or on a GPU.

    Raises:
        InputError: a package of the extra is missing, or the weights are not the expected ones.
    """
    with TemporaryDirectory(prefix="vclip-kokoro-") as folder:
        path = graph.write_graph(graph.read_weights(), Path(folder))
        return open_session(path, gpu=True)


def say(
    ids: list[int], style: np.ndarray, *, speed: float, pitch_hz: float, pitch_range: float
) -> tuple[np.ndarray, float]:
    """Returns the speech (samples,) float32 of the network, and the mean log pitch that it would have had by itself.

    Args:
        ids: the phonemes of a sentence, between zeros.
        style: (256,) float32.
        speed: factor on the tempo.
        pitch_hz: the mean pitch.
        pitch_range: factor on the deviation of log pitch from its mean.
    """
    feeds = {
        "tokens": np.array([ids], np.int64),
        "style": style[None],
        "speed": np.array([speed], np.float32),
        graph.PITCH_HZ: np.array([pitch_hz], np.float32),
        graph.PITCH_RANGE: np.array([pitch_range], np.float32),
    }
    samples, own_log_pitch = session().run(["audio", graph.OWN_LOG_PITCH], feeds)
    return samples, float(own_log_pitch)


def render(ids: list[int], styles: Styles, controls: Controls) -> np.ndarray:
    """Returns the speech (samples,) float32 of one sentence; equal controls give equal samples."""
    # A longer tract is played more slowly, which lowers the pitch and the tempo as well.
    samples, _ = say(
        ids,
        styles.style(controls, len(ids) - 2),
        speed=controls.tempo / controls.tract,
        pitch_hz=controls.pitch_hz / controls.tract,
        pitch_range=controls.pitch_range,
    )
    return shaped(samples, controls.tract, controls.colour_db)


def shaped(samples: np.ndarray, tract: float, colour_db: tuple[float, ...]) -> np.ndarray:
    """Returns samples (n / tract,) float32 with formants, pitch and tempo times `tract`, filtered to a colour."""
    moved = soxr.resample(samples, SAMPLE_RATE_HZ * tract, SAMPLE_RATE_HZ) if tract != 1 else samples
    n_fft = 2 ** int(np.ceil(np.log2(len(moved) + SAMPLE_RATE_HZ // 10)))  # zeros behind, so that no end wraps round
    gain = 10 ** (np.array(colour_db) @ _waves(n_fft) / 20)
    return np.fft.irfft(np.fft.rfft(moved, n_fft) * gain, n_fft)[: len(moved)].astype(np.float32)


@lru_cache(maxsize=8)
def _waves(n_fft: int) -> np.ndarray:
    """Returns waves (N_COLOUR, n_fft / 2 + 1) over the mel scale up to COLOUR_TOP_HZ, from half a period upwards."""

    def mel(hz: np.ndarray) -> np.ndarray:
        return np.log1p(hz / 700)

    phase = np.minimum(mel(np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE_HZ)) / mel(np.array(COLOUR_TOP_HZ)), 1)
    # A rising first wave is a brighter voice.
    return -np.cos(np.pi * np.arange(1, N_COLOUR + 1)[:, None] * phase)
