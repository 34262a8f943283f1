"""The likelihood ratio comes near the best score there is, and nothing that chance makes counts."""

import numpy as np
import pytest
import torch

from tests.support.gaussians import CORRELATIONS, best_scores, gaussians
from vclip.association import likelihood, linear
from vclip.association.likelihood import LikelihoodMaps
from vclip.association.metrics import all_trials, auc
from vclip.association.model import LikelihoodSphere
from vclip.association.two_clusters import two_clusters


def fitted(count, seed=0, people=None):
    sides = gaussians(count, seed)
    shrinkage, maps = likelihood.fit(*sides, np.arange(count) if people is None else people)
    return sides, shrinkage, maps


def strangers(sides, seed, count=1500):
    """Returns the faces and voices of others, about the means of the training."""
    return [x - side.mean(0) for x, side in zip(gaussians(count, seed), sides, strict=True)]


def auc_of(scores):
    return auc(all_trials(np.asarray(scores), np.arange(len(scores))))


@pytest.mark.parametrize(("count", "below"), [(400, 0.1), (4000, 0.02)])
def test_it_comes_near_the_best_score_there_is_and_surpasses_the_canonical_cosine(count, below):
    sides, _, maps = fitted(count)
    others = gaussians(1500, 1)
    best, mine = auc_of(best_scores(*others)), auc_of(maps.scores(*strangers(sides, 1)))
    assert best - below < mine < best + 0.003
    cosines = linear.fit("cca", *sides, np.arange(count))[1].cosines(*strangers(sides, 1))
    assert mine > auc_of(cosines) + 0.01


def test_correlations_are_those_of_strangers():
    """In-sample, 37 directions of chance look correlated; by folds they do not, and the real ones stay."""
    _, _, maps = fitted(4000)
    np.testing.assert_allclose(maps.correlation[:3], CORRELATIONS, atol=0.04)
    assert maps.correlation[3:].max() < 0.03
    assert linear.canonical(linear.Moments.of(*gaussians(4000, 0)), 0.0)[2][3] > 0.08
    assert (maps.correlation.diff() <= 0).all()


def test_few_pairs_ask_for_more_shrinkage_than_many():
    spread = torch.as_tensor(np.exp(np.linspace(-2, 2, 40)))
    chosen = [likelihood.fit(*(side * spread for side in gaussians(n, 0)), np.arange(n))[0] for n in (60, 6000)]
    assert chosen[0] > chosen[1]


def test_a_direction_of_two_clusters_has_less_weight_than_a_gaussian_of_its_correlation():
    """Two clusters that face and voice share say "the same" or "not", however far out a face and its voice are."""
    rng = np.random.default_rng(0)

    def world(count, rng):
        sides = [side.numpy() for side in gaussians(count, rng.integers(1 << 30))]
        cluster = np.where(rng.random(count) < 0.5, 5.0, -5.0)
        return [torch.as_tensor(np.c_[cluster + rng.normal(size=count), side]) for side in sides]

    sides = world(1500, rng)
    _, maps = likelihood.fit(*sides, np.arange(1500))
    others = [x - side.mean(0) for x, side in zip(world(1000, rng), sides, strict=True)]
    mine = auc_of(maps.scores(*others))
    as_gaussian = maps.correlation[0] / (1 - maps.correlation[0] ** 2)
    factor = torch.ones_like(maps.correlation)
    factor[0] = (as_gaussian / ((sides[0] - sides[0].mean(0)) @ maps.face[:, 0]).var()).sqrt()
    assert factor[0] > 1.2
    gaussian = LikelihoodMaps(maps.face * factor, maps.voice * factor, maps.correlation)
    assert mine > auc_of(gaussian.scores(*others)) + 0.005


