"""Verification: given a face and a voice, are they one person's?

A ROC curve has its corners at the scores of the same-person trials. So of the other trials only their number on and
between these scores is kept: exact, and in little memory for any number of trials.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vclip.association.metrics.bootstrap import Figure
from vclip.association.metrics.scored_trials import TrialSource

MAX_DRAWN_NEGATIVES = 2_000_000  # behind the intervals; the figures themselves take all
ROC_POINTS, HISTOGRAM_BINS = 201, 60


@dataclass(frozen=True)
class Verification:
    """The figures of one set of trials."""

    auc: Figure
    eer: Figure
    positives: int
    negatives: int
    negatives_drawn: int  # behind the intervals and the histogram; a random part of a very large number
    roc_false_alarm: list[float]
    roc_hit: list[float]
    histogram: dict[str, list[float]]  # edges, and the density of the scores: same, other


@dataclass(frozen=True)
class _Curve:
    """The number of trials in each cell: below the lowest threshold, on it, between it and the next, and so on."""

    hits: np.ndarray  # (cells,) same-person trials; weights where people were drawn
    alarms: np.ndarray  # (cells,) the others

    def auc(self) -> float:
        below = np.cumsum(self.alarms) - self.alarms / 2  # ties count half
        trials = self.hits.sum() * self.alarms.sum()
        return float(self.hits @ below / trials) if trials else float("nan")

    def rates(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns false-alarm and hit rates from the highest threshold to the lowest, from 0 to 1."""
        rates = (np.concatenate([[0.0], np.cumsum(counts[::-1])]) for counts in (self.alarms, self.hits))
        alarm, hit = (rate / rate[-1] if rate[-1] else rate * np.nan for rate in rates)
        return alarm, hit

    def eer(self) -> float:
        false_alarm, hit = self.rates()
        gap = false_alarm + hit - 1  # rises from -1 to 1; zero where false alarms equal misses
        return float(np.interp(0, gap, false_alarm))


def auc(trials: TrialSource) -> float:
    """Returns the area under the ROC curve: the share of pairs of a same-person trial and another in the right order.

    NaN where one of the two kinds is missing. `auc(Crossing(scores, people))` takes all faces with all voices in
    little memory.
    """
    return _curve(trials).auc()


def equal_error_rate(trials: TrialSource) -> float:
    """Returns the rate at which false alarms and misses are equal, interpolated along the ROC curve."""
    return _curve(trials).eer()


def verify(
    source: TrialSource, times: np.ndarray, seed: int = 0, max_drawn: int = MAX_DRAWN_NEGATIVES
) -> Verification:
    """Returns the figures of trials, with their intervals.

    Args:
        source: the trials, which are read twice.
        times: (draws, people), from `draw_people`.
        seed: draws the negatives behind the intervals where there are more than `max_drawn`.
        max_drawn: the number of negatives behind the intervals, about, where there are more.
    """
    drawn = _Drawn.of(source, seed, max_drawn)
    curves = list(drawn.curves(times))
    false_alarm, hit = _on_grid(drawn.whole, ROC_POINTS)
    return Verification(
        Figure.of(drawn.whole.auc(), [curve.auc() for curve in curves]),
        Figure.of(drawn.whole.eer(), [curve.eer() for curve in curves]),
        len(drawn.own),
        source.negatives,
        len(drawn.other),
        false_alarm.round(6).tolist(),
        hit.round(6).tolist(),
        drawn.histogram(),
    )


def drawn_auc(source: TrialSource, times: np.ndarray, seed: int = 0) -> np.ndarray:
    """Returns the AUC of trials for all people, then for each draw of people: (1 + draws,).

    Args:
        source, times, seed: as of `verify`.
    """
    drawn = _Drawn.of(source, seed)
    return np.array([curve.auc() for curve in (drawn.whole, *drawn.curves(times))])


