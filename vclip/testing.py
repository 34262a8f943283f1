"""Conformance suites for the pytest of a package with a face encoder, a voice encoder, a TTS or a cloning TTS.

    from vclip.testing import FaceEncoderSuite

    class TestMine(FaceEncoderSuite):
        spec = "mine"                              # or python:my_package.module:Factory

The suites open the plugin by its spec, as the pipelines do, and need neither pytest nor weights to be imported.
Tolerances: float32 sums in another order differ by about 1e-6; vectors within 1e-4 count as equal throughout the
toolkit.
"""

import functools
import json
import pickle
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from vclip.encoders import FACE_ENCODERS, VOICE_ENCODERS, FaceEncoder, VoiceEncoder
from vclip.encoders.face_crop import CROP_RULE
from vclip.errors import InputError
from vclip.registry import Registry
from vclip.tts import TTS, TTS_BACKENDS
from vclip.tts.cloning import CLONING_TTS, CloningTTS
from vclip.tts.languages import UNKNOWN, primary_tag
from vclip.tts.loudness import normalised

SAME = 1e-4  # largest difference of an element of two vectors that count as the same
TEXT = "The old man walked along the river, and nobody knew his name."


def crops(count: int, seed: int = 0) -> list[np.ndarray]:
    """Returns face crops (side, side, 3) uint8 RGB of several sizes: smooth noise, different in each crop."""
    rng, made = np.random.default_rng(seed), []
    for number in range(count):
        side = (48, 96, 150, 256)[number % 4]
        grid = rng.integers(0, 256, (8, 8, 3)).astype(np.float64)
        at = np.linspace(0, 7, side)
        low = np.floor(at).astype(int).clip(max=6)
        share = at - low
        rows = grid[low] * (1 - share)[:, None, None] + grid[low + 1] * share[:, None, None]
        columns = rows[:, low] * (1 - share)[None, :, None] + rows[:, low + 1] * share[None, :, None]
        made.append(columns.round().astype(np.uint8))
    return made


def utterances(count: int, sample_rate_hz: int, seed: int = 0) -> list[np.ndarray]:
    """Returns utterances (samples,) float32 in -1..1, 0.6 to 4 s long: harmonics in syllables."""
    rng, made = np.random.default_rng(seed), []
    for number in range(count):
        t_s = np.arange(int((0.6, 1.5, 4.0)[number % 3] * sample_rate_hz)) / sample_rate_hz
        pitch_hz = rng.uniform(80, 300)
        strengths = rng.uniform(0.1, 1, 20) / np.arange(1, 21)
        wave = sum(a * np.sin(2 * np.pi * pitch_hz * k * t_s) for k, a in enumerate(strengths, 1))
        wave = wave * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * t_s)) + 0.01 * rng.standard_normal(len(t_s))
        made.append((0.3 * wave / np.abs(wave).max()).astype(np.float32))
    return made


class _EncoderSuite:
    """The tests that face and voice encoders share."""

    spec: ClassVar[str] = ""
    registry: ClassVar[Registry[Any]]

    @property
    def encoder(self) -> Any:
        """The encoder on the CPU, opened once for all tests."""
        return _opened(self.registry, self.spec)

    def inputs(self, count: int) -> list[np.ndarray]:
        """Returns `count` inputs of this kind of encoder; each of the two suites has its own."""
        raise NotImplementedError(f"{type(self).__name__}: expected FaceEncoderSuite or VoiceEncoderSuite")

    def test_it_names_its_space(self) -> None:
        space = self.encoder.space
        assert isinstance(space, str), f"space is of type {type(space).__name__}, expected a str"
        assert space.isprintable(), f"space {space!r}: expected printable characters"
        assert any(c.isalnum() for c in space), f"space {space!r}: expected encoder, weights and preprocessing"
        assert not any(c.isspace() for c in space), f"space {space!r}: expected no white space"

    def test_another_instance_is_of_the_same_space(self) -> None:
        other = self.registry.open(self.registry.record(self.spec), device="cpu")
        assert (other.space, other.dim) == (self.encoder.space, self.encoder.dim)
        batch = self.inputs(2)
        np.testing.assert_allclose(other.embed(batch), self.encoder.embed(batch), atol=SAME)

    def test_nothing_gives_no_rows(self) -> None:
        nothing = self.encoder.embed([])
        assert nothing.shape == (0, self.encoder.dim), f"of no input: shape {nothing.shape}"
        assert nothing.dtype == np.float32

    def test_vectors_are_float32_and_of_unit_norm(self) -> None:
        vectors = self.encoder.embed(self.inputs(5))
        assert isinstance(vectors, np.ndarray), f"embed returned a {type(vectors).__name__}, expected a numpy array"
        assert vectors.dtype == np.float32, f"vectors of {vectors.dtype}, expected float32"
        assert vectors.shape == (5, self.encoder.dim), f"shape {vectors.shape}, expected (5, {self.encoder.dim})"
        assert np.isfinite(vectors).all(), "found NaN or infinity among the vectors"
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=SAME)

    def test_same_input_same_vectors(self) -> None:
        batch = self.inputs(3)
        np.testing.assert_allclose(self.encoder.embed(batch), self.encoder.embed(batch), atol=SAME)

    def test_a_vector_does_not_depend_on_its_batch(self) -> None:
        batch = self.inputs(7)
        together = self.encoder.embed(batch)
        np.testing.assert_allclose(together, np.concatenate([self.encoder.embed([x]) for x in batch]), atol=SAME)
        np.testing.assert_allclose(together[::-1], self.encoder.embed(batch[::-1]), atol=SAME)

    def test_other_inputs_give_other_vectors(self) -> None:
        cosines = np.triu(_cosines(self.encoder.embed(self.inputs(4))), 1)
        assert cosines.max() < 1 - 1e-6, "two different inputs gave the same vector"

    def test_the_input_is_left_as_it_is(self) -> None:
        batch = self.inputs(2)
        before = [x.copy() for x in batch]
        self.encoder.embed(batch)
        for x, was in zip(batch, before, strict=True):
            np.testing.assert_array_equal(x, was)

    def test_prepared_inputs_give_the_same_vectors(self) -> None:
        """Where the encoder has `prepare`: it is done in another process, while a GPU embeds."""
        encoder = self.encoder
        if not hasattr(encoder, "prepare"):
            return
        assert hasattr(encoder, "embed_prepared"), "found prepare without embed_prepared"
        batch = self.inputs(3)
        sent = pickle.dumps(encoder.prepare)
        assert len(sent) < 1 << 20, f"prepare has {len(sent)} bytes when pickled, expected no weights"
        prepare = pickle.loads(sent)
        prepared = [prepare(x) for x in batch]
        np.testing.assert_allclose(encoder.embed_prepared(prepared), encoder.embed(batch), atol=SAME)
        assert encoder.embed_prepared([]).shape == (0, encoder.dim)

    def test_read_only_inputs_are_taken(self) -> None:
        batch = self.inputs(2)
        for x in batch:
            x.flags.writeable = False
        assert len(self.encoder.embed(batch)) == 2


