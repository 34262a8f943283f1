"""The two trained projections: an MLP for faces, a RealNVP flow for voices, each with a linear path.

Both start as something simple: the MLP adds nothing to its linear path, the flow leaves what its linear path gives as
it is. On hundreds of pairs that start is already good, and training only departs from it where the data says so.
"""

from typing import cast

import torch
from torch import Tensor, nn

CHUNK = 65_536  # rows; a million at once would be held twice


class Standardize(nn.Module):
    """Subtracts the training mean and divides by one scale, so that cosines are between deviations from the mean."""

    mean: Tensor  # (dim,)
    scale: Tensor  # ()

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(()))

    def fit(self, x: Tensor) -> None:
        """Takes mean and scale from x (n, dim); afterwards the mean square of an entry is one."""
        self.mean.copy_(x.mean(0))
        total = torch.zeros((), dtype=torch.float64, device=x.device)
        for part in x.split(CHUNK):
            total += (part - self.mean).square().sum(dtype=torch.float64)
        self.scale.copy_((total / x.numel()).sqrt().clamp_min(1e-8))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.scale


class FaceProjection(nn.Module):
    """phi_i: a linear path, and an MLP with ReLU on what it gives, which is added to it; either may be left out.

    On a linear path the MLP's last layer starts at zero, so that the whole starts as the linear path. What the path
    drops, the MLP does not see: on few pairs it could only learn it by heart.
    """

    def __init__(self, d_face: int, d_voice: int, hidden: int, dropout: float, linear: bool = True):
        super().__init__()
        self.linear = nn.Linear(d_face, d_voice) if linear or not hidden else None
        self.mlp = None
        if hidden:
            last = nn.Linear(hidden, d_voice, bias=not linear)
            self.mlp = nn.Sequential(
                nn.Linear(d_voice if linear else d_face, hidden), nn.ReLU(), nn.Dropout(dropout), last
            )
            if linear:
                nn.init.zeros_(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        straight = x if self.linear is None else self.linear(x)
        if self.mlp is None:
            return straight
        learned = self.mlp(straight)
        return learned if self.linear is None else straight + learned


class VoiceProjection(nn.Module):
    """phi_v: a linear map, which starts as the identity, and a flow; both keep the dimension and can be inverted."""

    def __init__(self, dim: int, couplings: int, hidden: int, dropout: float, linear: bool = True):
        super().__init__()
        self.linear = nn.Linear(dim, dim) if linear else None
        self.flow = RealNVP(dim, couplings, hidden, dropout)
        if self.linear is not None:
            nn.init.eye_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.flow(x if self.linear is None else self.linear(x))


class AffineCoupling(nn.Module):
    """One RealNVP layer, x -> x exp(s(kept)) + t(kept), of the half that it changes (Dinh et al., 2017, eq. 7, 8)."""

    def __init__(self, kept: int, changed: int, hidden: int, dropout: float):
        super().__init__()
        first, last = nn.Linear(kept, hidden), nn.Linear(hidden, 2 * changed)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.net = nn.Sequential(first, nn.ReLU(), nn.Dropout(dropout), last)

    def _scale_and_shift(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self.net(kept).chunk(2, dim=-1)
        return torch.tanh(log_scale), shift  # tanh: no scale beyond e

    def forward(self, kept: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the changed half (batch, changed) and the log-determinant (batch,)."""
        log_scale, shift = self._scale_and_shift(kept)
        return x * log_scale.exp() + shift, log_scale.sum(-1)

    def inverse(self, kept: Tensor, y: Tensor) -> Tensor:
        log_scale, shift = self._scale_and_shift(kept)
        return (y - shift) * (-log_scale).exp()


class RealNVP(nn.Module):
    """Affine couplings that change odd and even entries in turn; keeps the dimension and starts as the identity."""

    def __init__(self, dim: int, couplings: int, hidden: int, dropout: float):
        super().__init__()
        sizes = (dim + 1) // 2, dim // 2
        self.couplings = nn.ModuleList(
            AffineCoupling(sizes[i % 2], sizes[1 - i % 2], hidden, dropout) for i in range(couplings)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.with_log_det(x)[0]

    def with_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns phi_v(x) (batch, dim) and log |det d phi_v / d x| (batch,)."""
        log_det, halves = x.new_zeros(x.shape[:-1]), _halves(x)
        for i, coupling in enumerate(self.couplings):
            halves[1 - i % 2], term = coupling(halves[i % 2], halves[1 - i % 2])
            log_det = log_det + term
        return _whole(halves), log_det

    def inverse(self, y: Tensor) -> Tensor:
        halves = _halves(y)
        for i, coupling in reversed(list(enumerate(self.couplings))):
            halves[1 - i % 2] = cast(AffineCoupling, coupling).inverse(halves[i % 2], halves[1 - i % 2])
        return _whole(halves)


def _halves(x: Tensor) -> list[Tensor]:
    return [x[..., 0::2], x[..., 1::2]]


def _whole(halves: list[Tensor]) -> Tensor:
    even, odd = halves
    whole = even.new_empty((*even.shape[:-1], even.shape[-1] + odd.shape[-1]))
    whole[..., 0::2], whole[..., 1::2] = even, odd
    return whole