def test_entries_that_never_changed_in_training_may_do_so_later():
    """Units of a network can be silent on all training voices; a voice in which one is not must not be far away."""
    sides = gaussians(500, 0)
    sides[1][:, :12] = 0
    _, maps = likelihood.fit(*sides, np.arange(500))
    later = torch.zeros(1, 40, dtype=torch.float64)
    later[0, 3] = 5.0
    assert (later @ maps.voice).norm() < 5


def test_a_person_in_two_clips_is_never_on_both_sides():
    """Clips of one person are copies: were one of them trained on, chance would look like a relation."""
    rng = np.random.default_rng(2)
    sides = [torch.as_tensor(np.repeat(rng.normal(size=(60, 20)), 2, axis=0)) for _ in range(2)]  # nothing in common
    as_two = likelihood.fit(*sides, np.arange(120))[1]
    as_one = likelihood.fit(*sides, np.repeat(np.arange(60), 2))[1]
    assert as_two.correlation[0] > 0.4
    assert as_one.correlation[0] < 0.3


def test_faces_may_have_fewer_dimensions_than_voices_or_more():
    for shapes in ((6, 40), (40, 6)):
        faces, voices = (side[:, :dim] for side, dim in zip(gaussians(800, 0, 40), shapes, strict=True))
        _, maps = likelihood.fit(faces, voices, np.arange(800))
        assert maps.face.shape == (shapes[0], shapes[1])
        assert maps.voice.shape == (shapes[1], shapes[1])
        assert torch.isfinite(maps.scores(faces, voices)).all()
        assert (maps.correlation[min(shapes) :] == 0).all()


def test_where_nothing_is_shared_nothing_is_known():
    sides = gaussians(300, 0)[0], gaussians(300, 5)[1]
    _, maps = likelihood.fit(*sides, np.arange(300))
    others = gaussians(600, 6)[0], gaussians(600, 7)[1]
    assert auc_of(maps.scores(*others)) == pytest.approx(0.5, abs=0.03)


def test_cosines_on_the_sphere_are_the_ratios_over_a_constant():
    sides, _, maps = fitted(600)
    coordinates = [(x - x.mean(0)) @ m for x, m in zip(sides, (maps.face, maps.voice), strict=True)]
    sphere = LikelihoodSphere(40)
    sphere.fit(maps.correlation, *coordinates)
    faces, voices = sphere.faces(coordinates[0]), sphere.voices(coordinates[1])
    for rows in (faces, voices):
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(600, dtype=torch.float64))
    centred = [x - x.mean(0) for x in sides]
    near = [(rows[:, -2:] ** 2).sum(1) > 1e-6 for rows in (faces, voices)]  # within the radius
    assert 250 < near[0].sum() < 350
    ratios, expected = (
        matrix[near[0]][:, near[1]] for matrix in (faces @ voices.T * sphere.nats, maps.scores(*centred))
    )
    torch.testing.assert_close(ratios, expected, atol=1e-4, rtol=1e-4)
    assert auc_of(faces @ voices.T) == pytest.approx(auc_of(maps.scores(*centred)), abs=0.01)
    far = sphere.faces(100 * coordinates[0])
    torch.testing.assert_close(far.norm(dim=1), torch.ones(600, dtype=torch.float64))
    assert torch.isfinite(far).all()


def test_two_clusters_are_found_by_what_face_and_voice_share():
    """Such as gender, without labels; they vary most in another direction, and there agree on nothing."""
    rng = np.random.default_rng(0)
    cluster = rng.random(600) < 0.4
    sides = [np.c_[9 * rng.normal(size=600), np.where(cluster, 2, -2) + rng.normal(size=600)] for _ in range(2)]
    found = two_clusters(*(torch.as_tensor(side) for side in sides))
    assert np.mean(found == cluster) > 0.98


@pytest.mark.parametrize("people", [2, 3, 5, 9, 30])
def test_few_people_are_no_error(people):
    sides = gaussians(people, 0)
    shrinkage, maps = likelihood.fit(*sides, np.arange(people))
    assert 0 < shrinkage < 1
    assert torch.isfinite(maps.scores(*sides)).all()
