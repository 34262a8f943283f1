"""Verification: given a face and a voice, are they one person's? Every face against every voice."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve


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
    return float(roc_auc_score(trials.same, trials.scores))


def equal_error_rate(trials: Trials) -> float:
    """Returns the rate at which false alarms and misses are equal, interpolated along the ROC curve."""
    false_alarm, hit, _ = roc_curve(trials.same, trials.scores)
    gap = false_alarm + hit - 1  # rises from -1 to 1; zero where false alarms equal misses
    return float(np.interp(0, gap, false_alarm))


def roc(trials: Trials, points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Returns the false-alarm and hit rates of the ROC curve at `points` evenly spread false-alarm rates."""
    false_alarm, hit, _ = roc_curve(trials.same, trials.scores)
    grid = np.linspace(0, 1, points)
    return grid, np.interp(grid, false_alarm, hit)


def auc_interval(
    scores: np.ndarray, people: np.ndarray, draws: int = 200, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Returns the interval of the AUC bootstrapped over people: whole persons are drawn, with all their clips.

    Two copies of one person drawn twice are not each other's negatives.
    """
    rng = np.random.default_rng(seed)
    clips_of = [np.flatnonzero(people == p) for p in np.unique(people)]
    values = []
    for _ in range(draws):
        clips = np.concatenate([clips_of[i] for i in rng.integers(len(clips_of), size=len(clips_of))])
        values.append(auc(all_trials(scores[np.ix_(clips, clips)], people[clips])))
    tail = (1 - level) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)
