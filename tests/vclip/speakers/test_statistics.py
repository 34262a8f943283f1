"""Statistics of drawn speakers: copies are found, and a draw for a gender is of that gender."""

import numpy as np
import pytest

from tests.support.speakers_world import two_genders
from vclip.errors import InputError
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.generator_fit import GeneratorConfig, fit_generator, statistics

FLOAT32 = 1e-5  # cosines of equal float32 vectors of 12 dimensions


def _draws_only(generator, speakers):
    """Returns a generator that draws these speakers (n, dim) alone, each as often: a narrow component at each."""
    basis = np.eye(speakers.shape[1])
    means = speakers - generator.bank.vectors.mean(axis=0)
    mixture = {
        "weights": np.full(len(means), 1 / len(means)),
        "means": means,
        "variances": np.full(means.shape, 1e-14),
    }
    return SpeakerGenerator(generator.bank, basis, mixture)


def test_honest_draws_copy_nobody_and_copies_are_found(world):
    generator = world[0]
    honest = statistics(generator)
    assert honest.copies < 0.1
    assert honest.nearest_known_cosine_generated == pytest.approx(honest.nearest_known_cosine_known, abs=0.02)
    known = generator.bank.vectors
    cosines = known @ known.T
    np.testing.assert_allclose(honest.alike_known, cosines[~np.eye(len(known), dtype=bool)].mean(), rtol=1e-4)
    copied = statistics(_draws_only(generator, known))
    assert copied.copies == 1
    assert copied.nearest_known_cosine_generated == pytest.approx(1, abs=FLOAT32)


def test_one_voice_over_and_over_is_not_diverse(world):
    generator = world[0]
    same = statistics(_draws_only(generator, generator.sample(1)))
    assert same.alike_generated == pytest.approx(1, abs=FLOAT32)
    assert same.nearest_generated_cosine == pytest.approx(1, abs=FLOAT32)
    assert statistics(generator).alike_generated < 0.9


def test_a_draw_for_a_gender_is_of_that_gender(world):
    generator = world[0]
    bank = generator.bank
    for gender in ("f", "m"):
        drawn = generator.sample(300, seed=2, gender=gender)
        labelled = bank.gender != ""
        nearest = bank.gender[labelled][(drawn @ bank.vectors[labelled].T).argmax(axis=1)]
        assert (nearest == gender).mean() > 0.9
    assert statistics(generator).gender_kept > 0.75  # a tenth of the nearest have no label
    weights = [generator.weights_of(gender) for gender in ("f", "m")]
    np.testing.assert_allclose([w.sum() for w in weights], 1)


def test_a_gender_that_the_bank_lacks_is_an_error():
    generator, metrics = fit_generator(two_genders(60), GeneratorConfig())
    with pytest.raises(InputError, match="gender 'x': the bank has no speaker of it, expected one of: f, m"):
        generator.sample(3, gender="x")
    with pytest.raises(InputError, match="gender ''"):
        generator.sample(3, gender="")
    assert "gender_kept" in metrics.to_json()
