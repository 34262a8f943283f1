"""A speech file can be read by other programs, and says that it is synthetic and how it was made."""

import json
import wave

import numpy as np
import pytest
import soundfile

from vclip.errors import InputError
from vclip.marking.provenance import read_provenance, write_speech
from vclip.marking.verify import verify
from vclip.tts.loudness import normalised
from vclip.tts.wav import StreamedSpeech

RATE_HZ = 24_000
PROVENANCE = {"text": "Grüße, “you”", "scores": {"informed": np.float32(0.5)}, "models": ["morph"], "face": "a.jpg"}


def _tone(seconds: float = 3.0) -> np.ndarray:
    return 0.1 * np.sin(2 * np.pi * 997 * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)


def _speech(seconds: float = 3.0) -> StreamedSpeech:
    return StreamedSpeech([_tone(seconds)], RATE_HZ)


def test_written_speech_is_read_by_others(tmp_path):
    path, sidecar = write_speech(tmp_path / "new" / "a.wav", _speech(), PROVENANCE)
    samples, rate_hz = soundfile.read(path)
    assert rate_hz == RATE_HZ
    assert samples == pytest.approx(normalised(_tone(), RATE_HZ), abs=1 / 32767)  # a step of 16 bits
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getnframes()) == (1, 2, len(samples))
    assert {p.name for p in path.parent.iterdir()} == {"a.wav", "a.json"}
    assert sidecar.stat().st_mode == path.stat().st_mode


def test_file_and_sidecar_say_synthetic_and_from_what(tmp_path):
    path, sidecar = write_speech(tmp_path / "a.wav", _speech(), PROVENANCE | {"synthetic": False})
    label = read_provenance(path)
    assert label == json.loads(sidecar.read_text())
    assert label["synthetic"] is True
    assert (label["text"], label["scores"]) == (PROVENANCE["text"], {"informed": 0.5})
    with soundfile.SoundFile(path) as file:
        assert "synthetic" in file.copy_metadata()["software"]
        assert json.loads(file.copy_metadata()["comment"]) == label


@pytest.mark.parametrize("letter", ["a", "é", "한"])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path, letter):
    stem = letter * (251 // len(letter.encode()))
    for ending in (".wav", ".WAV"):
        path, sidecar = write_speech(tmp_path / f"{stem}{ending}", _speech(), PROVENANCE)
        assert {path, sidecar} <= set(tmp_path.iterdir())
        assert verify(path).problems == ()
        sidecar.write_text("{}")
        assert verify(path).problems  # it is read


def test_errors_name_the_file(tmp_path):
    with pytest.raises(InputError, match=r"a\.mp3"):
        write_speech(tmp_path / "a.mp3", _speech(), {})
    (tmp_path / "taken").touch()
    with pytest.raises(InputError, match=r"a\.wav"):
        write_speech(tmp_path / "taken" / "a.wav", _speech(), {})
    soundfile.write(tmp_path / "plain.wav", _tone(), RATE_HZ)
    for name in ("plain.wav", "missing.wav"):
        with pytest.raises(InputError, match=name):
            read_provenance(tmp_path / name)


def test_speech_longer_than_a_wav_file_can_hold_is_an_error(tmp_path):
    write_speech(tmp_path / "a.wav", _speech(1), {}, longest_bytes=2 * RATE_HZ)
    with pytest.raises(InputError, match=r"b\.wav: found 0\.0 h of speech, more than a WAV file holds"):
        write_speech(tmp_path / "b.wav", _speech(1.001), {}, longest_bytes=2 * RATE_HZ)
    assert {p.name for p in tmp_path.iterdir()} == {"a.wav", "a.json"}
