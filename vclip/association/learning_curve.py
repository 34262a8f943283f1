"""Learning curves: the AUC by the number of training people, and what more people would bring.

The quantile z of the AUC (the inverse of the normal distribution function) rises with the number n of people as

    z(n) = z(N) + slope (1 - (n / N)^-c) / c

a power law that approaches a limit, or a logarithm where the exponent c is small; N is the largest n. Few sizes
hardly tell one exponent from another, and their difference grows with the distance that is extrapolated. So none is
chosen: all exponents count by their likelihood, and their spread is part of the intervals. So are the noise of the
test people (bootstrap) and of the training people (folds), and that sizes far below N follow another law: the
strongest shared direction, gender, is learned from a hundred people, the others later.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from vclip.association.metrics import Figure

EXPONENTS = np.linspace(0.1, 1.2, 23)
DOUBLINGS = 3.1  # below the largest size: smaller ones are not fitted
OTHER_LAW = 0.01  # standard deviation of z from the law, per doubling below the largest size
SAMPLES = 4000
TIMES = (3, 10)  # the largest size, that are predicted
FEWEST, FIRST = 4, 100  # sizes; people of the smallest, unless there are fewer
BAND = 25  # points of the band


@dataclass(frozen=True)
class Prediction:
    """The AUC that more people would bring, and by how much it is above that of the largest size; 95 % intervals."""

    people: int
    auc: Figure
    gain: Figure


@dataclass(frozen=True)
class Check:
    """The largest size, predicted from the smaller ones alone."""

    fitted_up_to: int
    people: int
    predicted: Figure
    measured: float


@dataclass(frozen=True)
class LearningCurve:
    """Measured AUCs, and predictions for multiples of the largest size."""

    sizes: Sequence[int]  # training people
    auc: Sequence[Figure]  # means over the splits, with 95 % intervals over the test people
    predictions: Sequence[Prediction]
    band: Sequence[tuple[int, Figure]]  # people, AUC: from the largest size on
    check: Check | None  # None where there are too few sizes


def sizes_up_to(most: int) -> list[int]:
    """Returns numbers of training people that double up to `most`, which is the last.

    Example:
        >>> sizes_up_to(652), sizes_up_to(90)
        ([100, 200, 400, 652], [12, 24, 48, 90])
    """
    first = FIRST
    while first > 10 and len(_doubled(first, most)) < FEWEST:
        first //= 2
    return _doubled(first, most)


def _doubled(first: int, most: int) -> list[int]:
    doublings = range(max(0, int(np.log2(most / first)) + 1))
    return [size for size in (first * 2**k for k in doublings) if size <= 0.8 * most] + [most]


def learning_curve(sizes: Sequence[int], auc: np.ndarray, seed: int = 0) -> LearningCurve:
    """Returns the curve of measured AUCs, with its extrapolation.

    Args:
        sizes: numbers of training people, ascending.
        auc: (splits, sizes, 1 + draws): of the test people of each split, then of draws of them; see `drawn_auc`.
        seed: draws the samples behind the intervals of predictions.
    """
    auc = auc[np.isfinite(auc[:, :, 0]).any(axis=1)]  # splits that have such trials
    z = ndtri(np.clip(auc, 1e-4, 1 - 1e-4))
    measured = np.nanmean(auc, axis=0)
    figures = [Figure.of(float(of_size[0]), of_size[1:]) for of_size in measured]
    law = _Law.of(sizes, z, seed)
    largest = sizes[-1]
    predictions = [law.prediction(times * largest) for times in TIMES]
    grid = np.unique(np.geomspace(largest, max(TIMES) * largest, BAND).round().astype(int))
    band = [(int(people), law.prediction(int(people)).auc) for people in grid]
    check = None
    if len(sizes) >= FEWEST:
        earlier = _Law.of(sizes[:-1], z[:, :-1], seed)
        predicted = earlier.prediction(largest).auc
        check = Check(sizes[-2], largest, predicted, float(measured[-1, 0]))
    return LearningCurve(list(sizes), figures, predictions, band, check)


@dataclass(frozen=True)
class _Law:
    """Samples of the law's parameters, given the measurements."""

    largest: int
    z: np.ndarray  # (samples,) at the largest size
    slope: np.ndarray  # (samples,) there, per e-fold of people
    exponent: np.ndarray  # (samples,)

    @classmethod
    def of(cls, sizes: Sequence[int], z: np.ndarray, seed: int) -> "_Law":
        """Returns the law that fits the sizes at most DOUBLINGS below the largest.

        Args:
            sizes: ascending.
            z: (splits, sizes, 1 + draws).
            seed: draws the samples.
        """
        below = np.log2(sizes[-1] / np.array(sizes, float))
        near = below <= DOUBLINGS
        covariance = _noise(z[:, near]) + np.diag((OTHER_LAW * below[near]) ** 2)
        found = np.nanmean(z[:, near, 0], axis=0)
        precision = np.linalg.inv(covariance)
        fits, likelihood = list[tuple[np.ndarray, np.ndarray]](), []
        for exponent in EXPONENTS:
            design = np.stack([np.ones(near.sum()), _rise(-below[near] * np.log(2), exponent)], axis=1)
            spread = np.linalg.inv(design.T @ precision @ design)
            best = spread @ design.T @ precision @ found
            left = found - design @ best
            # The integral of the likelihood over both parameters, of which the slope is not negative.
            rising = log_ndtr(best[1] / spread[1, 1] ** 0.5)
            likelihood.append(-left @ precision @ left / 2 + np.linalg.slogdet(spread)[1] / 2 + rising)
            fits.append((best, spread))
        weight = np.exp(np.array(likelihood) - max(likelihood))
        rng = np.random.default_rng(seed)
        counts = rng.multinomial(SAMPLES, weight / weight.sum())
        drawn = [_rising(*fits[i], count, rng) for i, count in enumerate(counts.tolist())]
        level, slope = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        return cls(sizes[-1], level, slope, np.repeat(EXPONENTS, counts))

    def prediction(self, people: int) -> Prediction:
        """Returns what so many people would bring."""
        now = ndtr(self.z)
        then = ndtr(self.z + self.slope * _rise(np.log(people / self.largest), self.exponent))
        auc, gain = (Figure.of(float(np.median(values)), values) for values in (then, then - now))
        return Prediction(people, auc, gain)


