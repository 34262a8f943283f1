"""What every TTS backend must do: speak, or say clearly why not.

`vits` and `piper` are tried with small voices of random weights: what they say is noise, how they say it is the same.
"""

import json

import numpy as np
import pytest

from tests.support.small_voices import DIM, SPEAKERS, small_piper, small_vits
from vclip.encoders.ge2e import SPACE
from vclip.errors import InputError
from vclip.tts import open_tts
from vclip.tts.loudness import TARGET_LUFS, Meter, normalised

TEXT = "The old man walked along the river, and nobody knew his name."
# Spoken, or an error that names the letters which cannot be pronounced: no word is left out without notice.
LANGUAGES = {
    "German": "Die Straße führt über schöne Hügel.",
    "French": "Un élève naïf mange à l'hôtel.",
    "Spanish": "¿Dónde está el niño?",
    "Polish": "Zażółć gęślą jaźń.",
    "Vietnamese": "Tiếng Việt.",
    "Russian": "Привет, мир!",
    "Greek": "Καλημέρα κόσμε.",
    "Arabic": "مرحبا بالعالم",
    "Hebrew": "שלום עולם",
    "Hindi": "नमस्ते दुनिया।",
    "Chinese": "你好，世界。再见！",
    "Japanese": "こんにちは、世界。",
    "Korean": "안녕하세요.",
    "mixed": "Hello, 世界.",
}


@pytest.fixture(scope="module", params=["morph", "vits", "piper"])
def tts(request, tmp_path_factory):
    if request.param == "morph":
        return request.getfixturevalue("morph")
    if request.param == "vits":
        pytest.importorskip("transformers")
        return open_tts(f"vits:{small_vits(tmp_path_factory.mktemp('vits'))}")
    for package in ("onnx", "piper"):
        pytest.importorskip(package)
    return open_tts(f"piper:{small_piper(tmp_path_factory.mktemp('piper'))}")


@pytest.fixture
def speaker(tts):
    return tts.known_speakers(1).vectors[0]


def _is_speech(tts, wave):
    assert wave.dtype == np.float32
    assert wave.ndim == 1
    assert np.isfinite(wave).all()
    assert np.abs(wave).max() < 1
    meter = Meter(tts.sample_rate_hz)
    meter.add(wave)
    # Quieter where a peak would clip; 0.1 for the rounding of float32 and the meter's blocks.
    assert TARGET_LUFS - 4 < meter.lufs() < TARGET_LUFS + 0.1
    return len(wave) / tts.sample_rate_hz


def _spoken_or_refused(tts, speaker, text):
    """Speech, or an error that quotes the text and says what is wrong with it."""
    try:
        wave = tts.synthesize(text, speaker)
    except InputError as error:
        told = str(error)
    else:
        _is_speech(tts, wave)
        return
    assert "cannot pronounce" in told or "nothing to speak" in told
    assert repr(text[:4])[1:-1] in told


def test_a_sentence(tts, speaker):
    assert 1 < _is_speech(tts, tts.synthesize(TEXT, speaker)) < 12


def test_one_word(tts, speaker):
    assert 0.1 < _is_speech(tts, tts.synthesize("Hello", speaker)) < 3


@pytest.mark.parametrize(("stop", "times"), [("", 20), (".\n", 5)], ids=["2000 words without a stop", "lines"])
def test_a_long_text_takes_as_much_longer_as_it_has_more_words(tts, speaker, stop, times):
    line = "one two three four five six seven eight nine ten " * 10
    alone = _is_speech(tts, tts.synthesize(line + stop, speaker))
    assert 0.9 < _is_speech(tts, tts.synthesize((line + stop) * times, speaker)) / alone / times < 1.2


def test_the_parts_are_the_speech(tts, speaker):
    parts = list(tts.parts(TEXT + " " + TEXT, speaker))
    assert len(parts) >= 2
    at_once = tts.synthesize(TEXT + " " + TEXT, speaker)
    np.testing.assert_allclose(normalised(np.concatenate(parts), tts.sample_rate_hz), at_once, atol=1e-6)
    with pytest.raises(InputError):
        next(tts.parts("...", speaker))


def test_digits_are_spoken(tts, speaker):
    few, many = (_is_speech(tts, tts.synthesize(text, speaker)) for text in ("42", "In 1999 she paid 25 of 1000."))
    assert few < many


@pytest.mark.parametrize("language", LANGUAGES)
def test_other_languages_are_spoken_or_refused_by_name(tts, speaker, language):
    _spoken_or_refused(tts, speaker, LANGUAGES[language])


