"""The bootstrap over people: people are drawn with all their clips, because clips of one person are not independent.

A person drawn twice counts as two people who share no trial: the copies are neither negatives of each other nor
further positives. Counted otherwise, the interval would be 1.5 to 2 times as wide as the AUC varies.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 400
LEVEL = 0.95


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval; None where there is nothing to compute it from."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, value: float, draws: Sequence[float] | np.ndarray) -> "Figure":
        """Returns the figure of all people with the 95 % interval of the figures of the draws."""
        low, high = interval(draws)
        return cls(*(None if np.isnan(x) else float(x) for x in (value, low, high)))

    def __str__(self) -> str:
        if self.value is None:
            return "–"
        between = "" if self.low is None else f"  [{self.low:.3f}, {self.high:.3f}]"
        return f"{self.value:.3f}{between}"


def draw_people(people: int, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Returns how often each person is drawn, (draws, people) float32; each draw takes `people` with replacement."""
    rng = np.random.default_rng(seed)
    times = [np.bincount(rng.integers(people, size=people), minlength=people) for _ in range(draws)]
    return np.array(times, np.float32).reshape(draws, people)


def interval(values: Sequence[float] | np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Returns the bounds of the middle `level` of the draws, without those that are NaN; NaN if none is left."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
