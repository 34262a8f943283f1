"""The median F0 is that of tones and of speech whose pitch is known."""

import numpy as np
import pytest

from vclip.speakers.pitch import median_f0_hz, semitones
from vclip.tts.morph.backend import Morph
from vclip.tts.morph.controls import Controls

TEXT = "The old man walked along the river, and nobody knew his name."


def tone(f0_hz, rate_hz=16_000, seconds=1.0, partials=(1, 2, 3, 4, 5)):
    time = np.arange(round(rate_hz * seconds)) / rate_hz
    return sum(0.1 / n * np.sin(2 * np.pi * f0_hz * n * time) for n in partials).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 44_100])
@pytest.mark.parametrize("f0_hz", [65, 82.4, 110, 196, 261.6, 390])
def test_a_tone_has_its_pitch(f0_hz, rate_hz):
    assert semitones(median_f0_hz(tone(f0_hz, rate_hz), rate_hz), f0_hz) == pytest.approx(0, abs=0.05)


def test_harmonics_without_their_fundamental_have_its_pitch():
    assert median_f0_hz(tone(120, partials=(2, 3, 4, 5)), 16_000) == pytest.approx(120, rel=0.005)


def test_noise_at_10_db_leaves_the_pitch():
    speech = tone(140)
    noise = np.random.default_rng(0).standard_normal(len(speech)) * np.sqrt(np.mean(speech**2) / 10)
    assert median_f0_hz((speech + noise).astype(np.float32), 16_000) == pytest.approx(140, rel=0.01)


def test_a_second_of_silence_and_a_quiet_hum_do_not_count():
    speech = np.concatenate([tone(200), 0.02 * tone(100, seconds=3), np.zeros(16_000, np.float32)])
    assert median_f0_hz(speech, 16_000) == pytest.approx(200, rel=0.005)


@pytest.mark.parametrize("waveform", [np.zeros(16_000), np.zeros(10), np.random.default_rng(0).normal(size=16_000)])
def test_what_has_no_pitch_is_nan(waveform):
    assert np.isnan(median_f0_hz(waveform.astype(np.float32), 16_000))


def test_speech_has_the_pitch_that_morph_gave_it():
    morph = Morph()
    factors = (1.0, 0.4, 0.6, 1.3)
    speech = [morph.speak(TEXT, Controls(pitch=factor)) for factor in factors]
    pitch_hz = np.array([median_f0_hz(samples, morph.sample_rate_hz) for samples in speech])
    assert pitch_hz / pitch_hz[0] == pytest.approx(factors, rel=0.03)
