"""The density is scikit-learn's and scipy's, samples lie on the encoder's range, and a generator survives disk."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from vclip.errors import InputError
from vclip.speakers.bank import SpeakerBank
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.generator_fit import (
    MIN_SPEAKERS,
    GeneratorConfig,
    PrincipalSpace,
    bic,
    fit_generator,
)
from vclip.speakers.metrics import EVALUATOR_COMPONENTS, likelihood_model
from vclip.speakers.normal_scores import Marginals, known_scores

DIM = 12


def _bank(speakers=200, seed=0, signed=False):
    """Returns speakers in three clusters, unit norm and, as the encoder's are, non-negative."""
    rng = np.random.default_rng(seed)
    centres = 2 * rng.random((3, DIM))
    vectors = centres[rng.integers(0, 3, speakers)] + 0.3 * rng.normal(size=(speakers, DIM))
    vectors = vectors - 1 if signed else np.maximum(vectors, 0)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return SpeakerBank("test-voices", np.array([f"s{i}" for i in range(speakers)]), vectors, np.full(speakers, "f"))


@pytest.fixture(scope="module")
def generator():
    return fit_generator(_bank())[0]


def test_log_likelihood_is_that_of_scipy(generator):
    speakers = np.vstack([_bank(30, seed=1).vectors, generator.sample(30, seed=1)])
    z = (generator.marginals.scores(speakers) - generator.mean) @ generator.components.T
    terms = [
        np.log(w) + multivariate_normal(mean, np.diag(variance)).logpdf(z)
        for w, mean, variance in zip(generator.weights, generator.means, generator.variances, strict=True)
    ]
    np.testing.assert_allclose(generator.log_likelihood(speakers), logsumexp(terms, axis=0), rtol=1e-4, atol=1e-3)


def test_log_likelihood_and_fit_are_those_of_scikit_learn():
    bank = _bank()
    generator, _ = fit_generator(bank)
    known = known_scores(generator.marginals, bank.vectors, seed=0)
    pca = PCA(n_components=0.99, svd_solver="full").fit(known)
    z = pca.transform(known)
    mixture = GaussianMixture(
        10, covariance_type="diag", reg_covar=float(0.01 * z.var(axis=0).mean()), random_state=0
    ).fit(z)
    others = _bank(50, seed=1).vectors
    np.testing.assert_allclose(
        generator.log_likelihood(others),
        mixture.score_samples(pca.transform(generator.marginals.scores(others))),
        rtol=1e-2,
        atol=1e-2,
    )


@pytest.mark.parametrize("signed", [False, True])
def test_samples_lie_where_known_speakers_lie(signed):
    bank = _bank(signed=signed)
    generator, metrics = fit_generator(bank)
    samples = generator.sample(2000, seed=3)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(samples, axis=1), 1, atol=1e-5)
    assert (samples.min() < -0.05) == signed
    assert (samples >= 0).all() != signed
    np.testing.assert_allclose(samples.mean(0), bank.vectors.mean(0), atol=0.05)
    np.testing.assert_allclose(np.cov(samples.T), np.cov(bank.vectors.T), atol=0.03)
    # No speaker is copied: as far from the known ones as those from each other.
    assert metrics.drawn.nearest_known_cosine_generated < metrics.drawn.nearest_known_cosine_known + 0.01


