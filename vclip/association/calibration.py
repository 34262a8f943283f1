"""From cosines to probabilities of a match: logistic (Platt) calibration on held-out people.

log P(s | match) / P(s | no match) = a s + b,    P(match | s) = 1 / (1 + exp(-(a s + b + log prior / (1 - prior))))

Trials of one person and trials of two people have the same total weight in the fit, so that a s + b is a log
likelihood ratio, to which any prior may be added (Brummer and du Preez, Application-independent evaluation of speaker
detection, 2006).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vclip.association.metrics.scored_trials import ScoredTrials
from vclip.errors import InputError

PRIOR = 0.5
MOST_NEGATIVES = 1_000_000  # more do not change two parameters


@dataclass(frozen=True)
class ScoreCalibration:
    """The log likelihood ratio of a match, in nats: `scale * cosine + offset`."""

    scale: float
    offset: float
    positives: int  # trials of the fit, of held-out people
    negatives: int

    @classmethod
    def fit(cls, trials: Sequence[ScoredTrials], seed: int = 0) -> "ScoreCalibration":
        """Returns the calibration with the least logistic loss on trials.

        Args:
            trials: of people that the scoring model was not trained on.
            seed: draws the negatives where there are more than MOST_NEGATIVES.

        Raises:
            InputError: there is no trial of one person, or none of two people.
        """
        positive, negative = (
            np.concatenate([part.scores[part.same == same] for part in trials]) for same in (True, False)
        )
        if not len(positive) or not len(negative):
            raise InputError(f"calibration: found {len(positive)} trials of one person and {len(negative)} of two")
        counts = len(positive), len(negative)
        if len(negative) > MOST_NEGATIVES:
            negative = np.random.default_rng(seed).choice(negative, MOST_NEGATIVES, replace=False)
        return cls(*_logistic(positive.astype(np.float64), negative.astype(np.float64)), *counts)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "ScoreCalibration | None":
        """Returns the calibration in a checkpoint's config.json; None for models saved without one."""
        return cls(**saved) if (saved := config.get("calibration")) else None

    def log_ratio(self, cosines: np.ndarray) -> np.ndarray:
        """Returns the log likelihood ratio of a match, in nats, of cosines of any shape."""
        return self.scale * np.asarray(cosines, np.float64) + self.offset

    def probability(self, cosines: np.ndarray, prior: float = PRIOR) -> np.ndarray:
        """Returns the probability of a match, 0..1, of cosines of any shape.

        Args:
            cosines: of the model.
            prior: the probability of a match before the comparison; 0.5 if as many pairs match as do not.

        Raises:
            InputError: the prior is not between 0 and 1.
        """
        if not 0 < prior < 1:
            raise InputError(f"prior {prior}: expected a probability between 0 and 1")
        from scipy.special import expit

        return expit(self.log_ratio(cosines) + np.log(prior / (1 - prior)))


def _logistic(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float]:
    """Returns the scale and the offset with the least loss, with equal total weights of both kinds of trials.

    As in Platt (Probabilistic outputs for support vector machines, 1999) the targets are not quite 1 and 0, so that
    perfectly separated scores do not give an infinite scale: each trial is used with both labels, weighted.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import

    scores = np.concatenate([positive, negative])
    weight = np.repeat([0.5 / len(positive), 0.5 / len(negative)], [len(positive), len(negative)])
    target = np.repeat([1 - 1 / (len(positive) + 2), 1 / (len(negative) + 2)], [len(positive), len(negative)])
    mean, spread = scores.mean(), max(float(scores.std()), 1e-12)
    x = ((scores - mean) / spread)[:, None]
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=100)  # no penalty
    model.fit(
        np.concatenate([x, x]),
        np.repeat([1, 0], len(x)),
        np.concatenate([weight * target, weight * (1 - target)]),
    )
    (slope,), (intercept,) = np.ravel(model.coef_), np.ravel(model.intercept_)
    scale = float(slope) / spread
    return scale, float(intercept) - scale * float(mean)
