"""The conformance suites of TTS backends and cloning TTSs."""

import json
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from vclip.errors import InputError
from vclip.testing.inputs import utterances
from vclip.testing.plugin import SAME, opened
from vclip.tts import TTS, TTS_BACKENDS
from vclip.tts.cloning import CLONING_TTS, CloningTTS
from vclip.tts.languages import UNKNOWN, primary_tag
from vclip.tts.loudness import normalised

TEXT = "The old man walked along the river, and nobody knew his name."


class TTSSuite:
    """The tests of a TTS backend; set `spec`, and `text` where the backend does not speak English."""

    spec: ClassVar[str] = ""
    text: ClassVar[str] = TEXT
    shortest_s: ClassVar[float] = 0.2  # limits of the duration of `text`
    longest_s: ClassVar[float] = 30.0

    @property
    def tts(self) -> TTS:
        """The backend, opened once for all tests."""
        return opened(TTS_BACKENDS, self.spec)

    @property
    def speaker(self) -> np.ndarray:
        """The first known speaker (dim,)."""
        return self.tts.known_speakers(1).vectors[0]

    def test_its_name_opens_it(self) -> None:
        again = TTS_BACKENDS.open(self.tts.name)
        assert (again.space, again.dim, again.sample_rate_hz) == (
            self.tts.space, self.tts.dim, self.tts.sample_rate_hz,
        )  # fmt: skip

    def test_it_names_its_space(self) -> None:
        space = self.tts.space
        assert isinstance(space, str)
        assert space.isprintable(), f"space {space!r}: expected printable characters"
        assert space, "the space of the speaker vectors has no name"

    def test_it_names_its_languages(self) -> None:
        languages = list(self.tts.languages)
        assert languages, "it names no language; expected primary tags of BCP 47, as in ('en',)"
        assert languages == [UNKNOWN if tag == UNKNOWN else primary_tag(tag) for tag in languages]
        first = next(iter(self.tts.parts(self.text, self.speaker, languages[0])))
        np.testing.assert_array_equal(next(iter(self.tts.parts(self.text, self.speaker))), first)

    def test_other_languages_are_errors(self) -> None:
        languages = self.tts.languages
        for tag in ("no language", *({"tlh", "la"} - set(languages) if UNKNOWN not in languages else ())):
            _refused(lambda tag=tag: self.tts.synthesize(self.text, self.speaker, tag), f"the language '{tag}'")

    def test_a_sentence(self) -> None:
        wave = self.tts.synthesize(self.text, self.speaker)
        assert wave.dtype == np.float32, f"samples of {wave.dtype}, expected float32"
        assert wave.ndim == 1
        assert np.isfinite(wave).all()
        assert 0.001 < np.abs(wave).max() <= 1, f"peak {np.abs(wave).max():.3g}, expected samples in -1..1"
        seconds = len(wave) / self.tts.sample_rate_hz
        assert self.shortest_s < seconds < self.longest_s, f"{seconds:.2f} s of speech for: {self.text}"

    def test_more_text_takes_longer(self) -> None:
        one, two = (len(self.tts.synthesize(text, self.speaker)) for text in (self.text, f"{self.text} {self.text}"))
        assert two > 1.5 * one

    def test_the_parts_are_the_speech(self) -> None:
        parts = list(self.tts.parts(f"{self.text} {self.text}", self.speaker))
        at_once = self.tts.synthesize(f"{self.text} {self.text}", self.speaker)
        together = normalised(np.concatenate(parts), self.tts.sample_rate_hz)
        np.testing.assert_allclose(together, at_once, atol=1e-5)  # of float32 samples up to 1

    def test_same_request_same_samples(self) -> None:
        np.random.seed(0)
        first = self.tts.synthesize(self.text, self.speaker)
        np.random.seed(1)
        np.testing.assert_array_equal(self.tts.synthesize(self.text, self.speaker), first)

    def test_speakers_differ(self) -> None:
        known = self.tts.known_speakers(2)
        assert len(known) == 2, "the backend knows one speaker; a speaker generator needs ten or more"
        one, other = (self.tts.synthesize(self.text, vector) for vector in known.vectors)
        shorter = min(len(one), len(other))
        assert np.abs(one[:shorter] - other[:shorter]).max() > 1e-3, "two known speakers gave the same samples"

    def test_known_speakers(self) -> None:
        known = self.tts.known_speakers(20)
        assert known.space == self.tts.space
        assert known.vectors.shape == (len(known), self.tts.dim)
        assert known.vectors.dtype == np.float32
        assert 0 < len(known) <= 20
        assert len(set(known.speaker_id.tolist())) == len(known) == len(known.gender)
        np.testing.assert_allclose(self.tts.known_speakers(3).vectors, known.vectors[:3], atol=1e-6)
        assert np.triu(known.directions @ known.directions.T, 1).max() < 1 - 1e-6 or known.length_counts

    def test_its_speaker_vectors_keep_their_convention(self) -> None:
        """Unit norm, and only the direction counts; or the bank says that length counts."""
        known = self.tts.known_speakers(20)
        if known.length_counts:
            return
        np.testing.assert_allclose(np.linalg.norm(known.vectors, axis=1), 1, atol=SAME)
        wave = self.tts.synthesize(self.text, self.speaker)
        np.testing.assert_allclose(self.tts.synthesize(self.text, 2 * self.speaker), wave, atol=1e-4)

    def test_nothing_to_speak_is_an_error(self) -> None:
        for text in ("", " \n ", "..."):
            _refused(lambda text=text: self.tts.synthesize(text, self.speaker), f"the text {text!r}")
            _refused(lambda text=text: next(iter(self.tts.parts(text, self.speaker))), f"the text {text!r}")

    def test_unusable_speakers_are_errors(self) -> None:
        good = self.speaker
        for what, bad in {
            "a vector that is too short": good[:-1],
            "a vector that is too long": np.append(good, good),
            "two vectors": np.stack([good, good]),
            "NaN": good * np.nan,
            "zero": np.zeros_like(good),
        }.items():
            _refused(lambda bad=bad: self.tts.synthesize(self.text, bad), what)

    def test_provenance_can_be_written(self) -> None:
        made_of = dict(self.tts.made_of)
        assert json.loads(json.dumps(made_of)) == made_of
        assert all(isinstance(value, str) and value for value in made_of.values())


