"""Renders frames of the base voice, changed by controls, as the samples of another voice."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft
from hibari import dsp
from scipy.ndimage import uniform_filter1d

from vclip.tts.morph.base_voice import BIN_HZ, N_BINS, BaseVoice, Frames
from vclip.tts.morph.controls import Controls

# `tract_low` applies below the first frequency, `tract_high` above the second, an interpolated factor between them.
LOW_FORMANTS_HZ = 1500.0
HIGH_FORMANTS_HZ = 6000.0
# Wide enough to span two formants, so that the difference from the smoothed spectrum is the formants.
FORMANT_SMOOTHING_HZ = 1600.0
# The base voice's; `pitch_range` scales the deviation from it.
MEAN_PITCH_HZ = 190.0
PITCH_BOUNDS_HZ = (50.0, 500.0)
SHAPE_TOP_HZ = 8000.0


def speak(voice: BaseVoice, text: str, controls: Controls) -> Iterator[np.ndarray]:
    """Returns the speech (samples,) float32 of each sentence of a text; raises as `BaseVoice.sentences` does."""
    return (render(frames, controls) for frames in voice.sentences(text))


def render(frames: Frames, controls: Controls) -> np.ndarray:
    """Returns the speech (samples,) float32 of one sentence; its noise is seeded: equal controls, equal samples."""
    positions = _frame_positions(len(frames.pitch_hz), controls.tempo)
    pitch_hz = _pitch(frames.pitch_hz, positions, controls)
    harmonic = _envelope(frames.harmonic_log_power, positions, controls)
    noise = _envelope(frames.noise_log_power, positions, controls)
    noise[pitch_hz > 0] += np.float32(controls.breath_db * np.log(10) / 10)
    # A higher pitch has fewer harmonics: keeping the power per Hz keeps the loudness.
    harmonic += np.log(np.maximum(pitch_hz, 1.0))[:, None]

    spectrum = dsp.stft(dsp.pulses(pitch_hz), len(positions)).T
    spectrum *= _minimum_phase(0.5 * harmonic)
    rng = np.random.default_rng(0)
    white = rng.standard_normal((len(positions), 2 * N_BINS), dtype=np.float32).view(np.complex64)
    spectrum += white * np.exp(0.5 * (noise - np.float32(np.log(2))))
    return dsp.ola(spectrum.T)


def _frame_positions(n_frames: int, tempo: float) -> np.ndarray:
    return np.linspace(0, n_frames - 1, max(2, round(n_frames / tempo)), dtype=np.float32)


def _pitch(pitch_hz: np.ndarray, positions: np.ndarray, controls: Controls) -> np.ndarray:
    """Returns the pitch (n,) float32 in Hz at n positions, each voiced if the nearest frame is."""
    voiced = pitch_hz > 0
    if not voiced.any():
        return np.zeros(len(positions), np.float32)
    log_pitch = np.interp(positions, np.flatnonzero(voiced), np.log(pitch_hz[voiced] / MEAN_PITCH_HZ))
    moved = controls.pitch * MEAN_PITCH_HZ * np.exp(controls.pitch_range * log_pitch)
    return np.where(voiced[np.rint(positions).astype(int)], np.clip(moved, *PITCH_BOUNDS_HZ), 0).astype(np.float32)


def _envelope(log_power: np.ndarray, positions: np.ndarray, controls: Controls) -> np.ndarray:
    """Returns log power (n, N_BINS) float32 at n frame positions, with the formants and shape of `controls`."""
    low, high, weight = _warp(controls.tract_low, controls.tract_high)
    log_power = log_power.astype(np.float32)
    log_power = log_power[:, low] * (1 - weight) + log_power[:, high] * weight
    smooth = uniform_filter1d(log_power, round(FORMANT_SMOOTHING_HZ / BIN_HZ), axis=1, mode="nearest")
    log_power = smooth + np.float32(controls.formant_depth) * (log_power - smooth)
    log_power += _colour(controls)
    before = positions.astype(int)
    after = np.minimum(before + 1, len(log_power) - 1)
    part = (positions - before)[:, None]
    return log_power[before] * (1 - part) + log_power[after] * part


def _warp(tract_low: float, tract_high: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns, for every bin, the two bins that it is interpolated from and the weight of the second."""
    top_hz = 4 * HIGH_FORMANTS_HZ  # far beyond the last bin: the slope of the high formants continues
    to_hz = [0, LOW_FORMANTS_HZ * tract_low, HIGH_FORMANTS_HZ * tract_high, top_hz * tract_high]
    from_hz = np.interp(np.arange(N_BINS) * BIN_HZ, to_hz, [0, LOW_FORMANTS_HZ, HIGH_FORMANTS_HZ, top_hz])
    position = np.minimum(from_hz / BIN_HZ, N_BINS - 1)
    low = np.minimum(position.astype(int), N_BINS - 2)
    return low, low + 1, (position - low).astype(np.float32)


def _colour(controls: Controls) -> np.ndarray:
    gains_db = (controls.tilt_db, controls.shape2_db, controls.shape3_db, controls.shape4_db, controls.shape5_db)
    return (np.array(gains_db) @ _shapes() * np.log(10) / 10).astype(np.float32)


@lru_cache(maxsize=1)
def _shapes() -> np.ndarray:
    """Returns waves (5, N_BINS) over the mel scale up to SHAPE_TOP_HZ, from half a period to two and a half."""

    def mel(hz: np.ndarray) -> np.ndarray:
        return np.log1p(hz / 700)

    phase = np.minimum(mel(np.arange(N_BINS) * BIN_HZ) / mel(np.array(SHAPE_TOP_HZ)), 1)
    # A rising first wave is a brighter voice.
    return -np.cos(np.pi * np.arange(1, 6)[:, None] * phase)


def _minimum_phase(log_magnitude: np.ndarray) -> np.ndarray:
    """Returns the spectrum (frames, N_BINS) complex64 of the minimum-phase filter of log magnitudes.

    The causal half of the cepstrum, doubled (Oppenheim and Schafer, Discrete-Time Signal Processing). Group delays of
    0.5 to 2 ms, which spread the pulses further, were tried: peaks changed by less than 1.5 dB either way.
    """
    cepstrum: Any = scipy.fft.irfft(log_magnitude, dsp.N_FFT, axis=1)  # scipy.fft has no types
    cepstrum[:, 1 : N_BINS - 1] *= 2
    cepstrum[:, N_BINS:] = 0
    spectrum: Any = scipy.fft.rfft(cepstrum, axis=1, overwrite_x=True)
    return np.exp(spectrum)
