"""Loudness of mono speech (ITU-R BS.1770-4), and the gain that brings it to EBU R 128's -23 LUFS."""

import numpy as np

TARGET_LUFS = -23.0
PEAK = 0.95
STEP_S, STEPS = 0.1, 4  # a block is four steps long, and one begins at every step
SILENCE_LUFS, BELOW_MEAN_LU = -70.0, 10.0


class Meter:
    """Measures the loudness of speech that arrives in parts."""

    def __init__(self, sample_rate_hz: int):
        self._step = round(STEP_S * sample_rate_hz)
        self._filters = [(*weights, np.zeros(2)) for weights in _k_weighting(sample_rate_hz)]
        self._energies: list[np.ndarray] = []  # of complete steps
        self._rest = np.zeros(0)  # squares of the incomplete step
        self._peak = 0.0

    def add(self, samples: np.ndarray) -> None:
        """Measures the next samples (n,), float in -1..1."""
        from scipy.signal import lfilter  # slow to import, and every job imports this file

        weighted = np.asarray(samples, dtype=np.float64)
        self._peak = max(self._peak, float(np.abs(weighted).max(initial=0)))
        for number, (numerator, denominator, state) in enumerate(self._filters):
            weighted, state = lfilter(numerator, denominator, weighted, zi=state)
            self._filters[number] = numerator, denominator, state
        squares = np.concatenate([self._rest, weighted**2])
        whole = len(squares) // self._step * self._step
        self._energies.append(squares[:whole].reshape(-1, self._step).sum(axis=1))
        self._rest = squares[whole:]

    def lufs(self) -> float:
        """Returns the gated loudness of all samples so far, in LUFS; minus infinity for silence."""
        energies = np.concatenate([np.zeros(0), *self._energies])
        if len(energies) < STEPS:  # as if silence followed
            energies = np.pad(np.append(energies, self._rest.sum()), (0, STEPS - 1 - len(energies)))
        power = np.convolve(energies, np.ones(STEPS), "valid") / (STEPS * self._step)
        power = power[power > _power(SILENCE_LUFS)]
        if not len(power):
            return float("-inf")
        power = power[power > power.mean() / 10 ** (BELOW_MEAN_LU / 10)]
        return float(-0.691 + 10 * np.log10(power.mean()))

    def gain(self) -> float:
        """Returns the gain that brings the samples to TARGET_LUFS, or a lower one where a peak would exceed PEAK.

        The gain of silence is 1.
        """
        lufs = self.lufs()
        if not np.isfinite(lufs):
            return 1.0
        return min(10 ** ((TARGET_LUFS - lufs) / 20), PEAK / self._peak)


def normalised(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Returns samples (n,) float32 at TARGET_LUFS, or quieter where a peak would exceed PEAK; keeps silence."""
    waveform = np.asarray(waveform, dtype=np.float32)
    meter = Meter(sample_rate_hz)
    meter.add(waveform)
    return waveform * np.float32(meter.gain())


def _power(lufs: float) -> float:
    return 10 ** ((lufs + 0.691) / 10)


def _k_weighting(sample_rate_hz: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the two filters of BS.1770 (head shelf, low cut) at a sample rate.

    The standard lists coefficients for 48 kHz only. These analogue prototypes reproduce them to 1e-6
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
