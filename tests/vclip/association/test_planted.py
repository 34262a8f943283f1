"""The planted world: its likelihood ratio is the one of its distribution, and nothing matches better than by it."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from vclip.association.evaluation import clip_scores
from vclip.association.metrics import all_trials, auc
from vclip.association.model import AssociationConfig
from vclip.association.planted import Planted
from vclip.association.training import TrainConfig, train

SMALL = Planted((0.8, 0.6, 0.3), d_face=12, d_voice=8)


def test_the_log_ratio_is_that_of_the_joint_normal_distribution():
    faces, voices = SMALL.people(7, seed=0)
    rho = np.diag(SMALL.correlations)
    joint = multivariate_normal(cov=np.block([[np.eye(3), rho], [rho, np.eye(3)]]))
    alone = multivariate_normal(cov=np.eye(3))
    expected = [
        [joint.logpdf(np.concatenate([f, v])) - alone.logpdf(f) - alone.logpdf(v) for v in voices] for f in faces
    ]
    np.testing.assert_allclose(SMALL.log_ratio(faces, voices), expected, atol=1e-4)


def test_causes_are_correlated_as_said_and_people_differ_by_seed():
    faces, voices = SMALL.people(100_000, seed=1)
    found = [np.corrcoef(faces[:, i], voices[:, i])[0, 1] for i in range(3)]
    np.testing.assert_allclose(found, (0.8, 0.6, 0.3), atol=0.02)
    np.testing.assert_allclose(np.cov(np.hstack([faces, voices]).T).diagonal(), 1, atol=0.03)
    a, b = SMALL.pairs(5, seed=1), SMALL.pairs(5, seed=2)
    assert not set(a.identity) & set(b.identity)
    assert not np.isclose(a.faces, b.faces).any()
    np.testing.assert_array_equal(a.faces, SMALL.pairs(5, seed=1).faces)


@pytest.mark.parametrize("bend", [0.0, 1.0])
def test_a_trained_model_comes_near_the_best_and_not_beyond(bend):
    world = Planted((0.8, 0.7, 0.6), d_face=12, d_voice=8, bend=bend)
    best = world.best_auc(1500)
    config = TrainConfig(
        model=AssociationConfig(hidden=64, coupling_hidden=32), max_steps=150, batch_size=256, device="cpu"
    )
    model, _ = train(world.pairs(4000, seed=1), "f", "v", config)
    strangers = world.pairs(1500, seed=2)
    found = auc(all_trials(clip_scores(model, strangers), strangers.people()))
    assert best - 0.06 < found < best + 0.01
    assert 0.8 < best < 0.99
