"""`verify` reports files that were changed after they were written, and no others."""

import json
import os
import re
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.vclip_command import call
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


def test_files_without_any_mark_are_told(tmp_path):
    soundfile.write(tmp_path / "plain.wav", _tone(440), RATE_HZ)
    soundfile.write(tmp_path / "other.flac", _tone(440), RATE_HZ)
    with soundfile.SoundFile(tmp_path / "comment.wav", "w", RATE_HZ, 1) as file:
        file.comment = "recorded at home"
        file.write(_tone(440))
    for name, found in (
        ("plain.wav", "without provenance"),
        ("comment.wav", "without provenance"),
        ("other.flac", "no WAV file"),
    ):
        said = verify(tmp_path / name)
        assert (said.label.state, said.signature.state) == ("absent", "absent")
        assert found in said.problems[0]
        assert said.provenance == {}
    with pytest.raises(InputError, match=r"missing\.wav: No such file"):
        verify(tmp_path / "missing.wav")


def _riff(form, *chunks):
    body = form + b"".join(
        name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2) for name, body in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _wave(*chunks):
    return _riff(b"WAVE", *chunks)


def _split(data):
    """The chunks of a true file, by name."""
    at, found = 12, {}
    while at < len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        found[name] = data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    return found


def _forged(rate_hz=RATE_HZ, tag=1, channels=1, bits=16):
    width = channels * bits // 8
    return struct.pack("<HHIIHH", tag, channels, rate_hz, width * rate_hz, width, bits)


FMT, LIST, DATA = b"fmt ", b"LIST", b"data"
FORGERIES = {
    "stereo": lambda f, i, d: _wave((FMT, _forged(channels=2)), (LIST, i), (DATA, d)),
    "8 bit": lambda f, i, d: _wave((FMT, _forged(bits=8)), (LIST, i), (DATA, d)),
    "24 bit": lambda f, i, d: _wave((FMT, _forged(bits=24)), (LIST, i), (DATA, d)),
    "mu-law": lambda f, i, d: _wave((FMT, _forged(tag=7, bits=8)), (LIST, i), (DATA, d)),
    "float": lambda f, i, d: _wave((FMT, _forged(tag=3, bits=32)), (LIST, i), (DATA, d)),
    "extensible": lambda f, i, d: _wave((FMT, _forged(tag=0xFFFE) + bytes(24)), (LIST, i), (DATA, d)),
    "longer fmt": lambda f, i, d: _wave((FMT, f + bytes(2)), (LIST, i), (DATA, d)),
    "byte rate": lambda f, i, d: _wave((FMT, f[:8] + bytes(4) + f[12:]), (LIST, i), (DATA, d)),
    "second fmt before": lambda f, i, d: _wave((FMT, _forged(8000)), (FMT, f), (LIST, i), (DATA, d)),
    "second fmt after": lambda f, i, d: _wave((FMT, f), (LIST, i), (DATA, d), (FMT, _forged(8000))),
    "AVI": lambda f, i, d: _riff(b"AVI ", (FMT, f), (LIST, i), (DATA, d)),
    "data before": lambda f, i, d: _wave((FMT, f), (LIST, i), (DATA, d[::-1]), (DATA, d)),
    "data after": lambda f, i, d: _wave((FMT, f), (LIST, i), (DATA, d), (DATA, d[::-1])),
    "empty data before": lambda f, i, d: _wave((FMT, f), (LIST, i), (DATA, b""), (DATA, d)),
    "wave list": lambda f, i, d: _wave((FMT, f), (LIST, i), (LIST, b"wavl" + bytes(8)), (DATA, d)),
    "second INFO": lambda f, i, d: _wave((FMT, f), (LIST, i), (DATA, d), (LIST, i)),
    "playlist": lambda f, i, d: _wave((FMT, f), (LIST, i), (b"plst", bytes(4)), (DATA, d)),
    "ds64": lambda f, i, d: _wave((b"ds64", bytes(28)), (FMT, f), (LIST, i), (DATA, d)),
    "second form": lambda f, i, d: _wave((FMT, f), (LIST, i), (DATA, d)) * 2,
    "more bytes": lambda f, i, d: _wave((FMT, f), (LIST, i), (DATA, d)) + bytes(5),
    "RIFX": lambda f, i, d: b"RIFX" + _wave((FMT, f), (LIST, i), (DATA, d))[4:],
    "no fmt": lambda f, i, d: _wave((LIST, i), (DATA, d)),
    "no data": lambda f, i, d: _wave((FMT, f), (LIST, i)),
    "short fmt": lambda f, i, d: _wave((FMT, f[:4]), (LIST, i), (DATA, d)),
}  # fmt: skip


def _told(path):
    """The problems with a file; those that make it no speech file at all are one."""
    try:
        found = verify(path).problems
    except InputError as error:
        found = (str(error),)
    assert "\n" not in "".join(found)
    return found


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_structure_that_is_not_as_written_is_told(speech, forgery):
    chunks = _split(speech.read_bytes())
    assert _riff(b"WAVE", *chunks.items()) == speech.read_bytes()
    speech.write_bytes(FORGERIES[forgery](chunks[b"fmt "], chunks[b"LIST"], chunks[b"data"]))
    assert _told(speech)


