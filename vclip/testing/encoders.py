"""The conformance suites of face encoders and voice encoders."""

import pickle
from typing import Any, ClassVar

import numpy as np

from vclip.encoders import FACE_ENCODERS, VOICE_ENCODERS, FaceEncoder, VoiceEncoder
from vclip.encoders.face_crop import CROP_RULE
from vclip.errors import InputError
from vclip.registry import Registry
from vclip.testing.inputs import crops, utterances
from vclip.testing.plugin import SAME, opened


class _EncoderSuite:
    """The tests that face and voice encoders share."""

    spec: ClassVar[str] = ""
    registry: ClassVar[Registry[Any]]

    @property
    def encoder(self) -> Any:
        """The encoder on the CPU, opened once for all tests."""
        return opened(self.registry, self.spec)

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
        vectors = self.encoder.embed(self.inputs(4))
        assert np.triu(vectors @ vectors.T, 1).max() < 1 - 1e-6, "two different inputs gave the same vector"

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
