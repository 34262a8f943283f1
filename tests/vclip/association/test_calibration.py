"""Calibrated probabilities are those with which pairs match, on people whom neither model nor calibration saw.

Tolerances: the optimisers stop at different points near the optimum.
"""

import json

import numpy as np
import pytest
from scipy.optimize import root
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from benchmarks.planted import FACE_SPACE, VOICE_SPACE, Planted
from vclip.association.calibration import ScoreCalibration
from vclip.association.methods import METHODS, load
from vclip.association.metrics.scored_trials import ScoredTrials, all_trials
from vclip.association.scores import clip_scores
from vclip.association.training import TrainConfig, train
from vclip.errors import InputError

PEOPLE = 1000
RIDGE = METHODS["ridge"].config(TrainConfig(device="cpu"))


@pytest.fixture(scope="module")
def world():
    return Planted(d_face=24, d_voice=16, bend=0.0)


@pytest.fixture(scope="module")
def trained(world):
    return train(world.pairs(PEOPLE, seed=1), FACE_SPACE, VOICE_SPACE, RIDGE)[0]


@pytest.fixture(scope="module")
def strangers(world, trained):
    pairs = world.pairs(PEOPLE, seed=2)
    return all_trials(clip_scores(trained, pairs), pairs.people())


def cost(ratio, same):
    """Returns Cllr in bits (Brummer and du Preez, 2006): 0 is perfect, 1 what saying nothing costs."""
    return float(np.logaddexp(0, -ratio[same]).mean() + np.logaddexp(0, ratio[~same]).mean()) / (2 * np.log(2))


def misses(probability, same, prior):
    """Returns how far what is said is from what is true, in five parts of the trials by what is said."""
    # As many trials of one person as the prior has.
    weight = np.where(same, prior / same.sum(), (1 - prior) / (~same).sum())
    order = np.argsort(probability)
    fifth = np.minimum((5 * np.cumsum(weight[order])).astype(int), 4)
    parts = [order[fifth == number] for number in range(5)]
    return [abs(np.average(probability[part] - same[part], weights=weight[part])) for part in parts]


@pytest.mark.parametrize("prior", [0.5, 0.05])
def test_of_strangers_so_many_match_as_it_says(strangers, trained, prior):
    probability = trained.calibration.probability(strangers.scores, prior)
    assert max(misses(probability, strangers.same, prior)) < 0.06
    assert max(misses((1 + strangers.scores) / 2, strangers.same, prior)) > 0.1  # cosines are no probabilities


def test_it_costs_little_more_than_the_best_that_could_be_known(world, strangers, trained):
    same = strangers.same
    mine = cost(trained.calibration.log_ratio(strangers.scores), same)
    best = cost(world.law.log_ratio(*world.people(PEOPLE, 2)).ravel(), same)
    assert best < mine < best + 0.1 < 1  # 1 is what saying nothing costs
    assert cost(np.zeros(len(same)), same) == pytest.approx(1)
    assert cost(np.where(same, 50.0, -50.0), same) < 1e-9


def test_the_fit_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(0.3, 0.1, 400), rng.normal(0.1, 0.1, 30_000)]).astype(np.float32)
    same = np.arange(len(scores)) < 400
    fitted = ScoreCalibration.fit([ScoredTrials(scores[:500], same[:500]), ScoredTrials(scores[500:], same[500:])])
    reference = LogisticRegression(C=1e9, class_weight="balanced", tol=1e-8).fit(scores[:, None], same)
    assert fitted.scale == pytest.approx(reference.coef_[0, 0], rel=0.03)  # Platt's targets are not quite 0 and 1
    assert fitted.offset == pytest.approx(reference.intercept_[0], rel=0.03)
    assert (fitted.positives, fitted.negatives) == (400, 30_000)


@pytest.mark.parametrize("counts", [(400, 30_000), (3, 5), (2000, 1)])
def test_the_fit_is_the_least_cost_with_platts_targets(counts):
    """Against a general minimiser of the weighted cross entropy."""
    rng = np.random.default_rng(1)
    scores = np.concatenate([rng.normal(0.3, 0.1, counts[0]), rng.normal(0.1, 0.1, counts[1])])
    same = np.arange(sum(counts)) < counts[0]
    target = np.where(same, 1 - 1 / (counts[0] + 2), 1 / (counts[1] + 2))
    weight = np.where(same, 0.5 / counts[0], 0.5 / counts[1])

    def gradient(scale_offset):
        missed = weight * (expit(scale_offset[0] * scores + scale_offset[1]) - target)
        return np.array([missed @ scores, missed.sum()])

    best = root(gradient, [1.0, 0.0], tol=1e-14).x
    fitted = ScoreCalibration.fit([ScoredTrials(scores, same)])
    # Both solve a convex problem to gradients below 1e-10.
    assert (fitted.scale, fitted.offset) == pytest.approx(tuple(best), rel=1e-6)


def test_scores_that_separate_perfectly_give_no_certainty():
    fitted = ScoreCalibration.fit(
        [ScoredTrials(np.array([0.9, 0.8, 0.1, 0.2]), np.array([True, True, False, False]))]
    )
    assert 0.5 < fitted.probability(0.8) < 0.95
    assert fitted.probability(0.5) == pytest.approx(0.5)


def test_it_is_saved_with_the_model_and_older_models_have_none(trained, tmp_path):
    again = load(trained.save(tmp_path / "model", {}))
    assert again.calibration == trained.calibration
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    del config["calibration"]
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    assert load(tmp_path / "model").calibration is None


@pytest.mark.parametrize("prior", [0, 1, -1, float("nan")])
def test_a_prior_is_a_probability(trained, prior):
    with pytest.raises(InputError, match="prior"):
        trained.calibration.probability(0.1, prior)


def test_no_calibration_without_both_kinds_of_trials():
    with pytest.raises(InputError, match="2 trials of one person and 0 of two"):
        ScoreCalibration.fit([ScoredTrials(np.array([0.9, 0.8]), np.array([True, True]))])