class FaceEncoderSuite(_EncoderSuite):
    """The tests of a face encoder; set `spec`."""

    registry = FACE_ENCODERS

    def inputs(self, count: int) -> list[np.ndarray]:
        """Returns crops of several sizes."""
        return crops(count)

    def test_it_is_a_face_encoder(self) -> None:
        encoder: FaceEncoder = self.encoder
        assert isinstance(encoder.dim, int)
        assert encoder.dim > 0

    def test_its_space_names_the_crop(self) -> None:
        """Crops of another rule would give other vectors, so the rule is part of the space."""
        assert CROP_RULE in self.encoder.space.split("/"), (
            f"space '{self.encoder.space}': expected the crop rule as a part, as in 'encoder/weights/{CROP_RULE}'"
        )


class VoiceEncoderSuite(_EncoderSuite):
    """The tests of a voice encoder; set `spec`."""

    registry = VOICE_ENCODERS

    def inputs(self, count: int) -> list[np.ndarray]:
        """Returns utterances of several lengths."""
        return utterances(count, self.encoder.sample_rate_hz)

    def test_it_is_a_voice_encoder(self) -> None:
        encoder: VoiceEncoder = self.encoder
        assert isinstance(encoder.dim, int)
        assert encoder.dim > 0
        assert isinstance(encoder.sample_rate_hz, int)
        assert 8_000 <= encoder.sample_rate_hz <= 48_000

    def test_input_without_speech_is_an_error_or_a_vector(self) -> None:
        """Silence, no samples and NaN raise InputError or give finite vectors: NaN would spoil a store."""
        rate = self.encoder.sample_rate_hz
        for samples in (np.zeros(rate), np.zeros(0), np.full(rate, np.nan)):
            try:
                vectors = self.encoder.embed([samples.astype(np.float32)])
            except InputError:
                continue
            assert np.isfinite(vectors).all(), "silence or NaN gave a vector that is not finite; raise InputError"


class TTSSuite:
    """The tests of a TTS backend; set `spec`, and `text` where the backend does not speak English."""

    spec: ClassVar[str] = ""
    text: ClassVar[str] = TEXT
    shortest_s: ClassVar[float] = 0.2  # limits of the duration of `text`
    longest_s: ClassVar[float] = 30.0

    @property
    def tts(self) -> TTS:
        """The backend, opened once for all tests."""
        return _opened(TTS_BACKENDS, self.spec)

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
        assert np.triu(_cosines(known.directions), 1).max() < 1 - 1e-6 or known.length_counts

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
        return _opened(CLONING_TTS, self.spec)

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


@functools.cache
def _opened(registry: Registry[Any], spec: str) -> Any:
    return registry.open(spec, device="cpu")


def _refused(call: Callable[[], Any], what: str) -> None:
    try:
        call()
    except InputError as error:
        lines = str(error).splitlines()
        if len(lines) != 1:
            raise AssertionError(f"{what}: expected an error of one line, found {error!r}") from None
        return
    raise AssertionError(f"{what} was accepted, expected an InputError")


def _cosines(vectors: Sequence[Any] | np.ndarray) -> np.ndarray:
    rows = np.asarray(vectors)
    return rows @ rows.T
