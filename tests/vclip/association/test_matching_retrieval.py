"""Matching and retrieval against brute force over every choice of impostors and every order of ties.

Tolerances: rounding in double precision (1e-12), or quantiles of float32 weights (1e-6); where something is drawn,
about three standard errors.
"""

import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from vclip.association import metrics
from vclip.association.metrics import (
    Crossing,
    RetrievalRanks,
    draw_people,
    matching,
    retrieval,
)
from vclip.association.metrics.ranking import chance

WHO = np.array([0, 0, 1, 2, 2, 2, 3, 4])
PROBES = ("faces", "voices")


def _scores(digits=0, seed=0, who=WHO):
    """Scores (C, C) that know a little; rounded so that many tie."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(len(who), len(who))) + (who[:, None] == who)).round(digits).astype(np.float32)


def _ranks(scores, probes, who=WHO, times=None, groups=(), max_drawn=10_000, **limits):
    crossing = Crossing(lambda faces, voices: scores[np.ix_(faces, voices)], who, groups, **limits)
    times = draw_people(who.max() + 1, 4) if times is None else times
    return RetrievalRanks.of(crossing, probes, times, max_drawn=max_drawn)


def _values(figures):
    return {name: figure.value for name, figure in figures.items()}


def _matching_by_hand(gallery, who, n, group=None):
    """Over every true match and every n - 1 impostors: gallery (probe, item)."""
    means = []
    for probe in range(len(who)):
        inside = np.ones(len(who), bool) if group is None else group == group[probe]
        impostors = np.flatnonzero((who != who[probe]) & inside)
        wins = [
            0 if (gallery[probe, list(some)] > gallery[probe, true]).any()
            else 1 / (1 + (gallery[probe, list(some)] == gallery[probe, true]).sum())
            for true in np.flatnonzero((who == who[probe]) & inside)
            for some in itertools.combinations(impostors, n - 1)
        ]  # fmt: skip
        if wins:
            means.append(np.mean(wins))
    return np.mean(means)


@pytest.mark.parametrize("probes", PROBES)
@pytest.mark.parametrize("digits", [0, 6])
def test_matching_is_that_of_every_choice_of_impostors(probes, digits):
    scores = _scores(digits)
    found = matching(_ranks(scores, probes), draw_people(5, 4))
    gallery = scores if probes == "faces" else scores.T
    # Whoever has fewest others has five (person 2), whoever has most seven: 1:9 cannot be asked of anybody.
    assert list(found) == [2, 3, 4, 5, 6, 7, 8]
    for n, figure in found.items():
        assert figure.value == pytest.approx(_matching_by_hand(gallery, WHO, n), abs=1e-12)


@pytest.mark.parametrize("probes", PROBES)
def test_matching_within_groups_takes_impostors_of_the_group(probes):
    scores, group = _scores(), np.array([0, 0, 0, 1, 1, 1, 1, 0])
    ranks = _ranks(scores, probes, groups=[np.flatnonzero(group == g) for g in (0, 1)])
    found = matching(ranks, draw_people(5, 4), choices=(2, 3))
    gallery = scores if probes == "faces" else scores.T
    for n in (2, 3):
        assert found[n].value == pytest.approx(_matching_by_hand(gallery, WHO, n, group), abs=1e-12)


def test_one_of_two_is_the_auc_where_everybody_has_one_clip():
    """With one clip each and scores that are no face's or voice's own, both ask for the same comparisons."""
    who = np.arange(300)
    scores = np.random.default_rng(0).normal(size=(300, 300)).astype(np.float32) + np.eye(300, dtype=np.float32)
    times = draw_people(300, 2)
    both = [matching(_ranks(scores, p, who, times), times)[2].value for p in PROBES]
    assert np.mean(both) == pytest.approx(metrics.auc(metrics.all_trials(scores, who)), abs=0.01)


@pytest.mark.parametrize("n", [2, 5, 10])
def test_matching_by_chance_and_by_certainty(n):
    who = np.repeat(np.arange(20), 2)
    constant, certain = np.zeros((40, 40), np.float32), (who[:, None] == who).astype(np.float32)
    times = draw_people(20, 5)
    for scores, expected in ((constant, 1 / n), (certain, 1), (-certain, 0)):
        figure = matching(_ranks(scores, "faces", who, times), times)[n]
        assert (figure.value, figure.low, figure.high) == pytest.approx((expected,) * 3)


def _drawn_by_hand(scores, who, drawn, figure):
    """New people are copied out of the scores; a person drawn twice is two who share no trial."""
    clips = np.concatenate([np.flatnonzero(who == p) for p in drawn])
    copy = np.concatenate([np.full((who == p).sum(), i) for i, p in enumerate(drawn)])
    return figure(scores[np.ix_(clips, clips)], copy, who[clips])


def test_the_interval_of_matching_is_that_of_drawing_people_and_matching_again():
    scores, times = _scores(digits=0, seed=1), draw_people(5, 30, seed=3)

    def figure(gallery, copy, person):
        means = []
        for probe in range(len(copy)):
            impostors = np.flatnonzero(person != person[probe])
            wins = [
                0 if (gallery[probe, list(some)] > gallery[probe, true]).any()
                else 1 / (1 + (gallery[probe, list(some)] == gallery[probe, true]).sum())
                for true in np.flatnonzero(copy == copy[probe])
                for some in itertools.combinations(impostors, 2)
            ]  # fmt: skip
            if wins:
                means.append(np.mean(wins))
        return np.mean(means) if means else np.nan

    drawn = [_drawn_by_hand(scores, WHO, np.repeat(np.arange(5), row.astype(int)), figure) for row in times]
    found = matching(_ranks(scores, "faces", times=times), times, choices=(3,))[3]
    assert (found.low, found.high) == pytest.approx(metrics.interval(drawn), abs=1e-6)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("probes", PROBES)
def test_retrieval_is_that_of_every_order_of_ties(probes):
    who = np.array([0, 0, 1, 1, 2, 3])
    scores = _scores(who=who, seed=4)
    gallery = scores if probes == "faces" else scores.T
    expected = {"map": [], "r@1": [], "r@3": []}
    for probe in range(len(who)):
        for order in itertools.permutations(range(len(who))):
            if any(gallery[probe, a] < gallery[probe, b] for a, b in itertools.pairwise(order)):
                continue
            right = who[list(order)] == who[probe]
            places = np.flatnonzero(right) + 1
            weight = 1.0 / sum(
                all(gallery[probe, a] >= gallery[probe, b] for a, b in itertools.pairwise(other))
                for other in itertools.permutations(range(len(who)))
            )
            expected["map"].append(weight * np.mean(np.arange(1, len(places) + 1) / places))
            for k in (1, 3):
                expected[f"r@{k}"].append(weight * right[:k].any())
    found = _values(retrieval(_ranks(scores, probes, who), draw_people(4, 4), top=(1, 3)))
    assert found == pytest.approx({name: np.sum(values) / len(who) for name, values in expected.items()}, abs=1e-12)


def test_mean_average_precision_is_that_of_scikit_learn():
    who = np.random.default_rng(0).integers(0, 12, 60)
    who = np.unique(who, return_inverse=True)[1]
    scores = _scores(digits=6, who=who)
    assert len(np.unique(scores)) > 3500  # hardly any ties, of which scikit-learn has another opinion
    found = _values(retrieval(_ranks(scores, "voices", who), draw_people(who.max() + 1, 2)))
    same = who[:, None] == who
    assert found["map"] == pytest.approx(
        np.mean([average_precision_score(same[:, j], scores[:, j]) for j in range(60)]), abs=1e-6
    )
    best = [np.argsort(-scores[:, j]) for j in range(60)]
    for k in (1, 5, 10):
        assert found[f"r@{k}"] == pytest.approx(np.mean([same[order[:k], j].any() for j, order in enumerate(best)]))


def test_chance_is_what_constant_and_random_scores_give():
    who = np.repeat(np.arange(30), [1, 2, 3] * 10)
    times = draw_people(30, 2)
    constant = _ranks(np.zeros((60, 60), np.float32), "faces", who, times)
    assert _values(retrieval(constant, times)) == pytest.approx(chance(constant))
    random = [
        _values(retrieval(_ranks(_scores(6, seed, who) - (who[:, None] == who), "faces", who, times), times))
        for seed in range(30)
    ]
    for name, value in chance(constant).items():
        assert np.mean([figures[name] for figures in random]) == pytest.approx(value, abs=0.02)


def test_the_interval_of_retrieval_draws_the_people_of_the_probes():
    scores, times = _scores(digits=6), draw_people(5, 50, seed=2)
    ranks = _ranks(scores, "faces", times=times)
    same = WHO[:, None] == WHO
    each = np.array([average_precision_score(same[i], scores[i]) for i in range(len(WHO))])
    drawn = [np.average(each, weights=row[WHO]) for row in times]
    found = retrieval(ranks, times)["map"]
    assert (found.low, found.high) == pytest.approx(metrics.interval(drawn), abs=1e-6)


def test_blocks_change_nothing():
    who = np.repeat(np.arange(9), [1, 2, 3] * 3)
    scores, times = _scores(who=who), draw_people(9, 20)
    for probes in PROBES:
        whole = _ranks(scores, probes, who, times)
        parts = _ranks(scores, probes, who, times, block=40)  # two rows at a time
        assert matching(parts, times) == matching(whole, times)
        assert retrieval(parts, times) == retrieval(whole, times)


def test_very_many_matches_have_exact_figures_and_an_interval_of_a_part():
    who = np.repeat(np.arange(40), 3)
    scores, times = _scores(digits=2, who=who), draw_people(40, 100)
    whole = matching(_ranks(scores, "faces", who, times), times)[2]
    ranks = _ranks(scores, "faces", who, times, max_drawn=150)
    part = matching(ranks, times)[2]
    assert 100 < len(ranks.drawn) < 200 < len(ranks.probe)
    assert part.value == whole.value
    assert (part.low, part.high) == pytest.approx((whole.low, whole.high), abs=0.08)
    assert (part.low, part.high) != (whole.low, whole.high)