def test_letters_that_cannot_be_pronounced_are_named(tts, speaker):
    with pytest.raises(InputError, match=r"found '世', '界', which .* cannot pronounce"):
        tts.synthesize("Hello, 世界.", speaker)


@pytest.mark.parametrize("text", ["Hello 👋 world 🎉", "Hello world 👩‍👩‍👧"])
def test_emoji_are_passed_over(tts, speaker, text):
    plain = len(tts.synthesize("Hello world", speaker))
    assert len(tts.synthesize(text, speaker)) == pytest.approx(plain, rel=0.3)


@pytest.mark.parametrize("text", ["", " \n\n ", "...", "!? -- ,", "👋🎉"])
def test_nothing_to_speak_is_an_error(tts, speaker, text):
    with pytest.raises(InputError, match="nothing to speak"):
        tts.synthesize(text, speaker)


@pytest.mark.parametrize(
    "text", ["nul \x00 bell \a", "right \u202e left", "half a pair \ud83d", "<b>bold</b> & [[h@l]]"]
)
def test_strange_characters_are_spoken_or_refused(tts, speaker, text):
    _spoken_or_refused(tts, speaker, text)


def test_accents_may_be_written_apart(tts, speaker):
    together, apart = (tts.synthesize(text, speaker) for text in ("caf\u00e9", "cafe\u0301"))
    np.testing.assert_array_equal(together, apart)


@pytest.mark.parametrize(
    "spoil",
    [lambda v: v[:-1], lambda v: np.append(v, v), lambda v: v[None], lambda v: v * np.nan, lambda v: v * np.inf,
     lambda v: np.where(np.arange(len(v)) == 3, np.nan, v), np.zeros_like, lambda v: np.float32(1)],
    ids=["short", "long", "two axes", "nan", "infinite", "one nan", "zero", "number"],
)  # fmt: skip
def test_unusable_speakers_are_errors(tts, speaker, spoil):
    with pytest.raises(InputError, match=rf"speaker vector of (shape|norm) .*{tts.space}"), np.errstate(all="ignore"):
        tts.synthesize(TEXT, spoil(speaker))


def test_only_the_direction_of_a_speaker_counts(tts, speaker):
    wave = tts.synthesize("Hello there.", speaker)
    np.testing.assert_allclose(tts.synthesize("Hello there.", 2 * speaker), wave, atol=1e-5)


def test_same_request_same_samples(tts):
    a, b = tts.known_speakers(2).vectors
    np.random.seed(0)
    first, other = tts.synthesize(TEXT, a), tts.synthesize(TEXT, b)
    np.random.seed(1)
    again = tts.synthesize(TEXT, a)
    np.testing.assert_array_equal(first, again)
    shorter = min(len(first), len(other))
    assert np.abs(first[:shorter] - other[:shorter]).max() > 0.01


def test_known_speakers_are_distinct_vectors_of_its_space(tts):
    known = tts.known_speakers(40)
    assert known.space == tts.space
    assert known.vectors.shape == (len(known), tts.dim)
    assert len(set(known.speaker_id)) == len(known)
    assert np.linalg.norm(known.vectors, axis=1) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(tts.known_speakers(10).vectors, known.vectors[:10], atol=1e-6)
    assert np.triu(known.vectors @ known.vectors.T, 1).max() < 0.999


def test_provenance_can_be_written(tts):
    assert json.loads(json.dumps(dict(tts.made_of))) == tts.made_of
    assert all(isinstance(value, str) and value for value in tts.made_of.values())


def test_open_tts():
    assert open_tts("morph").space == SPACE
    refused = {
        "siri": r"unknown name.*There are: morph, kokoro, vits:FOLDER\|HUB/NAME, piper:VOICE.onnx",
        "vits": r"expected vits:FOLDER\|HUB/NAME",
        "piper:": "expected piper:VOICE.onnx",
        "morph:x": "found the argument 'x', expected morph",
    }
    for spec, told in refused.items():
        with pytest.raises(InputError, match=f"tts '{spec}': {told}"):
            open_tts(spec)


