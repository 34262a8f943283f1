"""The likelihood ratio of Gaussian faces and voices, in closed form: the start of training, and enough on few people.

In canonical directions a face has the coordinates u, its voice w, each of unit variance, and those of one direction
correlate by r. The log likelihood ratio of "one person" against "two" (Ioffe, 2006, "PLDA") is, up to a constant,

    sum of r / (1 - r^2) * (u w - r (u^2 + w^2) / 2)

and no score ranks such pairs better. Nothing in it is what the training pairs themselves suggest, where correlations
by chance look real: coordinates, variances and correlations are those of people that a fold left out. Correlations
fall from direction to direction, so isotonic regression shares their noise among neighbours.

The strongest direction is gender, as a rule: two clusters, not a Gaussian. So it has a weight of its own, and the
others have another one together; logistic regression finds both on the pairs left out, where strangers within a
cluster count double, as they are the hard ones.

Encoders may also put all that they share into directions, and nothing into lengths. Then the cosine of the same
coordinates is better, and is taken if it ranks the pairs left out better.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vclip.association.linear import AS_GOOD, Folds, Moments, canonical, cca_maps, leading
from vclip.association.metrics import ScoredTrials, auc
from vclip.association.two_clusters import upper_of_two_clusters

SHRINKAGES = (0.92, 0.85, 0.75, 0.65, 0.5, 0.3, 0.1, 0.03, 0.003)
REPEATS = 3  # times that the people are dealt into folds
STRONGEST = 0.99  # correlation, at most
LEAST_STD = 0.01  # of coordinates: entries that never change in training may do so later
STRANGERS = 40  # that each face is judged with
TIE = 0.05  # over the root of the people: AUC below the best that counts as equally good
FAR = 3 * TIE  # the same, from which less shrinkage is not tried
FAINTEST = 1e-3  # of the largest scale: directions without any correlation keep it, so that networks can use them


@dataclass(frozen=True)
class LikelihoodMaps:
    """Maps of faces and voices, for rows whose mean is zero, onto coordinates whose likelihood ratio is known.

    The ratio of the coordinates a and b is `a @ b - (correlation * (a * a + b * b)).sum() / 2`, in nats.
    """

    face: Tensor  # (d_face, d_voice) float64
    voice: Tensor  # (d_voice, d_voice) float64
    correlation: Tensor  # (d_voice,) float64, 0..1, descending
    score: str = "likelihood"  # or "cosine", which is that of the coordinates

    def scores(self, faces: Tensor, voices: Tensor) -> Tensor:
        """Returns the scores (n, m) of faces (n, d_face) with voices (m, d_voice)."""
        a, b = faces @ self.face, voices @ self.voice
        return _cosines(a, b) if self.score == "cosine" else _ratios(a, b, self.correlation)

    def leading(self, directions: int) -> "LikelihoodMaps":
        """Returns the maps without the columns from `directions` on, which are zero."""
        face, voice, correlation = (leading(x, directions) for x in (self.face, self.voice, self.correlation))
        return LikelihoodMaps(face, voice, correlation, self.score)


def fit(faces: Tensor, voices: Tensor, people: np.ndarray, seed: int = 0) -> tuple[float, LikelihoodMaps]:
    """Returns the least shrinkage, 0..1, that is about as good as the best, and the maps of the most that is.

    Folds over people find every free parameter.

    Args:
        faces, voices: (C, d_face) and (C, d_voice), one row per clip.
        people: (C,) int, the person of each clip.
        seed: draws the folds.
    """
    deals = [Folds(faces, voices, people, seed + repeat * 1_000_003) for repeat in range(REPEATS)]
    if not all(folds.parts for folds in deals):  # too few people to leave two out
        maps = cca_maps(deals[0].whole, SHRINKAGES[0])
        return SHRINKAGES[0], LikelihoodMaps(maps.face, maps.voice, torch.zeros_like(maps.voice[0]), maps.score)
    tie = len(set(people)) ** -0.5
    tried, best = list[_LeftOut](), 0.0
    for shrinkage in SHRINKAGES:
        tried.append(_LeftOut.of(deals, shrinkage, seed))
        best = max(best, tried[-1].quality)
        if tried[-1].quality < best - FAR * tie:
            break
    chosen = next(left_out for left_out in tried if left_out.quality >= best - TIE * tie)
    least = min(left_out.shrinkage for left_out in tried if left_out.quality >= best - AS_GOOD)
    return least, chosen.maps(deals[0].whole)


@dataclass(frozen=True)
class _LeftOut:
    """What the people that folds leave out say of each canonical direction, at one shrinkage."""

    shrinkage: float
    face_std: Tensor  # (k,)
    voice_std: Tensor  # (k,)
    correlation: Tensor  # (k,)
    weight: Tensor  # (k,) of the direction in the likelihood ratio; 1 for Gaussians
    score: str  # the better one
    quality: float  # of it, see `_quality`

    @classmethod
    def of(cls, deals: list[Folds], shrinkage: float, seed: int) -> "_LeftOut":
        moments, coordinates = _left_out_by(deals, shrinkage)
        face_std, voice_std = moments[:2].sqrt().clamp_min(LEAST_STD)
        correlation = _falling(moments[2] / face_std / voice_std, len(deals[0].whole.face))
        trials = [_Trials.of(u / face_std, w / voice_std, people, seed) for u, w, people in coordinates]
        weight, quality = _weigh(trials, correlation)
        score = max(quality, key=lambda name: quality[name])
        return cls(shrinkage, face_std, voice_std, correlation, weight, score, quality[score])

    def maps(self, whole: Moments) -> LikelihoodMaps:
        """Returns the maps fitted to all pairs."""
        face, voice, in_training = canonical(whole, self.shrinkage)
        scale = _scale(self.weight, self.correlation)
        if not scale.any():  # no linear relation, but perhaps another one, which networks may find
            scale = in_training.clamp(0, 1)
        scale = scale.clamp_min(FAINTEST * scale.max())
        return LikelihoodMaps(
            face * (scale / self.face_std), voice * (scale / self.voice_std), self.correlation, self.score
        )


@dataclass(frozen=True)
class _Trials:
    """Faces of clips with their own voice, and with voices of strangers."""

    u: Tensor  # (n, k) the coordinates of the faces, of unit variance
    w: Tensor  # (n, k) of the voices
    face: np.ndarray  # (t,) rows of u
    voice: np.ndarray  # (t,) rows of w
    own: np.ndarray  # (t,) bool
    near: np.ndarray  # (t,) bool, face and voice are in one of the two clusters of the strongest direction

    @classmethod
    def of(cls, u: Tensor, w: Tensor, people: np.ndarray, seed: int) -> "_Trials":
        clips = np.arange(len(people))
        drawn = np.random.default_rng(seed).integers(0, len(people), (STRANGERS, len(people)))
        face, voice = np.tile(clips, STRANGERS), drawn.ravel()
        strangers = people[face] != people[voice]
        face, voice = (np.concatenate([clips, rows[strangers]]) for rows in (face, voice))
        cluster = upper_of_two_clusters((u[:, 0] + w[:, 0]).cpu().numpy())
        return cls(u, w, face, voice, np.arange(len(face)) < len(clips), cluster[face] == cluster[voice])

    def scores(self, matrix: Tensor) -> np.ndarray:
        """Returns the scores (t,) of the trials in a matrix (n, n) of all faces with all voices."""
        return matrix.cpu().numpy()[self.face, self.voice]

    def evidence(self, correlation: Tensor) -> np.ndarray:
        """Returns the evidence (t, 2) of the strongest direction and of the others, in nats."""
        scale = _scale(torch.ones_like(correlation), correlation)
        a, b = self.u * scale, self.w * scale
        parts = (slice(0, 1), slice(1, None))
        return np.stack([self.scores(_ratios(a[:, k], b[:, k], correlation[k])) for k in parts], 1)


def _left_out_by(deals: list[Folds], shrinkage: float) -> tuple[Tensor, list[tuple[Tensor, Tensor, np.ndarray]]]:
    """Returns the clips that each fold leaves out, in the canonical directions of the other clips.

    Returns:
        (3, k) over all of them: the mean square of the faces and of the voices in each direction, and their mean
        product; and, for each fold, some of them: faces u (n, k), voices w (n, k) and people (n,).
    """
    sums, count, coordinates = [], 0, []
    for folds in deals:
        for part, (rest, faces, voices, people) in zip(folds.parts, folds.judged, strict=True):
            face, voice, _ = canonical(rest, shrinkage)
            of_faces, of_voices, between = part.covariances()
            products = face * (of_faces @ face), voice * (of_voices @ voice), face * (between @ voice)
            sums.append(torch.stack([part.count * product.sum(0) for product in products]))
            count += part.count
            face_mean, voice_mean = rest.face / rest.count, rest.voice / rest.count
            coordinates.append(((faces - face_mean) @ face, (voices - voice_mean) @ voice, people))
    return torch.stack(sums).sum(0) / count, coordinates


def _falling(correlation: Tensor, shared: int) -> Tensor:
    """Returns the correlations (k,) that fall from direction to direction and fit the measured ones best.

    Args:
        correlation: (k,) measured.
        shared: the number of directions that faces have at all; the others have no correlation.
    """
    from scipy.optimize import isotonic_regression  # slow to import, and every job imports this file

    falling = torch.zeros_like(correlation)
    measured = correlation[:shared].cpu().numpy()
    falling[:shared] = falling.new_tensor(isotonic_regression(measured, increasing=False).x.copy())
    return falling.clamp(0, STRONGEST)


def _weigh(trials: list[_Trials], correlation: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Returns the weight (k,) of each direction in the likelihood ratio, and the quality of both scores."""
    own, near = (np.concatenate([getattr(part, name) for part in trials]) for name in ("own", "near"))
    evidence = np.concatenate([part.evidence(correlation) for part in trials])
    weights = _weights(evidence, own, near)
    weight = torch.full_like(correlation, weights[1])
    weight[0] = weights[0]
    scale = _scale(weight, correlation)
    cosines = np.concatenate([part.scores(_cosines(part.u * scale, part.w * scale)) for part in trials])
    return weight, {
        "likelihood": _quality(evidence @ weights, own, near),
        "cosine": _quality(cosines, own, near),
    }


