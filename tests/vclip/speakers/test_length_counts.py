"""A TTS whose speaker vectors mean something by their length keeps it, from the bank to the voice that is chosen."""

import numpy as np
import pytest

from vclip.association.model import AssociationConfig, AssociationModel
from vclip.speakers.bank import SpeakerBank, known_similarity_limit, nearest_known
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.generator_fit import fit_generator
from vclip.speakers.guided_search import GuidedConfig
from vclip.speakers.signature import TTSSignature
from vclip.speakers.voice_search import Search, SearchConfig

DIM = 6


def bank(length_counts=True, scale=30.0):
    rng = np.random.default_rng(0)
    vectors = (scale * (1 + 0.3 * rng.normal(size=(60, DIM)))).astype(np.float32)
    ids = np.array([f"s{i}" for i in range(60)])
    return SpeakerBank("tiny", ids, vectors, np.full(60, ""), length_counts)


@pytest.fixture(scope="module")
def generator():
    return fit_generator(bank())[0]


def test_draws_have_the_lengths_of_the_known_speakers(generator):
    known, drawn = (np.linalg.norm(x, axis=1) for x in (generator.bank.vectors, generator.sample(500)))
    # 500 draws of a mixture fitted to 60 speakers: mean and spread come within a few per cent.
    assert drawn.mean() == pytest.approx(known.mean(), rel=0.05)
    assert drawn.std() == pytest.approx(known.std(), rel=0.3)


def test_cosines_are_of_directions(generator):
    known = generator.bank
    assert nearest_known(known.vectors * 7, known) == pytest.approx(1, abs=1e-5)  # float32 cosines
    assert known_similarity_limit(known) <= 1 + 1e-6
    assert known_similarity_limit(known) == pytest.approx(known_similarity_limit(bank(scale=1.0)), abs=1e-5)
    _, metrics = fit_generator(known)
    assert -1 <= metrics.drawn.alike_known <= metrics.drawn.nearest_known_cosine_known <= 1 + 1e-6


def test_a_generator_keeps_the_convention_of_its_bank(generator, tmp_path):
    loaded = SpeakerGenerator.load(generator.save(tmp_path / "g", {}))
    assert loaded.length_counts
    np.testing.assert_array_equal(loaded.sample(5), generator.sample(5))
    plain = fit_generator(bank(length_counts=False))[0]
    assert not SpeakerGenerator.load(plain.save(tmp_path / "p", {})).length_counts
    assert np.linalg.norm(plain.sample(5), axis=1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("score", ["informed", "guided"])
def test_search_keeps_the_length(generator, score):
    model = AssociationModel("faces", "voices", 5, 4, AssociationConfig())
    signature = TTSSignature("tiny", "tiny", "voices", DIM, 4, 16, 0.0)
    guided = GuidedConfig(draws=64, climbers=2, steps=2)
    search = Search(model, generator, signature, SearchConfig(score=score, candidates=200, guided=guided))
    faces = np.eye(4, dtype=np.float32)[:2]
    lengths = np.linalg.norm(search.find(faces, 3).speakers, axis=2)
    known = np.linalg.norm(generator.bank.vectors, axis=1)
    assert lengths.min() > known.min() / 2
    assert lengths.max() < known.max() * 2
