"""The closed forms are those of the references, and cross-validation chooses what strangers like.

Tolerances: double precision through eigendecompositions; scikit-learn's CCA iterates to 1e-4.
"""

import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import Ridge

from tests.support.gaussians import gaussians
from vclip.association.linear import LEAST_WEIGHT, SHRINKAGES, Folds, Moments, cca_maps, fit, ridge_maps


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    causes = rng.normal(size=(400, 3))
    faces = causes @ rng.normal(size=(3, 8)) + rng.normal(size=(400, 8)) + 2
    voices = causes @ rng.normal(size=(3, 6)) + rng.normal(size=(400, 6)) - 1
    return torch.as_tensor(faces), torch.as_tensor(voices)


def centred(rows):
    return (rows - rows.mean(0)).numpy()


def test_moments_add_up(rows):
    whole, part = Moments.of(*rows), Moments.of(*(side[:150] for side in rows))
    rest, expected = whole.without(part), Moments.of(*(side[150:] for side in rows))
    assert rest.count == expected.count == 250
    for mine, theirs in zip(rest.covariances(), expected.covariances(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-9, rtol=1e-9)
    faces, voices, between = whole.covariances()
    everything = np.cov(np.hstack([side.numpy() for side in rows]).T, bias=True)
    np.testing.assert_allclose(faces, everything[:8, :8], atol=1e-10)
    np.testing.assert_allclose(voices, everything[8:, 8:], atol=1e-10)
    np.testing.assert_allclose(between, everything[:8, 8:], atol=1e-10)


def test_ridge_is_scikit_learns(rows):
    x, y = map(centred, rows)
    for strength in (0.01, 1.0):
        maps = ridge_maps(Moments.of(*rows), strength)
        expected = Ridge(strength * x.var(0).mean() * len(x), fit_intercept=False).fit(x, y).coef_.T
        ratio = maps.face.numpy() / expected
        np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-6)  # the same but for its size
        off = maps.voice - torch.diag(maps.voice.diagonal())
        assert off.abs().max() == 0
        assert np.square(x @ maps.face.numpy()).mean() == pytest.approx(1)


def test_without_shrinkage_the_canonical_directions_are_scikit_learns(rows):
    x, y = map(centred, rows)
    maps = cca_maps(Moments.of(*rows), 0.0)
    ours = [side @ matrix.numpy() for side, matrix in ((x, maps.face), (y, maps.voice))]
    theirs = CCA(n_components=3, max_iter=5000, tol=1e-12).fit(x, y).transform(x, y)
    for mine, reference in zip(ours, theirs, strict=True):
        for i in range(3):
            assert abs(np.corrcoef(mine[:, i], reference[:, i])[0, 1]) == pytest.approx(1, abs=1e-4)
    correlation = [np.corrcoef(ours[0][:, i], ours[1][:, i])[0, 1] for i in range(6)]
    assert correlation == sorted(correlation, reverse=True)
    # Each direction has the spread of its correlation, and none of the voices' is lost.
    np.testing.assert_allclose(
        ours[0].std(0) / ours[0][:, 0].std(), np.array(correlation) / correlation[0], atol=1e-6
    )
    least = np.maximum(np.array(correlation) / correlation[0], LEAST_WEIGHT)
    np.testing.assert_allclose(ours[1].std(0) / ours[1][:, 0].std(), least, atol=1e-6)
    assert np.linalg.matrix_rank(maps.voice.numpy()) == 6


def test_few_pairs_ask_for_more_shrinkage_than_many():
    rng, spread = np.random.default_rng(1), np.exp(np.linspace(-2, 2, 30))
    mixes = [rng.normal(size=(4, 30)) for _ in range(2)]
    chosen = []
    for people in (40, 8000):
        causes = rng.normal(size=(people, 4))
        sides = [torch.as_tensor(causes @ mix + spread * rng.normal(size=(people, 30))) for mix in mixes]
        value, maps = fit("cca", *sides, np.arange(people))
        torch.testing.assert_close(maps.face, cca_maps(Moments.of(*sides), value).face)
        chosen.append(value)
    assert chosen[0] > chosen[1]
    assert set(chosen) <= set(SHRINKAGES)


def test_a_person_in_two_clips_is_never_on_both_sides():
    """Clips of one person are copies: were one of them trained on, maps without shrinkage would know the other."""
    rng = np.random.default_rng(2)
    faces, voices = (np.repeat(rng.normal(size=(60, 20)), 2, axis=0) for _ in range(2))  # nothing in common
    people = np.repeat(np.arange(60), 2)
    sides = torch.as_tensor(faces), torch.as_tensor(voices)
    heavy, none = (lambda whole, value=value: cca_maps(whole, value) for value in (0.9, 1e-6))
    as_two = Folds(*sides, np.arange(120))  # the copies taken for two people each
    assert as_two.score(none) > max(0.8, as_two.score(heavy))
    as_one = Folds(*sides, people)
    assert as_one.score(none) == pytest.approx(0.5, abs=0.15)  # faces and voices have nothing in common
    assert [part.count % 2 for part in as_one.parts] == [0] * len(as_one.parts)


def test_of_rules_that_are_as_good_the_first_is_taken():
    sides = gaussians(600, 0)
    folds = Folds(*sides, np.arange(600))
    good, worse = (lambda whole: cca_maps(whole, 0.3)), (lambda whole: cca_maps(whole, 0.999999))
    scores = [folds.score(rule) for rule in (good, worse)]
    assert folds.best([good, good])[0] == 0
    assert scores[0] > scores[1] + 0.002
    assert folds.best([worse, good])[0] == 1
