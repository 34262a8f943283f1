"""The `clone` backend with a stand-in that is no TTS: it passes the suites and takes the voice of the reference."""

import numpy as np
import pytest

from tests.support.stand_in_cloner import StandInCloner, cloned_from_morph
from vclip.errors import InputError
from vclip.testing import CloningTTSSuite, TTSSuite
from vclip.tts import open_tts
from vclip.tts.base import PredictsVoices
from vclip.tts.cloning import REFERENCE

STAND_IN = "python:tests.support.stand_in_cloner:StandInCloner"


class TestStandIn(CloningTTSSuite):
    spec = STAND_IN


class TestClone(TTSSuite):
    spec = "python:tests.support.stand_in_cloner:cloned_from_morph"


class Noted(StandInCloner):
    """Notes what it is asked."""

    asked: list

    def __init__(self):
        self.asked = []
        Noted.last = self

    def clone(self, text, reference, sample_rate_hz, reference_text, language):
        self.asked.append((text, reference, sample_rate_hz, reference_text, language))
        return super().clone(text, reference, sample_rate_hz, reference_text, language)


class Broken(StandInCloner):
    def clone(self, *given):
        return np.full(100, np.nan)


def test_each_sentence_is_cloned_from_one_reference_in_the_chosen_voice(morph):
    tts = cloned_from_morph("python:tests.vclip.tts.test_cloning:Noted")
    asked = Noted.last.asked
    speaker = morph.known_speakers(3).vectors[2]
    tts.synthesize("It used 5 kWh. It did.", speaker, "fr-CA")
    tts.synthesize("It used 5 kWh.", speaker)
    assert [(row[0], row[4]) for row in asked] == [
        ("It used 5 kWh.", "fr"), ("It did.", "fr"), ("It used five kilowatt hours.", "en"),
    ]  # fmt: skip
    for _, reference, rate_hz, text, _ in asked:
        assert (rate_hz, text) == (morph.sample_rate_hz, REFERENCE)
        np.testing.assert_array_equal(reference, morph.synthesize(REFERENCE, speaker))


def test_its_space_is_that_of_the_reference_and_its_voices_are_not_predicted(morph):
    tts = cloned_from_morph()
    assert (tts.space, tts.dim) == (morph.space, morph.dim)
    assert not isinstance(tts, PredictsVoices)
    assert tts.made_of["cloning_tts"] == StandInCloner.name
    assert tts.made_of["reference_tts"] == "morph"
    assert tts.made_of["reference_hibari_sha256"] == morph.made_of["hibari_sha256"]


def test_samples_that_are_no_speech_are_an_error(morph):
    tts = cloned_from_morph("python:tests.vclip.tts.test_cloning:Broken")
    with pytest.raises(InputError, match=r"stand-in, no TTS returned .* expected finite mono speech"):
        tts.synthesize("Hello.", morph.known_speakers(1).vectors[0])


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("clone", "expected clone:python:PACKAGE"),
        ("clone:nobody", "cloning TTS 'nobody': unknown name"),
        ("clone:python:tests.support.stand_in_cloner:_pitch_hz", "factory tests"),
        ("clone:python:json:JSONDecoder", r"without name, sample_rate_hz.*vclip\.tts\.cloning\.CloningTTS"),
    ],
)
def test_what_is_no_cloning_tts_is_an_error(spec, told):
    with pytest.raises(InputError, match=told):
        open_tts(spec)