def _relabelled(speech, label):
    """Writes a forged label into the file and its sidecar."""
    chunks = _split(speech.read_bytes())
    text = label if isinstance(label, bytes) else json.dumps(label).encode()
    software = chunks[b"LIST"][: chunks[b"LIST"].index(b"ICMT")]
    comment = text + b"\0"
    chunks[b"LIST"] = software + b"ICMT" + struct.pack("<I", len(comment)) + comment + b"\0" * (len(comment) % 2)
    speech.write_bytes(_riff(b"WAVE", *chunks.items()))
    speech.with_suffix(".json").write_bytes(text)


def test_a_label_that_does_not_say_synthetic_is_told(speech):
    true = read_provenance(speech)
    _relabelled(speech, true)
    assert verify(speech).problems == ()
    for value in (False, "no", None, 1, "true", [True], {}):
        _relabelled(speech, true | {"synthetic": value})
        assert any("synthetic" in problem for problem in verify(speech).problems), value
    _relabelled(speech, json.dumps(true).encode()[:-1] + b', "synthetic": true}')
    assert verify(speech).problems  # the name stands twice: readers differ in which one they take
    _relabelled(speech, json.dumps(true).replace('"synthetic": true', '"synthetic": false', 1).encode()[:-1]
                + b', "synthetic": true}')  # fmt: skip
    assert verify(speech).problems


DEEP = [b"[" * n + b"]" * n for n in (50, 900, 100_000)] + [
    b'{"a":' * n + b"1" + b"}" * n for n in (50, 900, 100_000)
]


@pytest.mark.parametrize(
    "inner", [*DEEP, b"1" * 5000, b'"\\ud800"', b"NaN", b"1e999", b'"x"', b"[1]", b"null"], ids=len
)
def test_odd_json_is_an_answer(speech, inner, capfd):
    true = json.dumps(read_provenance(speech)).encode()
    for name in (b"models", b"audio", b"text", b"holds", b"problems", b"synthetic"):
        _relabelled(speech, true)
        _relabelled(speech, true[:-1] + b', "' + name + b'": ' + inner + b"}")
        assert isinstance(_told(speech), tuple)
        for flags in ((), ("--json",)):
            call("verify", speech, *flags)
            assert "Traceback" not in capfd.readouterr().err
    _relabelled(speech, true)
    for content in (inner, b"\xff\xfe", b"", b"{" * 10):
        speech.with_suffix(".json").write_bytes(content)
        assert verify(speech).problems == ("the sidecar a.json differs from the provenance inside the file",)


def test_a_label_does_not_say_for_itself_that_it_holds(speech, capfd):
    _relabelled(
        speech, read_provenance(speech) | {"synthetic": False, "holds": True, "problems": [], "file": "other"}
    )
    assert call("verify", speech, "--json") == 2
    (row,) = json.loads(capfd.readouterr().out)["files"]
    assert (row["holds"], row["file"]) == (False, str(speech))


def test_what_is_no_regular_file_is_one_line(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for path in (
        tmp_path / "pipe.wav",
        tmp_path,
        "/dev/zero",
        tmp_path / "a\0b.wav",
        tmp_path / ("x" * 300 + ".wav"),
    ):
        with pytest.raises(InputError, match="speech file"):
            verify(path)


@pytest.mark.parametrize("name", [b"ISFT", b"ICMT"])
@pytest.mark.parametrize("by", [-1, 1])
def test_a_text_of_another_length_is_told(speech, name, by):
    """Its padding, or its end, then belongs to the text; readers that drop zeros see no difference."""
    changed = bytearray(speech.read_bytes())
    at = changed.index(name) + 4
    changed[at : at + 4] = (int.from_bytes(changed[at : at + 4], "little") + by).to_bytes(4, "little")
    speech.write_bytes(changed)
    assert _told(speech)


@settings(max_examples=1500, deadline=None)
@given(st.data())
def test_any_change_outside_of_the_version_is_told(true_speech, data):
    """Bytes that are changed, put in, taken out or moved, anywhere in the file but in vclip's version number."""
    path, true = true_speech
    head = true.index(b"data") + 8
    version = range(true.index(b"vclip ") + 6, true.index(b" (synthetic speech)"))
    place = st.one_of(st.integers(0, head), st.integers(0, len(true) - 1)).filter(lambda at: at not in version)
    at, changed = data.draw(place), bytearray(true)
    way = data.draw(st.sampled_from(["change", "put in", "take out", "cut", "copy"]))
    some = data.draw(st.binary(min_size=1, max_size=12))
    if way == "change":
        changed[at] ^= data.draw(st.integers(1, 255))
    elif way == "put in":
        changed[at:at] = some
    elif way == "take out":
        del changed[at : at + len(some)]
    elif way == "cut":
        del changed[at:]
    else:
        other = data.draw(place)
        changed[at : at + len(some)] = changed[other : other + len(some)]
    path.write_bytes(changed)
    if bytes(changed) != true and not _same_but_version(bytes(changed), true):
        assert _told(path)


def _same_but_version(changed, true):
    version = re.compile(rb"vclip [\w.+-]+ \(synthetic speech\)")
    return len(changed) == len(true) and version.sub(b"", changed, 1) == version.sub(b"", true, 1)


@pytest.fixture(scope="module")
def true_speech(tmp_path_factory):
    path, _ = write_speech(
        tmp_path_factory.mktemp("true") / "a.wav", StreamedSpeech([_tone(440)[:200]], RATE_HZ), LABEL
    )
    return path, path.read_bytes()
