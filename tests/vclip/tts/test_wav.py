"""Speech reaches the target loudness, in parts as at once, and files are WAV files to other programs."""

import tracemalloc

import numpy as np
import pytest

from vclip.errors import InputError
from vclip.tts.loudness import PEAK, TARGET_LUFS, Meter, normalised
from vclip.tts.wav import StreamedSpeech, wav_parts

RATE_HZ = 24_000


def _tone(hz: float = 997.0, rate_hz: int = RATE_HZ, seconds: float = 3.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def _lufs(waveform: np.ndarray, rate_hz: int) -> float:
    meter = Meter(rate_hz)
    meter.add(waveform)
    return meter.lufs()


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 44_100, 48_000])
def test_loudness_equals_the_standards_reference(rate_hz):
    # BS.1770: a full-scale 997 Hz sine in one channel reads -3.01.
    assert _lufs(_tone(rate_hz=rate_hz), rate_hz) == pytest.approx(-3.01, abs=0.05)


def test_loudness_ignores_pauses():
    speech = 0.1 * _tone(seconds=6)
    paused = np.concatenate([speech, np.zeros(6 * RATE_HZ), 0.001 * speech])
    # Two blocks of 0.1 s at the edges hold speech and silence.
    assert _lufs(paused, RATE_HZ) == pytest.approx(_lufs(speech, RATE_HZ), abs=0.3)
    assert _lufs(np.zeros(RATE_HZ), RATE_HZ) == float("-inf")


def test_normalised_reaches_the_target_unless_a_peak_forbids():
    assert _lufs(normalised(0.01 * _tone(), RATE_HZ), RATE_HZ) == pytest.approx(TARGET_LUFS, abs=0.01)  # float32
    clicks = np.zeros(RATE_HZ)
    clicks[:: RATE_HZ // 2] = 0.01
    clicks += 1e-4 * _tone(seconds=1)
    assert np.abs(normalised(clicks, RATE_HZ)).max() <= PEAK + 1e-6  # float32
    assert not normalised(np.zeros(100), RATE_HZ).any()


def test_in_parts_or_at_once_the_speech_is_the_same():
    """Parts of all lengths, in a file or in memory: samples, loudness and WAV bytes are those of the whole."""
    rng = np.random.default_rng(0)
    whole = (0.2 * rng.standard_normal(5 * RATE_HZ) * np.repeat([1, 0.1, 0, 0.5, 1], RATE_HZ)).astype(np.float32)
    cuts = np.sort(rng.integers(0, len(whole), 40))
    at_once = StreamedSpeech([whole], RATE_HZ)
    parts = StreamedSpeech(np.split(whole, cuts), RATE_HZ, in_memory_bytes=1000, chunk_bytes=4 * 777)
    assert (parts.samples, parts.seconds) == (len(whole), 5.0)
    assert repr(parts) == "StreamedSpeech(5.0 s at 24000 Hz)"
    # The loudness meter filters the parts one by one; its sums differ in the last digits.
    np.testing.assert_allclose(np.concatenate(list(parts.chunks())), normalised(whole, RATE_HZ), rtol=1e-6)
    np.testing.assert_array_equal(parts.head(0.5), np.concatenate(list(parts.chunks()))[: RATE_HZ // 2])
    assert max(map(len, parts.chunks())) == 777
    first, second = (b"".join(wav_parts(speech, "test", "comment")) for speech in (at_once, parts))
    assert first == second


@pytest.mark.parametrize("in_memory", [True, False])
def test_samples_beyond_the_limit_wait_on_disk(in_memory):
    """So that a book needs no more memory than a page."""
    part, parts = np.zeros(RATE_HZ, np.float32), 200
    total = parts * part.nbytes  # 19 MB
    tracemalloc.start()
    try:
        speech = StreamedSpeech((part for _ in range(parts)), RATE_HZ, total if in_memory else total // 20)
        for _ in wav_parts(speech, "test", "comment"):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A chunk of 4 MB is there as bytes, as float32 scaled twice and as 16-bit integers.
    assert peak > total if in_memory else peak < total


@pytest.mark.parametrize("samples", [[], [0.0, np.nan], [[0.0], [0.1]]])
def test_unusable_samples_are_errors(samples):
    with pytest.raises(InputError, match="finite samples"):
        StreamedSpeech([np.array(samples)], RATE_HZ)
    if samples:
        with pytest.raises(InputError, match="finite samples"):
            StreamedSpeech([_tone(), np.array(samples)], RATE_HZ)
