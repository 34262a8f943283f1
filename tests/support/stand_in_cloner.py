"""A stand-in for a cloning TTS: tones at the pitch of the reference. It is no TTS, and labelled so."""

import re
from typing import ClassVar

import numpy as np

from vclip.errors import InputError
from vclip.tts.cloning import Cloning


class StandInCloner:
    """Harmonics for words, at the median pitch of the reference and as bright as it is."""

    name, sample_rate_hz, languages = "stand-in, no TTS", 16_000, ("en", "fr")
    made_of: ClassVar = {"stand-in": "a test's, no speech"}

    def clone(self, text, reference, sample_rate_hz, reference_text, language):
        words = re.findall(r"\w+", text)
        if not words:
            raise InputError(f"text {text!r}: nothing to speak")
        pitch_hz, brightness = _pitch_hz(reference, sample_rate_hz), _brightness(reference)
        return np.concatenate([self._word(word, pitch_hz, brightness) for word in words]).astype(np.float32)

    def _word(self, word, pitch_hz, brightness):
        at_s = np.arange(int(self.sample_rate_hz * (0.1 + len(word) / 20))) / self.sample_rate_hz
        tones = sum(brightness**k * np.sin(2 * np.pi * pitch_hz * k * at_s) for k in range(1, 10))
        return 0.1 * tones * np.sin(np.pi * np.arange(len(at_s)) / len(at_s))


def cloned_from_morph(spec: str = "python:tests.support.stand_in_cloner:StandInCloner") -> Cloning:
    """Returns the clone backend with a reference that `morph` speaks, whatever else is installed."""
    return Cloning(spec, "morph")


def _pitch_hz(samples, rate_hz, low_hz=60, high_hz=400):
    size = rate_hz // 20
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 2]
    frames = frames[frames.std(axis=1) > samples.std()]
    correlation = np.fft.irfft(np.abs(np.fft.rfft(frames, 2 * size)) ** 2)
    lags = slice(rate_hz // high_hz, rate_hz // low_hz)
    return float(np.median(rate_hz / (lags.start + correlation[:, lags].argmax(axis=1))))


def _brightness(samples):
    power = np.abs(np.fft.rfft(samples)) ** 2
    return 0.5 + 0.4 * float(power[len(power) // 8 :].sum() / power.sum()) ** 0.5