class CloningTTSSuite:
    """The tests of a cloning TTS; set `spec`. `TTSSuite` tests what is made of it, the backend "clone:SPEC"."""

    spec: ClassVar[str] = ""
    text: ClassVar[str] = TEXT

    @property
    def cloner(self) -> CloningTTS:
        """The cloning TTS, opened once for all tests."""
        return opened(CLONING_TTS, self.spec)

    def say(self, seed: int, sample_rate_hz: int = 24_000) -> np.ndarray:
        """Returns the text in the voice of made-up speech of 4 s; the seed chooses its pitch and harmonics."""
        reference = utterances(3, sample_rate_hz, seed)[2]
        return self.cloner.clone(self.text, reference, sample_rate_hz, TEXT, self.cloner.languages[0])

    def test_it_says_what_it_is(self) -> None:
        cloner = self.cloner
        assert cloner.name, "the cloning TTS has no name"
        assert [primary_tag(tag) for tag in cloner.languages] == list(cloner.languages) != []
        assert 8_000 <= cloner.sample_rate_hz <= 48_000
        assert all(isinstance(value, str) and value for value in dict(cloner.made_of).values())

    def test_it_speaks(self) -> None:
        for rate_hz in (16_000, 24_000):  # of the reference
            wave = self.say(0, rate_hz)
            assert wave.dtype == np.float32, f"samples of {wave.dtype}, expected float32"
            assert wave.ndim == 1
            assert np.isfinite(wave).all()
            assert 0.001 < np.abs(wave).max() <= 1, f"peak {np.abs(wave).max():.3g}, expected samples in -1..1"

    def test_same_request_same_samples(self) -> None:
        np.random.seed(0)
        first = self.say(0)
        np.random.seed(1)
        np.testing.assert_array_equal(self.say(0), first)

    def test_the_voice_is_that_of_the_reference(self) -> None:
        one, other = self.say(0), self.say(1)
        shorter = min(len(one), len(other))
        assert np.abs(one[:shorter] - other[:shorter]).max() > 1e-3, "two references gave the same samples"

    def test_nothing_to_speak_is_an_error(self) -> None:
        reference = utterances(3, 24_000)[2]
        _refused(
            lambda: self.cloner.clone("...", reference, 24_000, TEXT, self.cloner.languages[0]), "the text '...'"
        )


def _refused(call: Callable[[], Any], what: str) -> None:
    try:
        call()
    except InputError as error:
        lines = str(error).splitlines()
        if len(lines) != 1:
            raise AssertionError(f"{what}: expected an error of one line, found {error!r}") from None
        return
    raise AssertionError(f"{what} was accepted, expected an InputError")