def differences(a: TrialSource, b: TrialSource, times: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns AUC and EER of two scorings of the same trials: name -> (1 + draws, 2), the columns a and b.

    The first row is for all people, the others for the draws of people, which are the same for both.
    """
    both = [_Drawn.of(source, seed) for source in (a, b)]
    curves = [[drawn.whole, *drawn.curves(times)] for drawn in both]
    return {
        "auc": np.array([[curve.auc() for curve in of] for of in curves]).T,
        "eer": np.array([[curve.eer() for curve in of] for of in curves]).T,
    }


@dataclass(frozen=True)
class _Drawn:
    """The cell and the people of each trial, from which draws of people are counted, and the curve of all trials."""

    whole: _Curve
    own: np.ndarray  # (positives,) scores
    own_cell: np.ndarray
    own_person: np.ndarray
    other: np.ndarray  # (drawn negatives,) scores, cell by cell
    cells: np.ndarray  # (n,) int, the cells that are not empty
    starts: np.ndarray  # (n,) int, the start of each of them in `other`
    face_person: np.ndarray
    voice_person: np.ndarray

    @classmethod
    def of(cls, source: TrialSource, seed: int = 0, max_drawn: int = MAX_DRAWN_NEGATIVES) -> "_Drawn":
        share = min(1.0, max_drawn / max(1, source.negatives))
        own = [(part.scores[part.same], part.persons()[0][part.same]) for part in source]
        own_scores, own_person = (np.concatenate(parts) for parts in zip(*own, strict=True))
        thresholds = np.unique(own_scores)
        alarms = np.zeros(2 * len(thresholds) + 1)
        rng, others = np.random.default_rng(seed), []
        for part in source:
            chosen = ~part.same
            alarms += _counts(part.scores[chosen], thresholds)
            if share < 1:
                chosen &= rng.random(len(chosen)) < share
            others.append((part.scores[chosen], *(person[chosen] for person in part.persons())))
        other, face_person, voice_person = (np.concatenate(parts) for parts in zip(*others, strict=True))
        cell, own_cell = _cells(other, thresholds), _cells(own_scores, thresholds)
        order = np.argsort(cell, kind="stable")  # a draw then sums slices, 2.6 times as fast as a bincount
        cells, starts = np.unique(cell[order], return_index=True)
        whole = _Curve(np.bincount(own_cell, minlength=len(alarms)).astype(float), alarms)
        people = face_person[order], voice_person[order]
        return cls(whole, own_scores, own_cell, own_person, other[order], cells, starts, *people)

    def curves(self, times: np.ndarray) -> Iterator[_Curve]:
        for drawn in times:
            hits = np.bincount(self.own_cell, drawn[self.own_person], len(self.whole.hits))
            alarms = np.zeros(len(self.whole.alarms))
            weights = drawn.take(self.face_person) * drawn.take(self.voice_person)
            alarms[self.cells] = np.add.reduceat(weights, self.starts)  # whole numbers: exact in float32
            yield _Curve(hits, alarms)

    def histogram(self) -> dict[str, list[float]]:
        both = [scores for scores in (self.own, self.other) if len(scores)]
        span = (min(scores.min() for scores in both), max(scores.max() for scores in both)) if both else (0, 1)
        edges = np.histogram_bin_edges(np.zeros(0), HISTOGRAM_BINS, span)
        densities = (
            np.histogram(scores, edges)[0] / max(1, len(scores)) / np.diff(edges) for scores in (self.own, self.other)
        )
        same, other = densities
        return {"edges": edges.round(6).tolist(), "same": same.round(6).tolist(), "other": other.round(6).tolist()}


def _curve(source: TrialSource) -> _Curve:
    own = np.concatenate([part.scores[part.same] for part in source])
    thresholds = np.unique(own)
    hits = np.bincount(_cells(own, thresholds), minlength=2 * len(thresholds) + 1)
    alarms = np.zeros(len(hits))
    for part in source:
        alarms += _counts(part.scores[~part.same], thresholds)
    return _Curve(hits.astype(float), alarms)


def _cells(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Returns the cell of each score: odd where it is one of the thresholds, even between them."""
    return np.searchsorted(thresholds, scores, "left") + np.searchsorted(thresholds, scores, "right")


def _counts(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Returns the number of scores in each cell. Sorting them is faster than looking up each."""
    scores = np.sort(scores)
    bounds = np.stack([np.searchsorted(scores, thresholds, side) for side in ("left", "right")], 1).ravel()
    return np.diff(bounds, prepend=0, append=len(scores))


def _on_grid(curve: _Curve, points: int) -> tuple[np.ndarray, np.ndarray]:
    grid = np.linspace(0, 1, points)
    return grid, np.interp(grid, *curve.rates())
