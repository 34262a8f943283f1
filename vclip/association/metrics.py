"""Verification: given a face and a voice, are they one person's? Every face against every voice."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Trials:
    """Scored face-voice trials."""

    scores: np.ndarray  # (trials,) float32, higher is more alike
    same: np.ndarray  # (trials,) bool


def all_trials(scores: np.ndarray, people: np.ndarray, stratum: np.ndarray | None = None) -> Trials:
    """Returns the trials of every face with every voice.

    Args:
        scores: (C, C), face of clip i with voice of clip j.
        people: (C,) int, who is in the clip.
        stratum: (C,) str or None; if given, negatives are only within one non-empty stratum, as "same gender".
    """
    same = people[:, None] == people[None, :]
    keep = np.ones_like(same)
    if stratum is not None:
        known = (stratum != "")[:, None]
        keep = (stratum[:, None] == stratum[None, :]) & known
    return Trials(scores[keep], same[keep])


def auc(trials: Trials) -> float:
    """Returns the area under the ROC curve; NaN where one of the two classes is missing."""
    if trials.same.all() or not trials.same.any():
        return float("nan")
    from sklearn.metrics import roc_auc_score  # slow to import

    return float(roc_auc_score(trials.same, trials.scores))


def equal_error_rate(trials: Trials) -> float:
    """Returns the rate at which false alarms and misses are equal, interpolated along the ROC curve."""
    false_alarm, hit = _curve(trials)
    gap = false_alarm + hit - 1  # rises from -1 to 1; zero where false alarms equal misses
    return float(np.interp(0, gap, false_alarm))


def roc(trials: Trials, points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Returns the false-alarm and hit rates of the ROC curve at `points` evenly spread false-alarm rates."""
    grid = np.linspace(0, 1, points)
    return grid, np.interp(grid, *_curve(trials))


def _curve(trials: Trials) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.metrics import roc_curve  # slow to import

    return roc_curve(trials.same, trials.scores)[:2]


def auc_interval(
    scores: np.ndarray, people: np.ndarray, draws: int = 200, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Returns the interval of the AUC bootstrapped over people: whole persons are drawn, with all their clips.

    A person drawn twice counts as two people who share no trial: their copies are neither each other's negatives nor
    further positives (counted so, the interval would be 1.5 to 2 times as wide as the AUC varies).
    """
    rng = np.random.default_rng(seed)
    person = np.unique(people, return_inverse=True)[1]
    n_people = int(person.max()) + 1
    rank = np.unique(scores, return_inverse=True)[1].reshape(scores.shape)  # sorted once; equal scores share one
    n_ranks = int(rank.max()) + 1
    same = person[:, None] == person[None, :]
    row, other = np.nonzero(same)[0], np.nonzero(~same)
    values = []
    for _ in range(draws):
        times = np.bincount(rng.integers(n_people, size=n_people), minlength=n_people)[person]  # (C,)
        hits = np.bincount(rank[same], times[row], n_ranks)
        alarms = np.bincount(rank[other], times[other[0]] * times[other[1]], n_ranks)
        below = np.cumsum(alarms) - alarms / 2  # ties count half
        trials = hits.sum() * alarms.sum()
        values.append(hits @ below / trials if trials else np.nan)
    tail = (1 - level) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)
