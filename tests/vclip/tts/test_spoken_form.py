"""English text as words: sixty hard texts, plain text that is left alone, and backends that speak the words."""

import re

import numpy as np
import pytest

from pipelines.generation.distill import SENTENCES
from tests.support.hard_texts import HARD_TEXTS, LONG
from tests.support.small_voices import small_piper, small_vits
from vclip.errors import InputError
from vclip.tts import open_tts
from vclip.tts.sentences import not_english, sentences
from vclip.tts.spoken_form import spoken_form

PLAIN = (
    *SENTENCES,
    LONG,
    "“Never again!” she said — and left; didn't she?",
    "I may go on Monday, the second of May: a day (or so) of well-known rock 'n' roll…",
    "  Two spaces  stay.\n\nSo do lines.\r\n",
    "Café naïve Zoë, THE END. A. B. Smith. U.S. troops. MIX, DVD, OK",
    "世界。こんにちは",
    "",
)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:'[a-z]+)?", text.lower())


@pytest.mark.parametrize("text", HARD_TEXTS, ids=lambda text: text[:24])
def test_a_hard_text_is_read_as_a_person_would(text):
    expected = HARD_TEXTS[text]
    assert bool(not_english(text)) == (expected is None)
    if expected is not None:
        assert _words(spoken_form(text)) == expected.split()


@pytest.mark.parametrize("text", PLAIN, ids=lambda text: text[:24])
def test_plain_words_are_left_as_they_are(text):
    assert spoken_form(text) is text


def test_plain_lines_beside_hard_ones_are_left_as_they_are():
    assert spoken_form("All  is well.\nIt is 5 pm.\n\nThe end. \n") == "All  is well.\nIt is five p m.\n\nThe end. \n"


def test_words_are_read_the_same_twice():
    for text in HARD_TEXTS:
        once = spoken_form(text)
        assert spoken_form(once) == once


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("See No. 5 of it. It is 3.5 m. Use e.g. two.", 3),
        ("Dr. Lee and J. K. Rowling met Mr. Bean at 5 p.m. Then they left.", 2),
        ("Acme Inc. said so. Cats, dogs, etc. are here.", 2),
        ("Visit www.example.com. Write to a@b.org. Stop.", 3),
    ],
)
def test_full_stops_that_end_no_sentence_do_not_cut_one(text, count):
    assert len(sentences(spoken_form(text))) == count


@pytest.fixture(scope="module", params=["morph", "vits", "piper"])
def tts(request, tmp_path_factory):
    if request.param == "morph":
        return request.getfixturevalue("morph")
    for package in {"vits": ("transformers",), "piper": ("onnx", "piper")}[request.param]:
        pytest.importorskip(package)
    make = {"vits": small_vits, "piper": small_piper}[request.param]
    return open_tts(f"{request.param}:{make(tmp_path_factory.mktemp(request.param))}")


def test_every_backend_speaks_a_hard_text_or_names_what_it_cannot_pronounce(tts):
    speaker = tts.known_speakers(1).vectors[0]
    for text, expected in HARD_TEXTS.items():
        error = None
        try:
            assert np.abs(next(iter(tts.parts(text, speaker)))).max() > 0.001
        except InputError as found:
            error = re.search(r"found (.*), which .* cannot pronounce", str(found))
            assert error
            assert all(letter.lower() in text.lower() for letter in re.findall(r"'(.)'", error[1]))
        assert error or expected is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [("It used 5 kWh.", "It used five kilowatt hours."), ("See No. 5, e.g. me.", "See number five, for example me.")],
)
def test_an_english_backend_speaks_the_words(tts, text, words):
    if "en" not in tts.languages:
        pytest.skip("its language is unknown")
    speaker = tts.known_speakers(1).vectors[0]
    np.testing.assert_array_equal(tts.synthesize(text, speaker), tts.synthesize(words, speaker))
