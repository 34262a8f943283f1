"""A voice keeps its vector bit for bit, in a voice file and in the label of speech; damaged ones are told apart."""

import json
import unicodedata

import numpy as np
import pytest
from safetensors.numpy import save_file

import vclip
from vclip.errors import InputError, SpaceError
from vclip.marking.provenance import write_speech
from vclip.speakers.voice import FILE_BYTES, NAME_BYTES, Voice, checked_name, name_key
from vclip.tts.wav import StreamedSpeech

ABOUT = {
    "notice": "Synthetic speech.",
    "face": "ann.jpg",
    "face_sha256": "0" * 64,
    "face_index": 0,
    "scores": {"informed": 0.5},
    "nearest_known_cosine": 0.7,
    "known_similarity_limit": 0.8,
    "models": {"association": {"folder": "m", "sha256": "1"}, "tts": {"name": "beeper", "weights": "2"}},
}


class Beeper:
    """A TTS whose speech is its speaker's vector."""

    name, space, dim, sample_rate_hz = "beeper", "beeps/16", 16, 16_000
    made_of = {"weights": "2"}  # noqa: RUF012

    def parts(self, text, speaker, *language):
        yield np.tile(speaker, 500 * len(text)).astype(np.float32)


def _voice(seed=0, **given):
    vector = np.random.default_rng(seed).normal(size=16).astype(np.float32)
    return Voice(vector, Beeper.space, Beeper.name, ABOUT, **given)


def _speech(folder, voice, text="Hello."):
    label = voice.label | {"text": text, "scores": ABOUT["scores"] | {"f2v": 0.3}}
    return write_speech(folder / "a.wav", voice.speak(text, Beeper()), label)


def _same(one, other):
    return one.speaker.tobytes() == other.speaker.tobytes() and (one.space, one.tts) == (other.space, other.tts)


def test_a_voice_is_the_same_from_its_file_its_wav_and_its_sidecar(tmp_path):
    voice = _voice()
    wav, sidecar = _speech(tmp_path, voice)
    copy = tmp_path / "elsewhere" / "b.json"
    copy.parent.mkdir()
    copy.write_bytes(sidecar.read_bytes())
    kept = voice.named(" Jose\u0301 ").save(tmp_path / "voices" / "x.safetensors")
    for path in (wav, sidecar, copy, kept):
        found = Voice.load(path)
        assert _same(found, voice), path
        assert found.sha256 == voice.sha256
        # What is about the voice is carried along; what is about one file is not.
        assert found.provenance == ABOUT
        first, again = (StreamedSpeech(v.speak("Bye.", Beeper()).chunks(), 16_000) for v in (voice, found))
        assert b"".join(first.pcm()) == b"".join(again.pcm())
    assert Voice.load(kept).name == "Jos\xe9"
    assert kept.stat().st_size < 4096
    assert vclip.Voice is Voice


@pytest.mark.parametrize("scale", [1e-40, 1e-3, 1.0, 1e30])
def test_json_keeps_every_bit_of_a_vector(scale, tmp_path):
    speaker = (scale * np.random.default_rng(1).normal(size=4096)).astype(np.float32)
    voice = Voice(speaker, "s", "t", ABOUT)
    assert _same(Voice.of_label({"synthetic": True, **json.loads(json.dumps(voice.label))}, "x"), voice)
    assert _same(Voice.load(voice.save(tmp_path / "a.safetensors")), voice)


def test_a_voice_without_a_name_gets_that_of_its_file(tmp_path):
    assert Voice.load(_voice().save(tmp_path / "bob.safetensors")).name == "bob"
    with pytest.raises(InputError, match=r"ends in \.safetensors"):
        _voice().save(tmp_path / "bob.wav")


@pytest.mark.parametrize(
    "name", ["", " ", ".", "..", ".ann", "a/b", "a\\b", "a\nb", "a\0b", "\ud800", "ann.wav", "ann.JSON", "é" * 61]
)
def test_names_that_could_be_paths_are_refused(name):
    with pytest.raises(InputError, match="expected") as error:
        _voice().named(name)
    assert "\n" not in str(error.value)


def test_names_are_compared_as_tables_do():
    assert len(checked_name("é" * (NAME_BYTES // 2)).encode()) == NAME_BYTES
    assert name_key(unicodedata.normalize("NFD", " JOSÉ ")) == name_key("josé")
    assert checked_name("می\u200cخواهم") == "می\u200cخواهم"  # Persian joins letters by a mark of no width


def test_what_is_no_voice_is_told(tmp_path):
    whole = _voice(name="ann").content()
    save_file({"speaker": np.ones(4, np.float32)}, tmp_path / "model.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(whole[:-3])
    (tmp_path / "flipped.safetensors").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    (tmp_path / "empty.safetensors").write_bytes(b"")
    (tmp_path / "large.safetensors").write_bytes(b"\0" * (FILE_BYTES + 1))
    (tmp_path / "zero.safetensors").write_bytes(Voice(np.zeros(4, np.float32), "s", "t", name="a").content())
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "folder.wav").mkdir()
    reasons = {
        **{"model": "another safetensors file", "cut": "damaged", "flipped": "not the one", "empty": "damaged"},
        **{"large": "MB", "zero": "no usable speaker vector", "deep": "not JSON", "list": "no label"},
        **{"folder": "not a regular file", "missing": "no such file"},
    }
    suffix = {"deep": ".json", "list": ".json", "folder": ".wav"}
    for name, reason in reasons.items():
        path = tmp_path / f"{name}{suffix.get(name, '.safetensors')}"
        with pytest.raises(InputError, match=reason) as error:
            Voice.load(path)
        assert str(path) in str(error.value)


def test_speech_of_an_older_vclip_is_told_apart(tmp_path):
    label = {"synthetic": True, "speaker_vector": [0.5] * 16, "models": {"tts": {"name": "beeper"}}}
    (tmp_path / "old.json").write_text(json.dumps(label))
    with pytest.raises(InputError, match=r"older vclip.*make the speech again"):
        Voice.load(tmp_path / "old.json")


def test_a_vector_in_a_changed_sidecar_is_refused(tmp_path):
    wav, sidecar = _speech(tmp_path, _voice())
    label = json.loads(sidecar.read_text())
    label["speaker_vector"][3] += 0.25
    sidecar.write_text(json.dumps(label))
    for path in (wav, sidecar):
        with pytest.raises(InputError, match="differs from the provenance"):
            Voice.load(path)
    wav.unlink()
    with pytest.raises(InputError, match="not the one that the file was written for"):
        Voice.load(sidecar)


def test_a_voice_speaks_by_its_own_tts_only(tmp_path):
    class Other(Beeper):
        name = "boomer"

    class Larger(Beeper):
        space = "beeps/17"

    with pytest.raises(InputError, match="chosen with the TTS 'beeper', found 'boomer'"):
        _voice().speak("Hello.", Other())
    with pytest.raises(SpaceError, match="beeps/17"):
        _voice().speak("Hello.", Larger())
    foreign = Voice(_voice().speaker, "s", "clone:python:os:system", ABOUT)
    with pytest.raises(InputError, match="runs any code"):
        foreign.speak("Hello.")
