"""Normal scores: a monotone map of each entry of speaker vectors, under which the entry is normally distributed.

Encoders whose last layer is rectified, such as GE2E, give vectors a third of whose entries are 0. A Gaussian mixture
over such vectors draws negative entries, which have to be clipped: the draws are more alike than people are. So the
mixture of `vclip.speakers.generator` is fitted to normal scores y, and a draw is mapped back by the quantiles of the
known speakers, entry by entry (a Gaussian copula).

Entries that share the lowest value, 0, are censored: their scores are only known to lie below a limit. They are drawn
given the other entries of the speaker (Gibbs sampling; Hoff, Extending the rank likelihood for semiparametric copula
estimation, 2007).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LIMIT, KNOTS = 3.5, 29  # scores of the first and the last knot, and their number
SWEEPS = 8
FLAT = 1e-4  # scores further apart than this share a value


@dataclass(frozen=True)
class Marginals:
    """The distribution of each entry.

    Attributes:
        knots: (dim, KNOTS) float32, the values of each entry at scores evenly spaced from -LIMIT to LIMIT; rising.
    """

    knots: np.ndarray

    @classmethod
    def fit(cls, vectors: np.ndarray) -> "Marginals":
        """Returns the distributions of the entries of vectors (S, dim): their quantiles, linear in between."""
        from scipy.special import ndtri  # slow to import, and every job imports this file

        scores = ndtri((np.arange(len(vectors)) + 0.5) / len(vectors))
        grid = np.linspace(-LIMIT, LIMIT, KNOTS)
        return cls(np.stack([np.interp(grid, scores, np.sort(column)) for column in vectors.T]).astype(np.float32))

    def values(self, scores: np.ndarray) -> np.ndarray:
        """Returns the values (n, dim) float32 at scores (n, dim)."""
        return values_at(torch.from_numpy(self.knots), torch.from_numpy(scores.astype(np.float32))).numpy()

    def scores(self, vectors: np.ndarray) -> np.ndarray:
        """Returns the scores (n, dim) float64 of vectors (n, dim); of a value with many scores, their mean."""
        return scores_of(torch.from_numpy(self.knots), torch.from_numpy(vectors.astype(np.float32))).double().numpy()


def values_at(knots: Tensor, scores: Tensor) -> Tensor:
    """Returns the values (..., dim) at scores (..., dim), for the knots (dim, KNOTS); differentiable."""
    place = ((scores + LIMIT) * ((KNOTS - 1) / (2 * LIMIT))).clamp(0, KNOTS - 1)
    left = place.detach().floor().clamp(max=KNOTS - 2).long()
    entry = torch.arange(len(knots), device=knots.device)
    low, high = knots[entry, left], knots[entry, left + 1]
    return low + (place - left) * (high - low)


def scores_of(knots: Tensor, vectors: Tensor) -> Tensor:
    """Returns the scores (..., dim) of vectors (..., dim), for the knots (dim, KNOTS) of `Marginals`.

    The lowest value, which many scores have, gets the mean of these under the normal distribution.
    """
    columns = vectors.reshape(-1, len(knots)).T.contiguous()
    lowest, highest = (_score(knots, columns, right) for right in (False, True))
    bell, below = (lambda y: torch.exp(-0.5 * y**2) / (2 * torch.pi) ** 0.5), torch.special.ndtr
    wide = highest - lowest > FLAT
    share = torch.where(wide, below(highest) - below(lowest), 1)
    mean = torch.where(wide, (bell(lowest) - bell(highest)) / share, (lowest + highest) / 2)
    return mean.T.reshape(vectors.shape)


def _score(knots: Tensor, columns: Tensor, right: bool) -> Tensor:
    """Returns the lowest (or with `right`, the highest) score of each value (dim, n)."""
    place = torch.searchsorted(knots.contiguous(), columns, right=right)
    after = place.clamp(1, KNOTS - 1)
    low, high = knots.gather(1, after - 1), knots.gather(1, after)
    share = torch.where(high > low, (columns - low) / (high - low).clamp_min(1e-12), float(right)).clamp(0, 1)
    return (after - 1 + share) * (2 * LIMIT / (KNOTS - 1)) - LIMIT


def known_scores(marginals: Marginals, vectors: np.ndarray, seed: int) -> np.ndarray:
    """Returns the scores (S, dim) float64 of the vectors (S, dim) that `marginals` was fitted to.

    Censored ones are drawn given the others, under one Gaussian (its covariance shrunk: Ledoit and Wolf, 2004).
    """
    from scipy.special import ndtr, ndtri  # slow to import
    from sklearn.covariance import LedoitWolf

    scores, rng = marginals.scores(vectors), np.random.default_rng(seed)
    censored = vectors == vectors.min(axis=0)
    censored &= censored.sum(axis=0) > 1
    top = ndtri(censored.mean(axis=0))  # (dim,) the limit of each entry's censored scores
    for _ in range(SWEEPS if censored.any() else 0):
        fitted = LedoitWolf().fit(scores)
        mean, precision = fitted.location_, np.asarray(fitted.precision_)
        for entry in np.flatnonzero(censored.any(axis=0)):
            rows, deviation = censored[:, entry], precision[entry, entry] ** -0.5
            off = scores[rows] - mean
            expected = scores[rows, entry] - off @ precision[entry] / precision[entry, entry]
            below = ndtr((top[entry] - expected) / deviation)
            drawn = expected + deviation * ndtri((below * rng.random(rows.sum())).clip(1e-12, 1 - 1e-12))
            scores[rows, entry] = drawn.clip(-LIMIT, LIMIT)
    return scores
