"""Speech is rated above the same speech with noise, and noise below both."""

import numpy as np
import pytest

from vclip.speakers.metrics import speech_quality
from vclip.tts.morph.backend import Morph
from vclip.tts.morph.controls import Controls

TEXT = "The old man walked along the river, and nobody knew his name."


def test_noise_makes_speech_worse():
    morph = Morph()
    rng = np.random.default_rng(0)
    speech = morph.speak(TEXT, Controls())
    noise = rng.standard_normal(len(speech)).astype(np.float32) * np.sqrt(np.mean(speech**2))
    clean, noisy, alone = (speech_quality(x, morph.sample_rate_hz) for x in (speech, speech + 0.3 * noise, noise))
    assert 5 >= clean > noisy + 0.5
    assert 1 <= alone < noisy + 0.2
    assert speech_quality(speech, morph.sample_rate_hz) == clean  # the same samples, network and thread


@pytest.mark.parametrize("seconds", [9.5, 12.3])
def test_it_says_what_dnsmos_itself_says(seconds):
    from speechmos import dnsmos

    rng = np.random.default_rng(0)
    speech = (0.1 * rng.normal(size=round(seconds * 16_000)) * np.hanning(round(seconds * 16_000))).astype(np.float32)
    # DNSMOS gives two decimals or so of meaning; onnxruntime's kernels differ in the last bits of float32.
    assert speech_quality(speech, 16_000) == pytest.approx(dnsmos.run(speech, 16_000)["ovrl_mos"], abs=1e-3)