def _rise(logarithm: float | np.ndarray, exponent: float | np.ndarray) -> np.ndarray:
    return (1 - np.exp(-exponent * np.asarray(logarithm))) / exponent


def _noise(z: np.ndarray) -> np.ndarray:
    """Returns the covariance (sizes, sizes) of the mean over splits, by its test people and its training people."""
    drawn = np.nanmean(z[:, :, 1:], axis=0)
    test = np.cov(drawn[:, np.isfinite(drawn).all(axis=0)])
    level = np.nanmean(z[:, :, 0], axis=1, keepdims=True)  # of a split: its test people, counted above
    training = np.nanvar(z[:, :, 0] - level, axis=0, ddof=1)
    # Splits share most of their training people, so what these have in common does not average out.
    return test + np.diag(training / len(z)) + training[-1] + 1e-8 * np.eye(len(training))


def _rising(
    best: np.ndarray, spread: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws levels and slopes (count,) from their normal distribution, given that no slope is negative."""
    sd = spread[1, 1] ** 0.5
    chance = rng.uniform(ndtr(-best[1] / sd), 1, count)
    slope = np.maximum(best[1] + sd * ndtri(np.clip(chance, 1e-12, 1 - 1e-12)), 0)
    level = best[0] + spread[0, 1] / spread[1, 1] * (slope - best[1])
    rest = max(0.0, spread[0, 0] - spread[0, 1] ** 2 / spread[1, 1]) ** 0.5
    return level + rest * rng.normal(size=count), slope
