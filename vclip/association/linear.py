"""Linear maps of faces and voices into one space, in closed form: what training starts from, and two baselines.

`cca`: canonical correlation analysis (Vinod, 1976) with covariances shrunk as Ledoit and Wolf's (2004). Each
canonical direction counts by its correlation, so that what face and voice hardly share hardly counts.

`gaussian`: the same, with two steps towards the likelihood ratio of Gaussian faces and voices, for which no score is
better (Ioffe, 2006, "PLDA"). Each direction counts by the correlation that strangers show along it, and both sides
get one more, constant entry: cosines then compare lengths as well as directions. Ahead of all else that is linear, on
hundreds of pairs and on 100,000.

`ridge`: the regression of voices on faces.

What is free in them (how much to shrink, say) is found by cross-validation over people.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vclip.association.metrics import all_trials, auc

SHRINKAGES = (0.003, 0.03, 0.1, 0.3, 0.5, 0.65, 0.75, 0.85)
STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # of the ridge, in mean variances of the faces
# Directions that the faces say nothing about keep this share of the weight of the first, so that the map of the
# voices can be inverted, as a flow can.
LEAST_WEIGHT = 0.05
FAINTEST = 1e-3  # the same where the weights are honest
AS_GOOD = 0.002  # of AUC
CONSTANT = 0.8  # the constant entry, in root mean square lengths of the others together
FOLDS = 5
JUDGED = 1500  # clips of a fold that are compared, at most
CHUNK = 65_536  # rows


@dataclass(frozen=True)
class Maps:
    """Into one space; both act on rows whose mean is zero."""

    face: Tensor  # (d_face, d_voice)
    voice: Tensor  # (d_voice, d_voice)
    constant: float = 0.0  # in lengths of what they give; along the last axis, which says least

    @property
    def offset(self) -> Tensor:
        """(d_voice,), what is added to both sides."""
        offset = torch.zeros_like(self.voice[0])
        offset[-1] = self.constant * len(offset) ** 0.5
        return offset

    def cosines(self, faces: Tensor, voices: Tensor) -> Tensor:
        """Returns (n, m) of faces (n, d_face) and voices (m, d_voice)."""
        sides = faces @ self.face + self.offset, voices @ self.voice + self.offset
        return F.normalize(sides[0], dim=1) @ F.normalize(sides[1], dim=1).T


@dataclass(frozen=True)
class Moments:
    """Sums over pairs of rows: all that a linear method needs to know of them, in float64."""

    count: int
    face: Tensor  # (d_face,)
    voice: Tensor  # (d_voice,)
    face_face: Tensor  # (d_face, d_face)
    voice_voice: Tensor  # (d_voice, d_voice)
    face_voice: Tensor  # (d_face, d_voice)

    @classmethod
    def of(cls, faces: Tensor, voices: Tensor) -> "Moments":
        """Returns those of faces (n, d_face) and voices (n, d_voice)."""
        total = None
        for x, y in zip(faces.split(CHUNK), voices.split(CHUNK), strict=True):
            x, y = x.double(), y.double()
            part = cls(len(x), x.sum(0), y.sum(0), x.T @ x, y.T @ y, x.T @ y)
            total = part if total is None else total._with(part, 1)
        return total

    def without(self, part: "Moments") -> "Moments":
        """Returns those of the rows that are not in `part`."""
        return self._with(part, -1)

    def covariances(self) -> tuple[Tensor, Tensor, Tensor]:
        """Returns that of the faces, that of the voices, and the one between them."""
        face, voice = self.face / self.count, self.voice / self.count
        return (
            self.face_face / self.count - torch.outer(face, face),
            self.voice_voice / self.count - torch.outer(voice, voice),
            self.face_voice / self.count - torch.outer(face, voice),
        )

    @cached_property
    def axes(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Eigenvalues, rising, and eigenvectors of the covariance of the faces, and those of the voices."""
        faces, voices, _ = self.covariances()
        return tuple(torch.linalg.eigh(faces)), tuple(torch.linalg.eigh(voices))

    def _with(self, other: "Moments", sign: int) -> "Moments":
        return Moments(*(getattr(self, f.name) + sign * getattr(other, f.name) for f in fields(self)))


def cca_maps(moments: Moments, shrinkage: float) -> Maps:
    """Returns the canonical directions of both, each weighted by its correlation.

    Args:
        moments: of the training pairs.
        shrinkage: the share, 0..1, of a covariance that gives way to the same variance in every direction.
    """
    face, voice, correlation = _canonical(moments, shrinkage)
    return _weighted(moments, face, voice, correlation, LEAST_WEIGHT)


