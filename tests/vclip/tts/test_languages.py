"""Languages of speech: tags in any of their forms, the language of a voice, and who speaks what a TTS does not."""

import json

import pytest

from tests.support.small_voices import small_piper, small_vits
from vclip.errors import InputError
from vclip.tts import open_tts
from vclip.tts.languages import language_to_speak, primary_tag


@pytest.mark.parametrize(
    ("language", "tag"),
    [
        ("en", "en"),
        ("EN_us", "en"),
        ("eng", "en"),
        ("deu", "de"),
        ("cmn-Hans-CN", "zh"),
        ("iw", "he"),
        (" fr ", "fr"),
    ],
)
def test_a_language_may_be_written_in_any_of_its_forms(language, tag):
    assert primary_tag(language) == tag


@pytest.mark.parametrize("language", ["english", "e", "xx", "en us", "日本", "", "en\x00", "-"])
def test_what_is_no_language_is_an_error(language):
    with pytest.raises(InputError, match=r"language .*expected a tag of BCP 47, as in en, de or zh"):
        primary_tag(language)


def test_the_first_language_is_spoken_where_none_is_asked_for():
    assert language_to_speak("", ("de", "en"), "mine") == "de"
    assert language_to_speak("en-GB", ("de", "en"), "mine") == "en"
    assert language_to_speak("fi", ("und",), "mine") == "fi"  # nobody knows better


def test_an_error_names_what_the_tts_speaks_and_who_speaks_the_language():
    with pytest.raises(InputError, match=r"language 'fi': morph speaks en; use .*piper:.*pip install 'vclip\[piper"):
        language_to_speak("fi-FI", ("en",), "morph")
    with pytest.raises(InputError, match=r"language 'en': piper:x speaks de, fr; use generate\.tts=morph or kokoro"):
        language_to_speak("en", ("de", "fr"), "piper:x")


@pytest.mark.parametrize(
    ("settings", "tag"),
    [
        ({"espeak": {"voice": "de"}}, "de"),
        ({"espeak": {"voice": "en-gb-x-rp"}}, "en"),
        ({"espeak": {"voice": "cmn"}}, "zh"),
        ({"espeak": {"voice": "en-us"}, "language": {"code": "uk_UA", "family": "uk"}}, "uk"),
        ({"espeak": {"voice": "my own alphabet"}, "language": "?"}, "und"),
    ],
)
def test_a_piper_voice_speaks_its_own_language(tmp_path, settings, tag):
    for package in ("onnx", "piper"):
        pytest.importorskip(package)
    voice = small_piper(tmp_path)
    file = voice.with_name(f"{voice.name}.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    tts = open_tts(f"piper:{voice}")
    assert tts.languages == (tag,)
    speaker = tts.known_speakers(1).vectors[0]
    assert len(tts.synthesize("ab", speaker)) == len(tts.synthesize("ab", speaker, tag))
    if tag != "und":
        with pytest.raises(InputError, match=rf"piper:.* speaks {tag};"):
            tts.parts("ab", speaker, "tlh")


def test_a_vits_checkpoint_speaks_the_language_of_its_tokenizer(tmp_path):
    pytest.importorskip("transformers")
    folder = small_vits(tmp_path)
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    for named, tag in (("deu", "de"), ("kmr-script_latin", "ku"), (None, "und"), ("?", "und")):
        file.write_text(json.dumps(settings | {"language": named}))
        assert open_tts(f"vits:{folder}").languages == (tag,)
