"""Mel-frequency cepstral coefficients, equal to those of python_speech_features (tested).

That package takes twice the time, needs memory for the whole audio at once and has no wheel. Its defaults:
pre-emphasis 0.97, no window, 26 triangular filters between whole lines of a 512-point spectrum, an orthonormal DCT, a
lifter of 22, and the log energy of the frame in place of the first coefficient.
"""

import numpy as np
from scipy.fft import dct

SAMPLE_RATE_HZ = 16_000
FRAME, HOP = 400, 160  # samples: 25 ms, 10 ms
COEFFICIENTS = 13
PREEMPHASIS, LIFTER = 0.97, 22
N_FFT, FILTERS = 512, 26
BLOCK = 6000  # frames in one pass, so that long audio needs no more memory than short audio


def mfcc(audio: np.ndarray, frames: int, block: int = BLOCK) -> np.ndarray:
    """Returns the coefficients of the first frames of the audio, (frames, 13) float32.

    Args:
        audio: (samples,) int16 at 16 kHz, at its integer scale: the log energy depends on it.
        frames: number of frames; frame i covers samples 160 i to 160 i + 400. Beyond the audio, samples are zero.
        block: frames computed in one pass.
    """
    rows = [_block(audio, first, min(first + block, frames)) for first in range(0, frames, block)]
    return np.concatenate([np.zeros((0, COEFFICIENTS), np.float32), *rows])


def _block(audio: np.ndarray, first: int, end: int) -> np.ndarray:
    start, count = first * HOP, (end - first - 1) * HOP + FRAME
    given = audio[start : start + count]
    samples = np.zeros(1 + count)  # the first is the one before
    samples[1 : 1 + len(given)] = given
    samples[0] = audio[start - 1] if 0 < start <= len(audio) else 0
    emphasised = samples[1:] - PREEMPHASIS * samples[:-1]
    emphasised[len(given) :] = 0
    pieces = np.lib.stride_tricks.sliding_window_view(emphasised, FRAME)[::HOP]
    power = np.abs(np.fft.rfft(pieces, N_FFT)) ** 2 / N_FFT
    cepstra = np.asarray(dct(np.log(_not_zero(power @ _FILTERS)), norm="ortho"))[:, :COEFFICIENTS] * _LIFTS
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


_FILTERS = _mel_filters()
_LIFTS = 1 + LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / LIFTER)
