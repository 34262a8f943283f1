"""A speech file can be read by others, says that it is synthetic, and is as loud as it should be."""

import json
import wave

import numpy as np
import pytest
import soundfile

from vclip.errors import InputError
from vclip.tts import streaming_wav, wav
from vclip.tts.loudness import PEAK, TARGET_LUFS, loudness_lufs, normalised
from vclip.tts.streaming_wav import Spool
from vclip.tts.wav import read_provenance, write_speech

RATE_HZ = 24_000
PROVENANCE = {"text": "Grüße, “you”", "scores": {"informed": np.float32(0.5)}, "models": ["morph"], "face": "a.jpg"}


def _tone(hz: float = 997.0, rate_hz: int = RATE_HZ, seconds: float = 3.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 44_100, 48_000])
def test_loudness_equals_the_standards_reference(rate_hz):
    # BS.1770: a full-scale 997 Hz sine in one channel reads -3.01.
    assert loudness_lufs(_tone(rate_hz=rate_hz), rate_hz) == pytest.approx(-3.01, abs=0.05)


def test_loudness_ignores_pauses():
    speech = 0.1 * _tone(seconds=6)
    paused = np.concatenate([speech, np.zeros(6 * RATE_HZ), 0.001 * speech])
    assert loudness_lufs(paused, RATE_HZ) == pytest.approx(loudness_lufs(speech, RATE_HZ), abs=0.3)
    assert loudness_lufs(np.zeros(RATE_HZ), RATE_HZ) == float("-inf")


def test_normalised_reaches_the_target_unless_a_peak_forbids():
    assert loudness_lufs(normalised(0.01 * _tone(), RATE_HZ), RATE_HZ) == pytest.approx(TARGET_LUFS, abs=0.01)
    clicks = np.zeros(RATE_HZ)
    clicks[:: RATE_HZ // 2] = 0.01
    clicks += 1e-4 * _tone(seconds=1)
    assert np.abs(normalised(clicks, RATE_HZ)).max() <= PEAK + 1e-6
    assert not normalised(np.zeros(100), RATE_HZ).any()


def test_written_speech_is_read_by_others(tmp_path):
    path, sidecar = write_speech(tmp_path / "new" / "a.wav", Spool([0.1 * _tone()], RATE_HZ), PROVENANCE)
    samples, rate_hz = soundfile.read(path)
    assert rate_hz == RATE_HZ
    assert samples == pytest.approx(normalised(0.1 * _tone(), RATE_HZ), abs=1 / 32767)
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getnframes()) == (1, 2, len(samples))
    assert {p.name for p in path.parent.iterdir()} == {"a.wav", "a.json"}
    assert sidecar.stat().st_mode == path.stat().st_mode


def test_file_and_sidecar_say_synthetic_and_from_what(tmp_path):
    path, sidecar = write_speech(
        tmp_path / "a.wav", Spool([0.1 * _tone()], RATE_HZ), PROVENANCE | {"synthetic": False}
    )
    said = read_provenance(path)
    assert said == json.loads(sidecar.read_text())
    assert said["synthetic"] is True
    assert (said["text"], said["scores"]) == (PROVENANCE["text"], {"informed": 0.5})
    with soundfile.SoundFile(path) as file:
        assert "synthetic" in file.copy_metadata()["software"]
        assert json.loads(file.copy_metadata()["comment"]) == said


@pytest.mark.parametrize("samples", [[], [0.0, np.nan], [[0.0], [0.1]]])
def test_unusable_samples_leave_no_file(tmp_path, samples):
    with pytest.raises(InputError, match="finite samples"):
        write_speech(tmp_path / "a.wav", Spool([np.array(samples)], RATE_HZ), {})
    assert not list(tmp_path.iterdir())


def test_errors_name_the_file(tmp_path):
    with pytest.raises(InputError, match=r"a\.mp3"):
        write_speech(tmp_path / "a.mp3", Spool([_tone()], RATE_HZ), {})
    (tmp_path / "taken").touch()
    with pytest.raises(InputError, match=r"a\.wav"):
        write_speech(tmp_path / "taken" / "a.wav", Spool([_tone()], RATE_HZ), {})
    soundfile.write(tmp_path / "plain.wav", _tone(), RATE_HZ)
    for name in ("plain.wav", "missing.wav"):
        with pytest.raises(InputError, match=name):
            read_provenance(tmp_path / name)


def test_in_parts_or_at_once_the_speech_is_as_loud(monkeypatch, tmp_path):
    """Parts of all lengths, in a file or in memory: the samples and the loudness are those of the whole."""
    rng = np.random.default_rng(0)
    whole = (0.2 * rng.standard_normal(5 * RATE_HZ) * np.repeat([1, 0.1, 0, 0.5, 1], RATE_HZ)).astype(np.float32)
    cuts = np.sort(rng.integers(0, len(whole), 40))
    at_once = Spool([whole], RATE_HZ)
    monkeypatch.setattr(streaming_wav, "IN_MEMORY_BYTES", 1000)
    monkeypatch.setattr(streaming_wav, "CHUNK_BYTES", 4 * 777)
    parts = Spool(np.split(whole, cuts), RATE_HZ)
    assert (parts.samples, parts.seconds) == (len(whole), 5.0)
    np.testing.assert_allclose(np.concatenate(list(parts.chunks())), normalised(whole, RATE_HZ), rtol=1e-6)
    np.testing.assert_array_equal(parts.head(0.5), np.concatenate(list(parts.chunks()))[: RATE_HZ // 2])
    files = [
        write_speech(tmp_path / name / "a.wav", one, PROVENANCE)[0] for name, one in (("a", at_once), ("b", parts))
    ]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert parts._file._rolled  # it was a file on disk
    with pytest.raises(InputError, match="finite samples"):
        Spool([whole, [np.inf]], RATE_HZ)


def test_speech_longer_than_a_wav_file_can_hold_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(wav, "LONGEST_BYTES", 2 * RATE_HZ)
    write_speech(tmp_path / "a.wav", Spool([_tone(seconds=1)], RATE_HZ), {})
    with pytest.raises(InputError, match=r"b\.wav: 0\.0 h of speech are more than a WAV file holds"):
        write_speech(tmp_path / "b.wav", Spool([_tone(seconds=1.001)], RATE_HZ), {})
    assert {p.name for p in tmp_path.iterdir()} == {"a.wav", "a.json"}
