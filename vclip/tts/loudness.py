"""Loudness as broadcasters measure it (ITU-R BS.1770-4, mono) and a waveform brought to it (EBU R 128: -23 LUFS)."""

import numpy as np
from scipy.signal import lfilter

TARGET_LUFS = -23.0
PEAK = 0.95
BLOCK_S, STEP_S = 0.4, 0.1
SILENCE_LUFS, BELOW_MEAN_LU = -70.0, 10.0


def loudness_lufs(waveform: np.ndarray, sample_rate_hz: int) -> float:
    """Returns the gated loudness of (samples,) float in -1..1; minus infinity for silence."""
    block, step = round(BLOCK_S * sample_rate_hz), round(STEP_S * sample_rate_hz)
    heard = np.asarray(waveform, dtype=np.float64)
    heard = np.pad(heard, (0, max(0, block - len(heard))))
    for numerator, denominator in _k_weighting(sample_rate_hz):
        heard = lfilter(numerator, denominator, heard)
    total = np.concatenate([[0.0], np.cumsum(heard**2)])
    starts = np.arange(0, len(heard) - block + 1, step)
    power = (total[starts + block] - total[starts]) / block
    power = power[power > _power(SILENCE_LUFS)]
    if not len(power):
        return float("-inf")
    power = power[power > power.mean() / 10 ** (BELOW_MEAN_LU / 10)]
    return float(-0.691 + 10 * np.log10(power.mean()))


def normalised(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Returns (samples,) float32 at TARGET_LUFS, or quieter where a peak would pass PEAK; silence stays as it is."""
    waveform = np.asarray(waveform, dtype=np.float32)
    found_lufs = loudness_lufs(waveform, sample_rate_hz)
    if not np.isfinite(found_lufs):
        return waveform
    gain = 10 ** ((TARGET_LUFS - found_lufs) / 20)
    return waveform * np.float32(min(gain, PEAK / np.abs(waveform).max()))


def _power(lufs: float) -> float:
    return 10 ** ((lufs + 0.691) / 10)


def _k_weighting(sample_rate_hz: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the two filters of BS.1770 (head shelf, low cut) at any rate.

    The standard lists coefficients for 48 kHz only; these analogue prototypes give them back to 1e-6
    (Brecht De Man, Evaluation of implementations of the EBU R128 loudness measurement, 2018).
    """
    k = np.tan(np.pi * 1681.974450955533 / sample_rate_hz)
    q, gain = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    middle = gain**0.4996667741545416
    scale = 1 + k / q + k * k
    shelf = (
        np.array([gain + middle * k / q + k * k, 2 * (k * k - gain), gain - middle * k / q + k * k]) / scale,
        np.array([scale, 2 * (k * k - 1), 1 - k / q + k * k]) / scale,
    )
    k = np.tan(np.pi * 38.13547087602444 / sample_rate_hz)
    q = 0.5003270373238773
    scale = 1 + k / q + k * k
    cut = np.array([1.0, -2.0, 1.0]), np.array([scale, 2 * (k * k - 1), 1 - k / q + k * k]) / scale
    return [shelf, cut]
