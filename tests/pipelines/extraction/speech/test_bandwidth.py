"""The bandwidth of a recording is where a filter ended it, whatever its level and whatever noise it had before."""

import numpy as np
import pytest
from scipy.signal import firwin, lfilter, resample_poly

from pipelines.extraction.speech.bandwidth import BAND_HZ, bandwidth_hz

TELEPHONE_HZ = 5000  # as the docs say


def recording(cutoff_hz: float, level: float = 0.1, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Bursts of a noise that falls by 6 dB an octave, as speech does, with pauses; (samples,) int16 at 16 kHz."""
    rng = np.random.default_rng(seed)
    time = np.arange(48_000) / 16_000
    bursts = (np.sin(2 * np.pi * 2 * time) > 0) * lfilter([1], [1, -0.7], rng.standard_normal(len(time)))
    samples = bursts + noise * rng.standard_normal(len(time))
    if cutoff_hz < 8000:
        samples = lfilter(firwin(255, cutoff_hz, fs=16_000), [1], samples)
    return np.round(samples / np.abs(samples).max() * level * 32767).astype(np.int16)


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("level", [1.0, 0.03])
@pytest.mark.parametrize("cutoff_hz", [3400, 4000, 5500, 7000, 8000])
def test_the_bandwidth_is_the_cutoff(cutoff_hz, level, noise):
    assert bandwidth_hz(recording(cutoff_hz, level, noise)) == pytest.approx(cutoff_hz, abs=BAND_HZ)


def test_8_khz_audio_is_known_after_it_was_resampled():
    samples = recording(8000).astype(np.float64)
    resampled = resample_poly(resample_poly(samples, 1, 2), 2, 1)
    assert bandwidth_hz(np.round(resampled).astype(np.int16)) < TELEPHONE_HZ <= bandwidth_hz(recording(8000))


@pytest.mark.parametrize("samples", [np.zeros(16_000, np.int16), np.zeros(0, np.int16), np.ones(100, np.int16)])
def test_silence_has_no_bandwidth(samples):
    assert bandwidth_hz(samples) is None
