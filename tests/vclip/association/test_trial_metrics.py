"""AUC, EER and intervals against scikit-learn and brute force.

Tolerances: rounding in double precision (1e-9 and less); where something is drawn, about three standard errors.
"""

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import roc_auc_score, roc_curve

from vclip.association.metrics import (
    Crossing,
    ScoredTrials,
    all_trials,
    auc,
    draw_people,
    equal_error_rate,
    interval,
    verify,
)
from vclip.association.metrics.ranking import weighted_means
from vclip.association.subgroups import rows_by_label


def _scored(people=40, clips_each=2, strength=1.0, seed=0):
    """Returns scores (C, C) in which one person's clips stand out by `strength`, and who is in each clip."""
    rng, who = np.random.default_rng(seed), np.repeat(np.arange(people), clips_each)
    same = who[:, None] == who[None, :]
    # A clip's own bias, so that trials of one person hang together as real ones do.
    bias = rng.normal(size=(people, 1))[who]
    return (rng.normal(size=same.shape) + bias + strength * same).astype(np.float32), who


def auc_interval(scores, people, draws=400, seed=0):
    """The interval of the AUC of all trials, over draws of people."""
    crossing = Crossing(
        lambda faces, voices: scores[np.ix_(faces, voices)], np.unique(people, return_inverse=True)[1]
    )
    found = verify(crossing, draw_people(len(set(people.tolist())), draws, seed)).auc
    return found.low, found.high


@pytest.mark.parametrize("strength", [0.0, 0.7, 2.0, 20.0])
@pytest.mark.parametrize("digits", [1, 6])
def test_auc_is_the_share_of_well_ordered_pairs_of_trials(strength, digits):
    scores, who = _scored(15, strength=strength)
    trials = all_trials(scores.round(digits), who)  # one digit makes ties
    positive, negative = trials.scores[trials.same], trials.scores[~trials.same]
    better = (positive[:, None] > negative).mean() + 0.5 * (positive[:, None] == negative).mean()
    assert auc(trials) == pytest.approx(better, abs=1e-9)
    assert auc(trials) == pytest.approx(roc_auc_score(trials.same, trials.scores), abs=1e-12)


def test_auc_without_both_classes_is_nan():
    for same in (np.ones(3, bool), np.zeros(3, bool)):
        assert np.isnan(auc(ScoredTrials(np.arange(3.0), same)))


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.5, 3.0])
def test_eer_is_that_of_a_scan_over_all_thresholds(strength):
    trials = all_trials(*_scored(strength=strength))
    positive, negative = np.sort(trials.scores[trials.same]), np.sort(trials.scores[~trials.same])
    thresholds = np.unique(trials.scores)
    misses = np.searchsorted(positive, thresholds) / len(positive)
    false_alarms = 1 - np.searchsorted(negative, thresholds) / len(negative)
    nearest = np.argmin(np.abs(misses - false_alarms))
    # Between two thresholds the rates jump by at most one trial of the rarer class.
    assert equal_error_rate(trials) == pytest.approx(false_alarms[nearest], abs=1 / len(positive))


def test_eer_of_perfect_reversed_and_constant_scores():
    same = np.repeat([True, False], 50)
    assert equal_error_rate(ScoredTrials(same * 1.0, same)) == pytest.approx(0)
    assert equal_error_rate(ScoredTrials(same * -1.0, same)) == pytest.approx(1)
    assert equal_error_rate(ScoredTrials(np.zeros(100), same)) == pytest.approx(0.5)


def test_roc_is_that_of_scikit_learn():
    scores, who = _scored()
    trials, found = all_trials(scores, who), _verified(scores, who)
    false_alarm, hit = found.roc_false_alarm, found.roc_hit
    fpr, tpr, _ = roc_curve(trials.same, trials.scores)
    np.testing.assert_allclose(hit, np.interp(false_alarm, fpr, tpr), atol=1e-6)  # they are rounded to six digits
    assert np.trapezoid(hit, false_alarm) == pytest.approx(auc(trials), abs=0.01)


