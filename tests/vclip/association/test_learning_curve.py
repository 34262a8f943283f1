"""The extrapolation of learning curves: intervals that contain what more people bring, as often as they say."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from vclip.association.learning_curve import learning_curve, sizes_up_to

SIZES = (100, 200, 400, 650)


def _law(people, exponent, slope=0.06, level=0.9):
    return ndtr(level + slope * (1 - (np.array(people) / SIZES[-1]) ** -exponent) / exponent)


def _measured(exponent, seed, test=0.02, training=0.008, splits=5, draws=100):
    """AUCs (splits, sizes, 1 + draws) by the law, with the noise of test people and of training people."""
    rng = np.random.default_rng(seed)
    z = ndtri(_law(SIZES, exponent)) + rng.normal(scale=test) + training * rng.normal(size=(splits, len(SIZES)))
    drawn = np.concatenate([np.zeros(1), rng.normal(scale=test, size=draws)])
    return ndtr(
        z[:, :, None] + drawn + training / splits**0.5 * rng.normal(size=(len(SIZES), 1 + draws)) * (drawn != 0)
    )


@pytest.mark.parametrize("exponent", [0.2, 0.5, 0.9])
def test_intervals_contain_the_truth_about_as_often_as_they_say(exponent):
    inside = gained = 0
    for seed in range(25):
        for prediction in learning_curve(SIZES, _measured(exponent, seed)).predictions:
            truth = _law(prediction.people, exponent)
            inside += prediction.auc.low <= truth <= prediction.auc.high
            gained += prediction.gain.low <= truth - _law(SIZES[-1], exponent) <= prediction.gain.high
            assert prediction.auc.high - prediction.auc.low < 0.09  # wide would be right always
    assert inside >= 45, "of 50"
    assert gained >= 42


def test_the_largest_size_is_predicted_from_the_smaller_ones_as_a_check():
    check = learning_curve(SIZES, _measured(0.5, 1)).check
    assert (check.fitted_up_to, check.people) == (400, 650)
    assert check.predicted.low < check.measured < check.predicted.high
    jump = _measured(0.5, 1)
    jump[:, -1] = ndtr(ndtri(jump[:, -1]) + 0.2)  # a size at which another law holds
    check = learning_curve(SIZES, jump).check
    assert check.measured > check.predicted.high


def test_a_curve_that_does_not_rise_promises_little():
    flat = np.full((5, 4, 41), 0.5) + 0.002 * np.random.default_rng(0).normal(size=(5, 4, 41))
    last = learning_curve(SIZES, flat).predictions[-1]
    assert last.gain.low >= 0
    assert last.gain.value < 0.01


def test_the_band_begins_at_the_largest_size_and_widens():
    curve = learning_curve(SIZES, _measured(0.5, 2))
    people, figures = zip(*curve.band, strict=True)
    assert (people[0], people[-1]) == (650, 6500)
    widths = [figure.high - figure.low for figure in figures]
    assert widths[-1] > 1.3 * widths[0]
    assert figures[-1] == curve.predictions[-1].auc


@pytest.mark.parametrize("most", [40, 90, 399, 400, 652, 6000])
def test_sizes_double_up_to_all_people(most):
    sizes = sizes_up_to(most)
    assert sizes[-1] == most
    assert all(b / a == pytest.approx(2, abs=0.1) for a, b in pairwise(sizes[:-1]))
    assert 1.2 <= sizes[-1] / sizes[-2] <= 2.5
    assert len(sizes) >= 4 or sizes[0] <= 12


def test_a_split_without_such_trials_is_left_out():
    """As of one gender, where the test people of a split have different ones."""
    measured = _measured(0.5, 0)
    gap = np.concatenate([measured, np.full_like(measured[:1], np.nan)])
    assert learning_curve(SIZES, gap) == learning_curve(SIZES, measured)
