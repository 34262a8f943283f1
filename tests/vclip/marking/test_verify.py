"""`verify` reports files that were changed after they were written, and no others."""

import json
import struct

import numpy as np
import pytest
import soundfile

from vclip.errors import InputError
from vclip.marking.provenance import read_provenance, write_speech
from vclip.marking.verify import verify
from vclip.tts.wav import StreamedSpeech

RATE_HZ = 16_000
LABEL = {"text": "Hello", "models": {"tts": {"name": "morph"}}}


def _tone(hz):
    return 0.1 * np.sin(2 * np.pi * hz * np.arange(RATE_HZ) / RATE_HZ)


@pytest.fixture
def speech(tmp_path):
    return write_speech(tmp_path / "a.wav", StreamedSpeech([_tone(440)], RATE_HZ), LABEL)[0]


def test_a_file_as_written_verifies_with_and_without_its_sidecar(speech):
    found = verify(speech)
    assert found.problems == ()
    assert found.provenance == json.loads(speech.with_suffix(".json").read_text())
    assert found.provenance["synthetic"] is True
    speech.with_suffix(".json").unlink()
    assert verify(speech).problems == ()


def test_it_holds_after_another_program_has_added_its_own_list(speech):
    data = speech.read_bytes()
    body = b"adtl" + b"\0" * 8
    more = b"LIST" + struct.pack("<I", len(body)) + body
    speech.write_bytes(b"RIFF" + struct.pack("<I", len(data) - 8 + len(more)) + data[8:] + more)
    assert verify(speech).problems == ()


def _other_sample(data):
    return data[:-2] + bytes([data[-2] ^ 1, data[-1]])


def _other_rate(data):
    at = data.index(b"fmt ") + 12
    return data[:at] + struct.pack("<I", 8_000) + data[at + 4 :]


def _cut(data):
    return data[:-1000]


@pytest.mark.parametrize("change", [_other_sample, _other_rate, _cut])
def test_changed_audio_is_reported(speech, change):
    speech.write_bytes(change(speech.read_bytes()))
    assert [problem for problem in verify(speech).problems if "samples" in problem]


def test_the_sidecar_of_another_file_is_reported(speech, tmp_path):
    other = write_speech(tmp_path / "b.wav", StreamedSpeech([_tone(220)], RATE_HZ), LABEL)[1]
    speech.with_suffix(".json").write_bytes(other.read_bytes())
    (problem,) = verify(speech).problems
    assert "a.json" in problem
    speech.with_suffix(".json").write_text("{")
    assert len(verify(speech).problems) == 1


def test_provenance_without_a_hash_is_reported(speech):
    label = read_provenance(speech)
    without = {name: value for name, value in label.items() if name != "audio"}
    data, old, new = speech.read_bytes(), json.dumps(label).encode(), json.dumps(without).encode()
    assert old in data
    speech.write_bytes(data.replace(old, new.ljust(len(old))))
    assert "no hash" in verify(speech).problems[0]


def test_files_without_provenance_are_errors_that_name_them(tmp_path):
    soundfile.write(tmp_path / "plain.wav", _tone(440), RATE_HZ)
    soundfile.write(tmp_path / "other.flac", _tone(440), RATE_HZ)
    with soundfile.SoundFile(tmp_path / "comment.wav", "w", RATE_HZ, 1) as file:
        file.comment = "recorded at home"
        file.write(_tone(440))
    for name, found in (
        ("plain.wav", "without provenance"),
        ("comment.wav", "without provenance"),
        ("other.flac", "no WAV file"),
        ("missing.wav", "No such file"),
    ):
        with pytest.raises(InputError, match=name) as error:
            verify(tmp_path / name)
        assert found in str(error.value)
