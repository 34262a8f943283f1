"""Linear maps of faces and voices into one space, in closed form: two baselines, and what `likelihood` builds on.

`cca`: canonical correlation analysis (Vinod, 1976) with covariances shrunk as by Ledoit and Wolf (2004). Each
canonical direction is weighted by its correlation, so directions that face and voice hardly share hardly count.

`ridge`: the regression of voices on faces.

Free parameters, such as the shrinkage, are found by cross-validation over people.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, reduce

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vclip.association.metrics import all_trials, auc

SHRINKAGES = (0.003, 0.03, 0.1, 0.3, 0.5, 0.65, 0.75, 0.85)
STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # of the ridge, in mean variances of the faces
# Voice directions without any correlation keep this share of the largest weight, so that the map of the voices can be
# inverted, as the flow can.
LEAST_WEIGHT = 0.05
AS_GOOD = 0.002  # AUC below the best that counts as equally good
FOLDS = 5
JUDGED = 1500  # clips of a fold that are scored, at most
CHUNK = 65_536  # rows


@dataclass(frozen=True)
class Maps:
    """Linear maps of faces and voices into one space, for rows whose mean is zero."""

    face: Tensor  # (d_face, d_voice)
    voice: Tensor  # (d_voice, d_voice)
    score = "cosine"

    def cosines(self, faces: Tensor, voices: Tensor) -> Tensor:
        """Returns the cosines (n, m) of mapped faces (n, d_face) with mapped voices (m, d_voice)."""
        return F.normalize(faces @ self.face, dim=1) @ F.normalize(voices @ self.voice, dim=1).T

    def leading(self, directions: int) -> "Maps":
        """Returns the maps without the columns from `directions` on, which are zero."""
        return Maps(*(leading(matrix, directions) for matrix in (self.face, self.voice)))


@dataclass(frozen=True)
class Moments:
    """Sums over pairs of rows, in float64; they are sufficient statistics for every linear method."""

    count: int
    face: Tensor  # (d_face,)
    voice: Tensor  # (d_voice,)
    face_face: Tensor  # (d_face, d_face)
    voice_voice: Tensor  # (d_voice, d_voice)
    face_voice: Tensor  # (d_face, d_voice)

    @classmethod
    def of(cls, faces: Tensor, voices: Tensor) -> "Moments":
        """Returns the moments of faces (n, d_face) and voices (n, d_voice)."""
        rows = zip(faces.split(CHUNK), voices.split(CHUNK), strict=True)
        doubles = ((x.double(), y.double()) for x, y in rows)
        parts = (cls(len(x), x.sum(0), y.sum(0), x.T @ x, y.T @ y, x.T @ y) for x, y in doubles)
        return reduce(lambda total, part: total._with(part, 1), parts)

    def without(self, part: "Moments") -> "Moments":
        """Returns the moments of the rows that are not in `part`."""
        return self._with(part, -1)

    def covariances(self) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the covariances of the faces, of the voices, and between faces and voices."""
        face, voice = self.face / self.count, self.voice / self.count
        return (
            self.face_face / self.count - torch.outer(face, face),
            self.voice_voice / self.count - torch.outer(voice, voice),
            self.face_voice / self.count - torch.outer(face, voice),
        )

    @cached_property
    def axes(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """The eigenvalues, ascending, and eigenvectors of the covariances of the faces and of the voices."""
        faces, voices, _ = self.covariances()
        return tuple(torch.linalg.eigh(faces)), tuple(torch.linalg.eigh(voices))

    def _with(self, other: "Moments", sign: int) -> "Moments":
        return Moments(*(getattr(self, f.name) + sign * getattr(other, f.name) for f in fields(self)))


Rule = Callable[[Moments], Maps]


def cca_maps(moments: Moments, shrinkage: float) -> Maps:
    """Returns maps onto the canonical directions, each weighted by its correlation.

    Args:
        moments: of the training pairs.
        shrinkage: the weight, 0..1, of equal variance in every direction in place of the covariance.
    """
    face, voice, correlation = canonical(moments, shrinkage)
    faces, voices, _ = moments.covariances()
    voice = voice * correlation.clamp_min(LEAST_WEIGHT * correlation.max())
    return Maps(_of_unit_size(face * correlation, faces), _of_unit_size(voice, voices))


def canonical(moments: Moments, shrinkage: float) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the whitened canonical directions (d_face, k) and (d_voice, k), and their correlations, descending."""
    between = moments.covariances()[2]
    face_white, voice_white = (_inverse_root(*side, shrinkage) for side in moments.axes)
    whitened = face_white @ between @ voice_white
    # All right singular vectors, even where faces have fewer dimensions than voices.
    squares, directions = (x.flip(-1) for x in torch.linalg.eigh(whitened.T @ whitened))
    correlation = squares.clamp_min(0).sqrt()
    left = whitened @ directions / correlation.clamp_min(1e-9 * correlation[0])
    return face_white @ left, voice_white @ directions, correlation


def leading(columns: Tensor, count: int) -> Tensor:
    """Returns columns (..., k) of which the first `count` are kept and the others zero."""
    return columns * (torch.arange(columns.shape[-1], device=columns.device) < count)


def ridge_maps(moments: Moments, strength: float) -> Maps:
    """Returns the regression of voices on faces; the map of the voices is the identity.

    Args:
        moments: of the training pairs.
        strength: the ridge penalty, in mean variances of the faces.
    """
    faces, voices, between = moments.covariances()
    unit = torch.eye(len(faces), dtype=faces.dtype, device=faces.device) * faces.diagonal().mean()
    identity = torch.eye(len(voices), dtype=voices.dtype, device=voices.device)
    face = torch.linalg.solve(faces + strength * unit, between)
    return Maps(_of_unit_size(face, faces), _of_unit_size(identity, voices))


def fit(start: str, faces: Tensor, voices: Tensor, people: np.ndarray, seed: int = 0) -> tuple[float, Maps]:
    """Returns the shrinkage, 0..1, and the maps; free parameters are found by cross-validation over people.

    Args:
        start: cca or ridge; the shrinkage of a ridge regression is 1.
        faces, voices: (C, d_face) and (C, d_voice), one row per clip.
        people: (C,) int, the person of each clip.
        seed: draws the folds.
    """
    folds = Folds(faces, voices, people, seed)
    if start == "ridge":
        return 1.0, folds.best(rules(ridge_maps, STRENGTHS))[1]
    number, maps = folds.best(rules(cca_maps, SHRINKAGES))
    return SHRINKAGES[number], maps


def rules(maps: Callable[[Moments, float], Maps], values: Sequence[float]) -> list[Rule]:
    """Returns one rule for each value of the free parameter of `cca_maps` or `ridge_maps`."""
    return [lambda whole, value=value: maps(whole, value) for value in values]


class Folds:
    """Cross-validation of linear maps over people, from moments.

    Args:
        faces, voices, people, seed: as of `fit`.

    Attributes:
        whole: the moments of all pairs.
        parts: the moments of the pairs that each fold leaves out.
        judged: for each fold, the moments of the other pairs; faces, voices and people of some that it leaves out.
    """

    def __init__(self, faces: Tensor, voices: Tensor, people: np.ndarray, seed: int = 0):
        rng = np.random.default_rng(seed)
        fold = (rng.permutation(int(people.max()) + 1) % FOLDS)[people]
        self.whole, self.parts = Moments.of(faces, voices), []
        self.judged = []
        for number in range(FOLDS):
            if len(set(people[fold == number])) < 2:
                continue
            held = np.flatnonzero(fold == number)
            judged = rng.permutation(held)[:JUDGED]
            self.parts.append(
                Moments.of(*(rows[torch.as_tensor(held, device=rows.device)] for rows in (faces, voices)))
            )
            rows = (rows[torch.as_tensor(judged, device=rows.device)].double() for rows in (faces, voices))
            self.judged.append((self.whole.without(self.parts[-1]), *rows, people[judged]))

    def best(self, rules: Sequence[Rule]) -> tuple[int, Maps]:
        """Returns the number of the first rule within AS_GOOD of the best AUC, and its maps fitted to all pairs."""
        scores = np.array([self.score(rule) for rule in rules])
        number = int(np.argmax(scores >= scores.max() - AS_GOOD))
        return number, rules[number](self.whole)

    def score(self, rule: Rule) -> float:
        """Returns the mean AUC of a rule over the folds."""
        found = []
        for rest, faces, voices, people in self.judged:
            cosines = rule(rest).cosines(faces - rest.face / rest.count, voices - rest.voice / rest.count)
            found.append(auc(all_trials(cosines.cpu().numpy(), people)))
        return float(np.mean(found)) if found else 0.0


def _inverse_root(values: Tensor, vectors: Tensor, share: float) -> Tensor:
    """Returns the symmetric inverse square root of a covariance with these axes, after shrinkage."""
    values = (1 - share) * values + share * values.mean()
    return (vectors * values.clamp_min(1e-12 * values[-1]).rsqrt()) @ vectors.T


def _of_unit_size(matrix: Tensor, covariance: Tensor) -> Tensor:
    """Returns a map scaled so that the mapped rows have a mean square of one."""
    square = (matrix * (covariance @ matrix)).sum() / matrix.shape[1]
    return matrix / square.clamp_min(1e-24).sqrt()