def test_all_trials_are_every_face_with_every_voice():
    scores, who = _scored(5, clips_each=3)
    trials = all_trials(scores, who)
    assert len(trials.scores) == 15 * 15
    assert trials.same.sum() == 5 * 3 * 3
    rows, columns = np.indices(scores.shape)
    expected = {(scores[i, j], who[i] == who[j]) for i, j in zip(rows.ravel(), columns.ravel(), strict=True)}
    assert set(zip(trials.scores, trials.same, strict=True)) == expected


def test_a_subgroup_keeps_the_trials_within_it_and_drops_the_unknown():
    scores, who = _scored(6, clips_each=1)
    gender = np.array(["f", "m", "f", "", "m", ""])
    trials = all_trials(scores, who, gender)
    expected = [(scores[i, j], i == j) for i in range(6) for j in range(6) if gender[i] == gender[j] != ""]
    assert list(zip(trials.scores, trials.same, strict=True)) == expected
    assert len(expected) == 2 * 2 + 2 * 2


def test_same_gender_negatives_are_harder_where_gender_is_all_there_is_to_know():
    """Scores that know nothing but gender: well above chance over all trials, at chance within a gender."""
    rng, who = np.random.default_rng(0), np.arange(200)
    gender = np.where(rng.random(200) < 0.5, "f", "m")
    scores = (gender[:, None] == gender) + 0.01 * rng.normal(size=(200, 200))
    assert auc(all_trials(scores, who)) > 0.7
    assert auc(all_trials(scores, who, gender)) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("strength", [0.3, 1.0, 2.0])
def test_the_interval_covers_the_estimate_and_shrinks_with_people(strength):
    widths = []
    for people in (15, 60, 240):
        scores, who = _scored(people, clips_each=1, strength=strength)
        low, high = auc_interval(scores, who, draws=60)
        assert 0 <= low < auc(all_trials(scores, who)) < high <= 1
        widths.append(high - low)
    assert widths[0] > 1.5 * widths[1] > 2 * widths[2]


def test_the_interval_is_about_as_wide_as_auc_varies_between_draws_of_people():
    figures = [auc(all_trials(*_scored(30, seed=seed))) for seed in range(200)]
    widths = [np.subtract(*auc_interval(*_scored(30, seed=seed), draws=100)[::-1]) for seed in range(20)]
    actual = np.subtract(*np.quantile(figures, [0.975, 0.025]))
    assert 0.75 < np.mean(widths) / actual < 1.3


def test_more_clips_of_the_same_people_narrow_it_less_than_more_people():
    """Whole persons are drawn: ten clips of one person are not ten people."""
    rng = np.random.default_rng(0)
    few, who = _scored(20, clips_each=1)
    copies = np.repeat(np.arange(20), 6)
    copied = few[np.ix_(copies, copies)] + 1e-3 * rng.normal(size=(120, 120))
    narrow = np.subtract(*auc_interval(copied, who[copies], draws=100)[::-1])
    wide = np.subtract(*auc_interval(few, who, draws=100)[::-1])
    assert narrow == pytest.approx(wide, rel=0.35)
    more = np.subtract(*auc_interval(*_scored(120, clips_each=1), draws=100)[::-1])
    assert more < 0.65 * narrow


def test_the_interval_is_that_of_drawing_people_and_scoring_again():
    """Brute force: new people are copied out of the scores, a person drawn twice as two who share no trial."""
    scores, who = _scored(12, clips_each=2, strength=1.0)
    scores = scores.round(1)  # makes ties
    rng, figures = np.random.default_rng(3), []
    for _ in range(40):
        drawn = rng.integers(12, size=12)
        clips = np.concatenate([np.flatnonzero(who == p) for p in drawn])
        copy = np.repeat(np.arange(12), 2)
        same = copy[:, None] == copy
        keep = same | (who[clips][:, None] != who[clips])
        figures.append(auc(ScoredTrials(scores[np.ix_(clips, clips)][keep], same[keep])))
    assert auc_interval(scores, who, draws=40, seed=3) == pytest.approx(np.quantile(figures, [0.025, 0.975]))


def test_the_interval_of_a_mean_over_people_is_that_of_scipy():
    values = np.random.default_rng(0).exponential(size=50)  # skewed, so that the two ends differ
    ours = interval(weighted_means(values, draw_people(50, draws=20_000))[1:])
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    width = theirs.high - theirs.low
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.03 * width)  # both are drawn at random


