"""How well speech sounds: what DNSMOS foretells that listeners would say (Reddy et al., 2022, ITU-T P.835).

It was made to judge noise suppression: it hears noise and distortion, and knows little of whether a voice is lively.
The weights ship in the PyPI package `speechmos`.
"""

import warnings

import numpy as np

from vclip.audio import prepare_speech

RATE_HZ = 16_000


def speech_quality(waveform: np.ndarray, sample_rate_hz: int) -> float:
    """Returns the foretold mean opinion, from 1 (bad) to 5 (excellent), of speech (samples,) float in -1..1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of librosa's, about the length of its window
        from speechmos import dnsmos

        speech = np.clip(prepare_speech(waveform, sample_rate_hz), -1, 1)
        return float(dnsmos.run(speech, RATE_HZ)["ovrl_mos"])