def _scale(weight: Tensor, correlation: Tensor) -> Tensor:
    """Returns the scale (k,) of coordinates of unit variance with which products are evidence in nats."""
    return (weight * correlation / (1 - correlation**2)).sqrt()


def _ratios(a: Tensor, b: Tensor, correlation: Tensor) -> Tensor:
    return a @ b.T - (a.square() @ correlation)[:, None] / 2 - b.square() @ correlation / 2


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    return F.normalize(a, dim=1) @ F.normalize(b, dim=1).T


def _weights(evidence: np.ndarray, own: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Returns the weights (2,) of the evidence (t, 2) with the least logistic loss, at least zero."""
    from scipy.optimize import minimize
    from scipy.special import expit

    terms, sign = np.c_[evidence, np.ones(len(own))], np.where(own, 1.0, -1.0)
    share = np.where(own, 1.0, 1.0 + near)
    share[own] /= share[own].sum()
    share[~own] /= share[~own].sum()

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (terms @ values)
        return float(share @ np.logaddexp(0, -margin)), -(share * sign * expit(-margin)) @ terms

    start = np.array([1.0, 1.0, 0.0])
    return minimize(loss, start, jac=True, bounds=[(0, None), (0, None), (None, None)]).x[:2]


def _quality(scores: np.ndarray, own: np.ndarray, near: np.ndarray) -> float:
    """Returns the mean of the AUC of all trials and of that of the trials within a cluster, where there are both."""
    known = [value for value in (_auc(scores, own), _auc(scores[near], own[near])) if not np.isnan(value)]
    return float(np.mean(known)) if known else 0.0


def _auc(scores: np.ndarray, own: np.ndarray) -> float:
    return auc(ScoredTrials(scores, own))
