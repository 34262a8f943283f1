"""The planted worlds: their likelihood ratio is the one of their law, and nothing matches better than by it.

Tolerances: float32 in the log ratios; for drawn people, about four standard errors of the figure.
"""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, vonmises_fisher

from benchmarks.planted import Directions, Normals, Planted
from vclip.association.metrics import all_trials, auc
from vclip.association.model import AssociationConfig
from vclip.association.scores import clip_scores
from vclip.association.training import TrainConfig, train

NORMALS = Normals((0.8, 0.6, 0.3))


def test_the_log_ratio_of_normals_is_that_of_the_joint_normal_distribution():
    faces, voices = NORMALS.draw(7, np.random.default_rng(0))
    rho = np.diag(NORMALS.correlations)
    joint = multivariate_normal(cov=np.block([[np.eye(3), rho], [rho, np.eye(3)]]))
    alone = multivariate_normal(cov=np.eye(3))
    expected = [
        [joint.logpdf(np.concatenate([f, v])) - alone.logpdf(f) - alone.logpdf(v) for v in voices] for f in faces
    ]
    np.testing.assert_allclose(NORMALS.log_ratio(faces, voices), expected, atol=1e-4)


def test_the_log_ratio_of_directions_is_that_of_von_mises_and_fisher():
    law = Directions(5, 3.0)
    faces, voices = law.draw(7, np.random.default_rng(0))
    faces, voices = faces / 5**0.5, voices / 5**0.5
    sphere = np.log(2 * np.pi ** (5 / 2) / 1.329340388179137)  # its area; the last is gamma(5 / 2)
    expected = [[vonmises_fisher(f / np.linalg.norm(f), 3.0).logpdf(v) + sphere for v in voices] for f in faces]
    np.testing.assert_allclose(law.log_ratio(faces * 5**0.5, voices * 5**0.5), expected, atol=1e-4)


def test_normals_are_correlated_as_said():
    faces, voices = NORMALS.draw(100_000, np.random.default_rng(1))
    found = [np.corrcoef(faces[:, i], voices[:, i])[0, 1] for i in range(3)]
    np.testing.assert_allclose(found, NORMALS.correlations, atol=0.02)
    np.testing.assert_allclose(np.cov(np.hstack([faces, voices]).T).diagonal(), 1, atol=0.03)


def test_directions_are_spread_as_said():
    law = Directions(8, 5.0)
    faces, voices = law.draw(100_000, np.random.default_rng(1))
    for side in (faces, voices):
        np.testing.assert_allclose(np.linalg.norm(side, axis=1), 8**0.5, rtol=1e-5)
        np.testing.assert_allclose(side.T @ side / len(side), np.eye(8), atol=0.03)
    drawn = vonmises_fisher(np.eye(8)[0], 5.0, seed=0).rvs(100_000)[:, 0]
    assert (faces * voices).sum(1).mean() / 8 == pytest.approx(drawn.mean(), abs=0.005)


def test_people_differ_by_seed_and_one_seed_gives_the_same_people():
    world = Planted(NORMALS, d_face=12, d_voice=8)
    a, b = world.pairs(5, seed=1), world.pairs(5, seed=2)
    assert not set(a.identity) & set(b.identity)
    assert not np.isclose(a.faces, b.faces).any()
    np.testing.assert_array_equal(a.faces, world.pairs(5, seed=1).faces)


@pytest.mark.parametrize(
    ("law", "bend"), [(Directions(4, 6.0), 1.0), (Normals((0.8, 0.7, 0.6)), 0.0)], ids=["directions", "normals"]
)
def test_a_trained_model_comes_near_the_best_and_not_beyond(law, bend):
    world = Planted(law, d_face=12, d_voice=8, bend=bend)
    best = world.best_auc(1500)
    config = TrainConfig(
        model=AssociationConfig(hidden=64, coupling_hidden=32), max_steps=150, batch_size=256, device="cpu"
    )
    model, _ = train(world.pairs(4000, seed=1), "f", "v", config)
    strangers = world.pairs(1500, seed=2)
    found = auc(all_trials(clip_scores(model, strangers), strangers.people()))
    assert best - 0.06 < found < best + 0.01
    assert 0.8 < best < 0.99