def gaussian_maps(moments: Moments, parts: Sequence[Moments], shrinkage: float) -> Maps:
    """Returns the canonical directions of both, weighted by what is common to strangers, with a constant entry.

    Args:
        moments: of the training pairs.
        parts: of disjoint parts of them, no person in two.
        shrinkage: as of `cca_maps`.
    """
    face, voice, _ = _canonical(moments, shrinkage)
    common = torch.zeros_like(voice[0])
    for part in parts:
        faces, voices, _ = _canonical(moments.without(part), shrinkage)
        common += part.count / moments.count * (faces * (part.covariances()[2] @ voices)).sum(0)
    weight = common.clamp_min(0).sqrt()
    return replace(_weighted(moments, face, voice, weight, FAINTEST), constant=CONSTANT)


def _canonical(moments: Moments, shrinkage: float) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the directions (d_face, k) and (d_voice, k), falling, that are white when shrunk; their correlation."""
    between = moments.covariances()[2]
    face_white, voice_white = (_inverse_root(*side, shrinkage) for side in moments.axes)
    whitened = face_white @ between @ voice_white
    # Right singular vectors, all of them though faces may have fewer dimensions.
    squares, directions = (x.flip(-1) for x in torch.linalg.eigh(whitened.T @ whitened))
    correlation = squares.clamp_min(0).sqrt()
    left = whitened @ directions / correlation.clamp_min(1e-9 * correlation[0])
    return face_white @ left, voice_white @ directions, correlation


def _weighted(moments: Moments, face: Tensor, voice: Tensor, weight: Tensor, least: float) -> Maps:
    faces, voices, _ = moments.covariances()
    voice = voice * weight.clamp_min(least * weight.max())
    return Maps(_of_unit_size(face * weight, faces), _of_unit_size(voice, voices))


def ridge_maps(moments: Moments, strength: float) -> Maps:
    """Returns the regression of voices on faces, which leaves the voices as they are.

    Args:
        moments: of the training pairs.
        strength: the penalty, in mean variances of the faces.
    """
    faces, voices, between = moments.covariances()
    unit = torch.eye(len(faces), dtype=faces.dtype, device=faces.device) * faces.diagonal().mean()
    identity = torch.eye(len(voices), dtype=voices.dtype, device=voices.device)
    face = torch.linalg.solve(faces + strength * unit, between)
    return Maps(_of_unit_size(face, faces), _of_unit_size(identity, voices))


def best_of(
    values: Sequence[float],
    maps: Callable[[Moments, float], Maps],
    faces: Tensor,
    voices: Tensor,
    people: np.ndarray,
    seed: int = 0,
) -> tuple[float, Moments, list[Moments]]:
    """Returns the value that matches strangers best by cross-validation over people; the moments, and of the folds.

    Of values that are as good as the best, to AS_GOOD, it is the least.

    Args:
        values: to choose from, rising.
        maps: that depend on it.
        faces, voices: (C, d_face) and (C, d_voice), clip by clip.
        people: (C,) int, who is in the clip.
        seed: of the folds.
    """
    rng = np.random.default_rng(seed)
    fold = (rng.permutation(int(people.max()) + 1) % FOLDS)[people]
    whole, score, parts = Moments.of(faces, voices), np.zeros(len(values)), []
    for number in range(FOLDS):
        held = torch.as_tensor(np.flatnonzero(fold == number), device=faces.device)
        if len(set(people[fold == number])) < 2:
            continue
        parts.append(Moments.of(faces[held], voices[held]))
        rest = whole.without(parts[-1])
        judged = held[torch.as_tensor(rng.permutation(len(held))[:JUDGED], device=faces.device)]
        x, y = (
            rows[judged].double() - mean / rest.count for rows, mean in ((faces, rest.face), (voices, rest.voice))
        )
        who = people[judged.cpu().numpy()]
        for i, value in enumerate(values):
            score[i] += auc(all_trials(maps(rest, value).cosines(x, y).cpu().numpy(), who))
    score /= max(1, len(parts))
    return values[int(np.argmax(score >= score.max() - AS_GOOD))], whole, parts


def _inverse_root(values: Tensor, vectors: Tensor, share: float) -> Tensor:
    """Of a covariance with these axes, shrunk: that turns none of them."""
    values = (1 - share) * values + share * values.mean()
    return (vectors * values.clamp_min(1e-12 * values[-1]).rsqrt()) @ vectors.T


def _of_unit_size(matrix: Tensor, covariance: Tensor) -> Tensor:
    """Scales a map so that what it gives has a mean square of one."""
    square = (matrix * (covariance @ matrix)).sum() / matrix.shape[1]
    return matrix / square.clamp_min(1e-24).sqrt()
