"""One backend and one encoder for all tests of speech; and weak ears: a pitch tracker and a recogniser."""

import re

import numpy as np
import pytest
import soxr

from vclip.audio import prepare_speech
from vclip.encoders.ge2e import GE2E
from vclip.tts.morph.backend import Morph


@pytest.fixture(scope="session")
def morph():
    return Morph()


@pytest.fixture(scope="session")
def embed():
    """A function from waveforms at 24 kHz to (n, 256) embeddings."""
    encoder = GE2E("cpu")
    return lambda *spoken: encoder.embed([prepare_speech(s, 24_000) for s in spoken])


@pytest.fixture(scope="session")
def heard_share():
    """A function from texts and waveforms at 24 kHz to the share of words that pocketsphinx hears, in order."""
    pocketsphinx = pytest.importorskip("pocketsphinx")
    decoder = pocketsphinx.Decoder(samprate=16_000, loglevel="FATAL")

    def share(texts, spoken):
        heard = expected = 0
        for text, waveform in zip(texts, spoken, strict=True):
            padded = np.pad(soxr.resample(waveform, 24_000, 16_000), 3200)
            decoder.start_utt()
            decoder.process_raw((padded / np.abs(padded).max() * 2**14).astype("<i2").tobytes(), full_utt=True)
            decoder.end_utt()
            found = decoder.hyp().hypstr.split() if decoder.hyp() else []
            words = re.findall(r"[a-z']+", text.lower())
            heard += _in_order(words, found)
            expected += len(words)
        return heard / expected

    return share


def _in_order(words, found):
    best = np.zeros((len(words) + 1, len(found) + 1), int)
    for i, word in enumerate(words, 1):
        for j, other in enumerate(found, 1):
            best[i, j] = best[i - 1, j - 1] + 1 if word == other else max(best[i - 1, j], best[i, j - 1])
    return best[-1, -1]


@pytest.fixture(scope="session")
def median_pitch_hz():
    """A function from a waveform at 24 kHz to its median pitch, by autocorrelation."""

    def pitch(waveform, rate_hz=24_000, low_hz=55, high_hz=450):
        frames = np.lib.stride_tricks.sliding_window_view(waveform, 1200)[::480] * np.hanning(1200)
        frames = frames[frames.std(axis=1) > 0.3 * frames.std()]
        power = np.abs(np.fft.rfft(frames, 4096)) ** 2
        correlation = np.fft.irfft(power)[:, : rate_hz // low_hz]
        # The window's own correlation falls with the lag, and would favour half the period.
        correlation /= np.fft.irfft(np.abs(np.fft.rfft(np.hanning(1200), 4096)) ** 2)[: rate_hz // low_hz]
        correlation /= correlation[:, :1]
        first = rate_hz // high_hz
        best = correlation[:, first:].max(axis=1)
        # The first lag nearly as good as the best: multiples of the period are good too.
        lag = first + np.argmax(correlation[:, first:] > 0.9 * best[:, None], axis=1)
        return float(np.median(rate_hz / lag[best > 0.6]))

    return pitch