class TestVits:
    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory):
        pytest.importorskip("transformers")
        return small_vits(tmp_path_factory.mktemp("vits"))

    def test_a_known_speaker_sounds_as_transformers_has_it(self, folder):
        import torch
        from transformers import VitsModel, VitsTokenizer

        tts = open_tts(f"vits:{folder}")
        assert (tts.dim, len(tts.known_speakers(99))) == (DIM, SPEAKERS)
        spoken = tts.synthesize("hello there", tts.known_speakers(99).vectors[7])
        model, tokenizer = VitsModel.from_pretrained(folder).eval(), VitsTokenizer.from_pretrained(folder)
        torch.manual_seed(0)
        with torch.no_grad():
            expected = model(**tokenizer("hello there", return_tensors="pt"), speaker_id=7).waveform[0].numpy()
        assert np.corrcoef(spoken, expected)[0, 1] > 0.9999

    def test_the_callers_chance_is_left_alone(self, folder):
        import torch

        tts = open_tts(f"vits:{folder}")
        torch.manual_seed(3)
        expected = torch.rand(3)
        torch.manual_seed(3)
        tts.synthesize("hello", tts.known_speakers(1).vectors[0])
        assert torch.equal(torch.rand(3), expected)

    def test_what_is_no_checkpoint_is_an_error(self, folder, tmp_path):
        with pytest.raises(InputError, match="expected a VITS checkpoint"):
            open_tts(f"vits:{tmp_path}")
        for file in folder.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        told = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(told | {"num_speakers": 1}))
        with pytest.raises(InputError, match="one speaker"):
            open_tts(f"vits:{tmp_path}")
        (tmp_path / "config.json").write_text(json.dumps(told | {"num_hidden_layers": 2}))
        with pytest.raises(InputError, match="weights are missing"):
            open_tts(f"vits:{tmp_path}")
        (tmp_path / "model.safetensors").write_bytes(b"torn")
        with pytest.raises(InputError, match="expected a VITS checkpoint"):
            open_tts(f"vits:{tmp_path}")


class TestPiper:
    @pytest.fixture
    def voice(self, tmp_path):
        for package in ("onnx", "piper"):
            pytest.importorskip(package)
        return small_piper(tmp_path)

    def test_a_known_speaker_sounds_as_the_graph_itself_has_it(self, voice):
        import onnxruntime

        tts = open_tts(f"piper:{voice}")
        assert (tts.dim, len(tts.known_speakers(99))) == (DIM, SPEAKERS)
        told = json.loads((voice.with_name(f"{voice.name}.json")).read_text())
        quiet = told | {"inference": {"noise_scale": 0, "length_scale": 1, "noise_w": 0}}
        voice.with_name(f"{voice.name}.json").write_text(json.dumps(quiet))
        tts = open_tts(f"piper:{voice}")
        spoken = tts.synthesize("ab", tts.known_speakers(99).vectors[7])
        ids = [i for c in "^ab" for i in (told["phoneme_id_map"][c][0], 0)] + told["phoneme_id_map"]["$"]
        feeds = {"input": [ids], "input_lengths": [len(ids)], "sid": [7]}
        feeds = {name: np.array(given, np.int64) for name, given in feeds.items()}
        session = onnxruntime.InferenceSession(str(voice))
        expected = session.run(None, feeds | {"scales": np.array([0, 1, 0], np.float32)})[0].reshape(-1)
        assert np.corrcoef(spoken, expected)[0, 1] > 0.9999

    def test_noise_is_normal_and_not_the_same_everywhere(self, voice):
        tts = open_tts(f"piper:{voice}")
        said = tts.synthesize("a" * 300, tts.known_speakers(1).vectors[0])
        frames = said[: len(said) // 1024 * 1024].reshape(-1, 1024)
        assert len(np.unique(frames.round(5), axis=0)) > 0.9 * len(frames)

    def test_what_is_no_voice_is_an_error(self, voice):
        import onnx

        with pytest.raises(InputError, match="expected a Piper voice"):
            open_tts(f"piper:{voice}x")
        model = onnx.load(str(voice))
        model.graph.node[0].op_type = "Identity"
        onnx.save(model, str(voice))
        with pytest.raises(InputError, match="table of speakers"):
            open_tts(f"piper:{voice}")
        model.graph.input.remove(model.graph.input[3])
        onnx.save(model, str(voice))
        with pytest.raises(InputError, match="several speakers"):
            open_tts(f"piper:{voice}")
        voice.write_bytes(b"torn")
        with pytest.raises(InputError, match="unreadable"):
            open_tts(f"piper:{voice}")


@pytest.mark.parametrize("spec", ["vits:any", "piper:any.onnx"])
def test_a_missing_package_is_an_error_that_says_what_to_install(spec, monkeypatch):
    import sys

    for package in ("transformers", "piper", "piper.config", "onnx"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r"needs the package .*pip install 'vclip\["):
        open_tts(spec)