def test_samples_follow_the_seed(generator):
    a, b, c = (generator.sample(5, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0.01


def test_known_and_drawn_speakers_are_likelier_than_strangers():
    generator, metrics = fit_generator(_bank())
    uniform = generator.on_range(np.random.default_rng(0).random((300, DIM)))
    for name in ("log_likelihood_known", "log_likelihood_generated", "log_likelihood_held_out"):
        assert metrics.to_json()[name] > generator.log_likelihood(uniform).mean() + 2
    assert metrics.log_likelihood_known == pytest.approx(generator.log_likelihood(_bank().vectors).mean())


def test_components_keep_the_asked_variance():
    bank = _bank()
    scores = known_scores(Marginals.fit(bank.vectors), bank.vectors, seed=0)
    total = scores.var(axis=0).sum()
    kept = []
    for variance in (0.5, 0.9, 0.99, 1.0):
        components = fit_generator(bank, GeneratorConfig(variance=variance))[0].components
        np.testing.assert_allclose(components @ components.T, np.eye(len(components)), atol=1e-5)
        share = (scores @ components.T).var(axis=0).sum() / total
        assert share >= variance - 1e-5
        one_less = (scores @ components[:-1].T).var(axis=0).sum() / total
        assert one_less < variance
        kept.append(len(components))
    assert kept == sorted(kept)
    assert kept[0] < kept[-1] == DIM


@pytest.mark.parametrize(
    ("speakers", "settings", "expected"),
    [
        (200, {}, 10),  # one per twenty
        (199, {}, 9),
        (15, {}, 1),  # fewer than twenty
        (200, {"max_components": 4}, 4),
        (200, {"speakers_per_component": 50}, 4),
        (20, {"speakers_per_component": 1}, 20),  # as many as speakers, and more than are left beside the held-out
    ],
)
def test_component_rule(speakers, settings, expected):
    generator, metrics = fit_generator(_bank(speakers), GeneratorConfig(**settings))
    assert len(generator.weights) == metrics.mixture_components == expected


def test_too_few_speakers_is_an_error():
    with pytest.raises(InputError, match=f"expected at least {MIN_SPEAKERS} speakers, found {MIN_SPEAKERS - 1}"):
        fit_generator(_bank(MIN_SPEAKERS - 1))
    assert len(fit_generator(_bank(MIN_SPEAKERS))[0].weights) == 1


def test_vectors_that_nobody_can_learn_from_are_an_error():
    bank = _bank(20)
    for vectors in (np.full_like(bank.vectors, np.nan), np.repeat(bank.vectors[:1], len(bank), axis=0)):
        with pytest.raises(InputError, match="NaN, infinity or one vector for all"):
            fit_generator(replace(bank, vectors=vectors))


@pytest.mark.parametrize("speakers", [MIN_SPEAKERS, 11, 203])
def test_the_likelihood_model_of_the_evaluation_has_four_components(speakers):
    assert len(likelihood_model(_bank(speakers)).weights) == EVALUATOR_COMPONENTS


def test_save_and_load_give_an_equal_generator(generator, tmp_path):
    again = SpeakerGenerator.load(generator.save(tmp_path / "generator", {}))
    np.testing.assert_array_equal(again.sample(20, seed=4), generator.sample(20, seed=4))
    others = _bank(20, seed=1).vectors
    np.testing.assert_array_equal(again.log_likelihood(others), generator.log_likelihood(others))
    assert again.space == generator.space
    for name in ("speaker_id", "vectors", "gender"):
        np.testing.assert_array_equal(getattr(again.bank, name), getattr(generator.bank, name))


def test_bic_is_that_of_scikit_learn():
    bank = _bank()
    generator, metrics = fit_generator(bank)
    z = (generator.marginals.scores(bank.vectors) - generator.mean) @ generator.components.T
    mixture = GaussianMixture(10, covariance_type="diag")
    mixture.weights_, mixture.means_, mixture.covariances_ = generator.weights, generator.means, generator.variances
    mixture.precisions_cholesky_ = generator.variances**-0.5
    assert bic(generator) == metrics.bic == pytest.approx(mixture.bic(z.astype(float)), rel=1e-6)


def test_held_out_speakers_are_less_likely_than_seen_ones():
    bank = _bank(100)
    generator, metrics = fit_generator(bank, GeneratorConfig(speakers_per_component=10))
    held_out = PrincipalSpace.of(bank, GeneratorConfig()).held_out_log_likelihood(10)
    assert held_out.shape == (100,)
    assert metrics.log_likelihood_held_out == pytest.approx(held_out.mean())
    assert held_out.mean() < generator.log_likelihood(bank.vectors).mean() - 0.5


def test_the_reason_for_the_number_of_components_is_told():
    _, metrics = fit_generator(_bank(60))
    assert metrics.mixture_components == 3
    assert metrics.mixture_rule == "60 speakers, one component per 20 of them, 1 to 100"


def test_a_generator_that_lacks_a_part_does_not_load_and_one_of_version_0_1_does(generator, tmp_path):
    folder = generator.save(tmp_path / "generator", {})
    config = json.loads((folder / "config.json").read_text())
    old = {name: config[name] for name in ("kind", "vclip", "space", "speaker_id", "gender")}
    (folder / "config.json").write_text(json.dumps(old | {"made_by": {}}))
    opened = SpeakerGenerator.load(folder)
    np.testing.assert_array_equal(opened.sample(5), generator.sample(5))
    assert not opened.length_counts
    tensors = load_file(folder / "model.safetensors")
    for name in ("knots", "mean"):  # of older ones the mixture is over the vectors themselves
        del tensors[name]
    save_file(tensors, folder / "model.safetensors")
    raw = SpeakerGenerator.load(folder)
    component, noise = raw.draw(5)
    z = raw.means[component] + np.sqrt(raw.variances[component]) * noise
    np.testing.assert_array_equal(raw.sample(5), raw.on_range(raw.bank.vectors.mean(axis=0) + z @ raw.components))
    del tensors["means"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"not of the form that vclip .* reads .*means"):
        SpeakerGenerator.load(folder)


def test_bank_and_generator_print_a_summary(generator):
    assert repr(generator.bank) == "SpeakerBank(200 speakers, 12-d, space 'test-voices', gender: 200 f)"
    assert repr(generator).startswith("SpeakerGenerator(10 mixture components over ")