def test_one_seed_gives_one_interval():
    scores, who = _scored(20)
    assert auc_interval(scores, who, draws=20, seed=1) == auc_interval(scores, who, draws=20, seed=1)
    assert auc_interval(scores, who, draws=20, seed=1) != auc_interval(scores, who, draws=20, seed=2)


def _verified(scores, who, groups=(), max_drawn=2_000_000, **limits):
    crossing = Crossing(lambda f, v: scores[np.ix_(f, v)], who, groups, **limits)
    return verify(crossing, draw_people(who.max() + 1, draws=50, seed=3), max_drawn=max_drawn)


@pytest.mark.parametrize("digits", [1, 6])
def test_verification_in_parts_is_that_of_all_trials_at_once(digits):
    scores, who = _scored(30, strength=1.0)
    scores, expected = scores.round(digits), all_trials(scores.round(digits), who)
    whole = _verified(scores, who)
    for found in (whole, _verified(scores, who, block=200)):
        assert found.auc.value == pytest.approx(roc_auc_score(expected.same, expected.scores), abs=1e-12)
        assert found.eer.value == pytest.approx(equal_error_rate(expected), abs=1e-12)
        assert (found.positives, found.negatives) == (120, 3480)
        assert found == whole
    parts = Crossing(lambda f, v: scores[np.ix_(f, v)], who, block=200)
    assert (auc(parts), equal_error_rate(parts)) == (whole.auc.value, whole.eer.value)


def test_verification_within_groups_is_that_of_the_subgroup():
    scores, who = _scored(20)
    gender = np.array(["f", "m", "", "m"])[np.arange(40) % 4]
    found = _verified(scores, who, rows_by_label(gender))
    expected = all_trials(scores, who, gender)
    assert found.auc.value == pytest.approx(auc(expected), abs=1e-12)
    assert found.positives + found.negatives == len(expected.same)


def test_the_interval_of_the_eer_is_that_of_drawing_people_and_scoring_again():
    scores, who = _scored(12, clips_each=2, strength=1.0)
    scores = scores.round(1)
    rng, figures = np.random.default_rng(3), []
    for _ in range(50):
        drawn = rng.integers(12, size=12)
        clips, copy = np.concatenate([np.flatnonzero(who == p) for p in drawn]), np.repeat(np.arange(12), 2)
        same = copy[:, None] == copy
        keep = same | (who[clips][:, None] != who[clips])
        figures.append(equal_error_rate(ScoredTrials(scores[np.ix_(clips, clips)][keep], same[keep])))
    found = _verified(scores, who)
    assert (found.eer.low, found.eer.high) == pytest.approx(np.quantile(figures, [0.025, 0.975]), abs=1e-9)


@pytest.mark.parametrize("strength", [0.3, 1.5])
def test_eer_is_where_the_curve_of_scikit_learn_crosses(strength):
    trials = all_trials(*_scored(strength=strength))
    false_alarm, hit, _ = roc_curve(trials.same, trials.scores, drop_intermediate=False)
    assert equal_error_rate(trials) == pytest.approx(np.interp(0, false_alarm + hit - 1, false_alarm), abs=1e-9)


def test_very_many_negatives_have_exact_figures_and_an_interval_of_a_part():
    scores, who = _scored(60)
    whole = _verified(scores, who)
    part = _verified(scores, who, max_drawn=4000)
    assert 3500 < part.negatives_drawn < 4500 < whole.negatives_drawn == part.negatives
    assert (part.auc.value, part.eer.value) == (whole.auc.value, whole.eer.value)
    assert (part.auc.low, part.auc.high) == pytest.approx((whole.auc.low, whole.auc.high), abs=0.02)


def test_the_histogram_holds_all_scores():
    scores, who = _scored(30)
    found = _verified(scores, who).histogram
    for name, same in (("same", True), ("other", False)):
        expected, _ = np.histogram(scores[(who[:, None] == who) == same], found["edges"], density=True)
        np.testing.assert_allclose(found[name], expected, rtol=0.2, atol=0.02)
        assert np.sum(found[name] * np.diff(found["edges"])) == pytest.approx(1, abs=1e-3)
