"""Draws for a rectified encoder are as diverse and as sparse as people, and the map of each entry can be inverted."""

import numpy as np
import torch
from scipy.stats import kstest, norm

from vclip.speakers.bank import SpeakerBank
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.generator_fit import fit_generator
from vclip.speakers.normal_scores import KNOTS, LIMIT, Marginals, known_scores, scores_of, values_at

DIM, FACTORS = 48, 8


def _rectified(speakers, seed):
    """Returns latent and rectified vectors (speakers, DIM) of one world; a third of the entries are 0."""
    world, rng = np.random.default_rng(0), np.random.default_rng(seed)
    mean, loadings = world.normal(0.4, 0.6, DIM), world.normal(size=(FACTORS, DIM)) / FACTORS**0.5
    latent = mean + rng.normal(size=(speakers, FACTORS)) @ loadings + 0.4 * rng.normal(size=(speakers, DIM))
    rectified = np.maximum(latent, 0)
    return latent, (rectified / np.linalg.norm(rectified, axis=1, keepdims=True)).astype(np.float32)


def _alike(vectors):
    return float((vectors @ vectors.T)[np.triu_indices(len(vectors), 1)].mean())


def test_draws_are_as_diverse_and_as_sparse_as_people():
    known, others = _rectified(240, 1)[1], _rectified(1000, 2)[1]
    generator, metrics = fit_generator(SpeakerBank("r", np.arange(240).astype(str), known, np.full(240, "")))
    drawn = generator.sample(1000, 3)
    assert abs(_alike(drawn) - _alike(others)) < 0.015
    assert abs((drawn == 0).mean() - (others == 0).mean()) < 0.03
    assert metrics.drawn.copies < 0.05
    # A mixture over the vectors themselves draws negative entries, and clipping them makes the draws alike.
    clipped = np.maximum(np.random.default_rng(0).multivariate_normal(known.mean(0), np.cov(known.T), 1000), 0)
    assert _alike(clipped / np.linalg.norm(clipped, axis=1, keepdims=True)) > _alike(others) + 0.03


def test_scores_are_normal_and_censored_ones_follow_the_other_entries():
    latent, vectors = _rectified(400, 4)
    scores = known_scores(Marginals.fit(vectors), vectors, seed=0)
    assert all(kstest(column, "norm").statistic < 0.08 for column in scores.T)
    hidden = (vectors == 0) & ((vectors == 0).mean(axis=0) < 0.8)
    assert hidden.mean() > 0.2
    guessed, true = zip(
        *(((scores[h, j], latent[h, j]) for j, h in enumerate(hidden.T) if h.sum() > 20)), strict=True
    )
    followed = [np.corrcoef(pair)[0, 1] for pair in zip(guessed, true, strict=True)]
    assert np.mean(followed) > 0.3  # of what is below zero, that much is in the other entries


def test_values_and_scores_are_inverse_and_zero_has_the_mean_of_its_scores():
    vectors = _rectified(300, 5)[1]
    marginals = Marginals.fit(vectors)
    scores = np.random.default_rng(6).normal(size=(50, DIM)).clip(-2, 2)
    values = marginals.values(scores)
    np.testing.assert_allclose(marginals.values(marginals.scores(values)), values, atol=1e-6)
    inner = (values > 0) & (scores < 1.5)
    np.testing.assert_allclose(marginals.scores(values)[inner], scores[inner], atol=0.02)
    entry = int(np.argmin(abs((vectors == 0).mean(axis=0) - 0.5)))
    share = (vectors[:, entry] == 0).mean()
    expected = -norm.pdf(norm.ppf(share)) / share
    spacing = 2 * LIMIT / (KNOTS - 1)  # up to which the end of the zeros is known
    assert expected - spacing < marginals.scores(np.zeros((1, DIM)))[0, entry] < expected + 0.02


def test_values_can_be_differentiated():
    knots = torch.from_numpy(Marginals.fit(_rectified(100, 7)[1]).knots)
    scores = torch.linspace(-LIMIT - 1, LIMIT + 1, 200)[:, None].repeat(1, DIM).requires_grad_(True)
    values = values_at(knots, scores)
    (slope,) = torch.autograd.grad(values.sum(), scores)
    assert (slope >= 0).all()
    assert torch.isfinite(slope).all()
    assert (values.detach().diff(dim=0) >= 0).all()
    assert torch.isfinite(scores_of(knots, values.detach())).all()


def test_a_bank_without_shared_values_needs_no_draws():
    vectors = np.random.default_rng(0).normal(size=(80, 5)).astype(np.float32)
    marginals = Marginals.fit(vectors)
    np.testing.assert_array_equal(known_scores(marginals, vectors, 0), marginals.scores(vectors))
    dead = np.pad(vectors, ((0, 0), (0, 1)))  # an entry that is 0 for everybody
    generator = fit_generator(SpeakerBank("d", np.arange(80).astype(str), dead, np.full(80, "")))[0]
    assert isinstance(generator, SpeakerGenerator)
    assert (generator.sample(20)[:, 5] == 0).all()
