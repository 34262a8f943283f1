"""Speech is read from any container, resampled without aliases, and raised only where it is quiet."""

import io

import numpy as np
import pytest
import soundfile

from vclip.audio import MIN_LEVEL_DBFS, prepare_speech, read_audio, resample
from vclip.errors import InputError


def _tone(hz, rate_hz, seconds=1.0, amplitude=0.3):
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def _level_dbfs(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)))


@pytest.mark.parametrize(("kind", "error"), [("wav", 1e-4), ("flac", 1e-4), ("ogg", 0.05), ("mp3", 0.1)])
@pytest.mark.parametrize("form", ["path", "str", "bytes"])
def test_reads_what_was_written(tmp_path, kind, error, form):
    path, samples = tmp_path / f"speech.{kind}", _tone(440, 16_000)
    soundfile.write(path, samples, 16_000)
    source = {"path": path, "str": str(path), "bytes": path.read_bytes()}[form]
    found, rate_hz = read_audio(source)
    assert rate_hz == 16_000
    assert found.dtype == np.float32
    assert found.ndim == 1
    n = min(len(found), len(samples)) - 2000
    assert np.abs(found[2000:n] - samples[2000:n]).max() < error


def test_channels_are_averaged(tmp_path):
    left, right = _tone(300, 8_000), _tone(1100, 8_000)
    soundfile.write(tmp_path / "stereo.flac", np.stack([left, right], axis=1), 8_000)
    samples, rate_hz = read_audio(tmp_path / "stereo.flac")
    np.testing.assert_allclose(samples, (left + right) / 2, atol=1e-4)
    assert rate_hz == 8_000


@pytest.mark.parametrize("content", [b"", b"no sound at all", b"RIFF\x00\x00\x00\x00WAVE"])
def test_what_cannot_be_read_names_the_file(tmp_path, content):
    path = tmp_path / "speech.wav"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"audio {path}: .*expected WAV, FLAC, OGG or MP3") as error:
        read_audio(path)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"^audio: "):
        read_audio(content)


def test_a_missing_file_and_one_without_samples_name_the_file(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.wav: "):
        read_audio(tmp_path / "nowhere.wav")
    empty = io.BytesIO()
    soundfile.write(empty, np.zeros(0), 16_000, format="WAV")
    (tmp_path / "empty.wav").write_bytes(empty.getvalue())
    with pytest.raises(InputError, match=r"empty\.wav: found no samples"):
        read_audio(tmp_path / "empty.wav")


@pytest.mark.parametrize(("source_hz", "target_hz"), [(48_000, 16_000), (44_100, 16_000), (8_000, 16_000)])
def test_resampling_keeps_tones_and_lengths_and_makes_no_aliases(source_hz, target_hz):
    out = resample(_tone(1000, source_hz), source_hz, target_hz)
    assert out.dtype == np.float32
    assert abs(len(out) - target_hz) <= 1
    middle = slice(1000, -1000)
    np.testing.assert_allclose(out[middle], _tone(1000, target_hz)[: len(out)][middle], atol=2e-3)
    if source_hz > target_hz:
        beyond = resample(_tone(0.6 * target_hz, source_hz), source_hz, target_hz)
        assert _level_dbfs(beyond[middle]) < -60


def test_the_same_rate_changes_nothing():
    samples = _tone(100, 16_000)
    np.testing.assert_array_equal(resample(samples, 16_000, 16_000), samples)


@pytest.mark.parametrize("amplitude", [1e-3, 0.01, 0.04])
def test_quiet_speech_is_raised_to_the_level(amplitude):
    quiet = _tone(200, 48_000, amplitude=amplitude)
    assert _level_dbfs(quiet) < MIN_LEVEL_DBFS
    prepared = prepare_speech(quiet, 48_000)
    assert prepared.dtype == np.float32
    assert _level_dbfs(prepared) == pytest.approx(MIN_LEVEL_DBFS, abs=0.05)
    # So the level at which something was recorded does not matter, and preparing twice is preparing once.
    np.testing.assert_allclose(prepare_speech(quiet / 3, 48_000), prepared, atol=1e-4)
    np.testing.assert_allclose(prepare_speech(prepared, 16_000), prepared, rtol=1e-3)


def test_loud_speech_is_left_and_silence_stays_silent():
    loud = _tone(200, 16_000, amplitude=0.5)
    np.testing.assert_array_equal(prepare_speech(loud, 16_000), loud)
    np.testing.assert_array_equal(prepare_speech(np.zeros(100, np.float32), 16_000), np.zeros(100))
