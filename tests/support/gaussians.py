"""Gaussian faces and voices that share a few directions, for which the best score is known."""

import numpy as np
import torch
from torch import Tensor

CORRELATIONS = (0.6, 0.5, 0.4)


def gaussians(count: int, seed: int, dim: int = 40) -> list[Tensor]:
    """Returns faces and voices (count, dim) of one world; the first directions have CORRELATIONS, others nothing."""
    faces, own = np.random.default_rng(seed).standard_normal((2, count, dim))
    rho = np.array([*CORRELATIONS, *[0] * (dim - len(CORRELATIONS))])
    sides = faces, rho * faces + np.sqrt(1 - rho**2) * own
    return [torch.as_tensor(side @ mix) for side, mix in zip(sides, _mixes(dim), strict=True)]


def best_scores(faces: Tensor, voices: Tensor) -> np.ndarray:
    """Returns the log likelihood ratios (n, m) of faces with voices, up to a constant: no score ranks them better."""
    rho = np.array(CORRELATIONS)
    u, w = (
        (side.numpy() @ mix.T)[:, : len(rho)]
        for side, mix in zip((faces, voices), _mixes(len(faces[0])), strict=True)
    )
    share = rho / (1 - rho**2)
    return (u * share) @ w.T - (share * rho * u**2).sum(1)[:, None] / 2 - (share * rho * w**2).sum(1) / 2


def _mixes(dim: int) -> list[np.ndarray]:
    world = np.random.default_rng(99)
    return [np.linalg.qr(world.normal(size=(dim, dim)))[0] for _ in range(2)]
