"""The association model: an MLP for faces and a RealNVP flow for voices, each with a linear path, into one space.

    score(x, e) = cos(phi_v(e), phi_i(f_i(x)))        (Vclip, section 2; frozen encoders f_i and f_v)

Both projections start as their linear path: the MLP adds zero to it, and the flow is the identity. On hundreds of
pairs that start is already good, and training departs from it only where the data asks for it. The projections give
coordinates; the cosine is between the coordinates themselves (the paper), or grows with their likelihood ratio.
"""

from collections.abc import Mapping
from typing import Any, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from vclip.association.base import TwoSidedModel
from vclip.config import Settings


class AssociationConfig(Settings):
    """The shape of the model."""

    linear: bool = Field(default=True, description="a linear path beside the face MLP and before the voice flow")
    hidden: int = Field(default=512, ge=0, le=65_536, description="width of the face MLP; 0: the linear path alone")
    couplings: int = Field(default=4, ge=0, le=100, description="coupling layers of the voice flow; 0: no flow")
    coupling_hidden: int = Field(default=256, ge=1, le=65_536, description="width of the networks in the couplings")
    dropout: float = Field(default=0.6, ge=0, lt=1, description="dropout at full shrinkage, see TrainConfig")
    # At CLIP's 14, confident errors dominate the start, because face-voice cosines are weak.
    initial_scale: float = Field(default=4.0, gt=0, le=1e6, description="initial inverse temperature")


class AssociationModel(TwoSidedModel):
    """The face projection phi_i, the voice projection phi_v and the temperature.

    Args:
        face_space: the space of the faces.
        voice_space: the space of the voices.
        d_face: the dimension of the faces.
        d_voice: the dimension of the voices.
        seen: the hashes of the training people, as `Pairs.hashes` returns them.
        config: the shape of the projections.
        dropout: dropout rate in training; that of `config` if None.
        score: "cosine" of the coordinates, or their "likelihood" ratio, see `LikelihoodSphere`.
    """

    about = (
        "A face-voice association model: it maps face and voice embeddings into one space, where the cosine says "
        "how well a voice suits a face. Nearly all that it knows is gender; a voice that suits a face is not that "
        "person's voice."
    )
    keys = ("d_face", "d_voice", "model")

    def __init__(
        self,
        face_space: str,
        voice_space: str,
        d_face: int,
        d_voice: int,
        config: AssociationConfig,
        seen: np.ndarray | None = None,
        dropout: float | None = None,
        score: str = "cosine",
    ):
        super().__init__(face_space, voice_space, d_face, d_voice, seen)
        self.config = config
        self.sphere = LikelihoodSphere(d_voice) if score == "likelihood" else None
        rate = config.dropout if dropout is None else dropout
        self.face_projection = FaceProjection(d_face, d_voice, config.hidden, rate, config.linear)
        self.voice_projection = VoiceProjection(
            d_voice, config.couplings, config.coupling_hidden, rate, config.linear
        )
        self.log_scale = nn.Parameter(torch.tensor(config.initial_scale).log())

    def project_faces(self, x: Tensor) -> Tensor:
        """Returns embeddings (n, dim), unit norm, of face vectors (n, d_face)."""
        coordinates = self.face_projection(self.face_input(x))
        return F.normalize(coordinates, dim=-1) if self.sphere is None else self.sphere.faces(coordinates)

    def project_voices(self, e: Tensor) -> Tensor:
        """Returns embeddings (n, dim), unit norm, of voice vectors (n, d_voice); differentiable in `e`."""
        coordinates = self.voice_projection(self.voice_input(e))
        return F.normalize(coordinates, dim=-1) if self.sphere is None else self.sphere.voices(coordinates)

    def shape(self) -> dict[str, Any]:
        """Returns the dimensions, the configuration of the projections and the score."""
        sizes = {"d_face": len(self.face_input.mean), "d_voice": len(self.voice_input.mean)}
        return sizes | {"model": self.config.model_dump(), "score": "likelihood" if self.sphere else "cosine"}

    @classmethod
    def rebuilt(cls, config: Mapping[str, Any]) -> Self:
        """Returns an untrained model with the shape that a config.json states."""
        names = ("face_space", "voice_space", "d_face", "d_voice")
        score = config.get("score", "cosine")  # of models before there was a choice
        return cls(**{name: config[name] for name in names}, config=AssociationConfig(**config["model"]), score=score)


class LikelihoodSphere(nn.Module):
    """Unit vectors of faces and voices whose cosine is their log likelihood ratio over a constant.

    The ratio of coordinates a and b (see `vclip.association.likelihood`) is the product of two vectors with two more
    entries, in which the constant c balances the entries:

        (a, c, -|a|^2 / 2c) . (b, -|b|^2 / 2c, c),    |a|^2 = sum of correlation * a^2

    Divided by the radius of its side, each gets a last entry that makes its norm one, and that meets a zero on the
    other side (Bachrach et al., 2014, turn products into distances in this way). A vector beyond the radius is made
    shorter. So ratios are indexed, searched and averaged as cosines.

    The radius is the median length in training. That all fit would rank 850 real pairs better by .0002 AUC only; but
    then the cosines of one face with many voices spread by .10 instead of .23, with which they can be weighed against
    other cosines, as a search for diverse voices does.
    """

    correlation: Tensor  # (dim,), 0..1, of each coordinate
    constant: Tensor  # ()
    radius: Tensor  # (2,), of faces and of voices

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("correlation", torch.zeros(dim))
        self.register_buffer("constant", torch.ones(()))
        self.register_buffer("radius", torch.ones(2))

    def fit(self, correlation: Tensor, faces: Tensor, voices: Tensor) -> None:
        """Sets the constants by the coordinates (n, dim) of training clips."""
        self.correlation.copy_(correlation)
        halves = torch.cat([self._half(faces), self._half(voices)])
        self.constant.copy_(halves.mean().sqrt().clamp_min(1e-6))
        for side, rows in enumerate((faces, voices)):
            self.radius[side] = self._with_two_more(rows, bool(side)).norm(dim=1).median().clamp_min(1e-6)

    def faces(self, coordinates: Tensor) -> Tensor:
        """Returns the vectors (..., dim + 4), unit norm, of faces with these coordinates (..., dim)."""
        return self._lifted(coordinates, False)

    def voices(self, coordinates: Tensor) -> Tensor:
        """Returns the vectors (..., dim + 4), unit norm, of voices with these coordinates (..., dim)."""
        return self._lifted(coordinates, True)

    @property
    def nats(self) -> Tensor:
        """The log likelihood ratio, up to a constant, of a cosine of 1."""
        return self.radius.prod()

    def _half(self, coordinates: Tensor) -> Tensor:
        return (coordinates.square() * self.correlation).sum(-1, keepdim=True) / 2

    def _with_two_more(self, coordinates: Tensor, voice: bool) -> Tensor:
        rest = -self._half(coordinates) / self.constant
        two = self.constant.expand_as(rest), rest
        return torch.cat([coordinates, *(reversed(two) if voice else two)], -1)

    def _lifted(self, coordinates: Tensor, voice: bool) -> Tensor:
        inside = self._with_two_more(coordinates, voice) / self.radius[int(voice)]
        inside = inside / inside.norm(dim=-1, keepdim=True).clamp_min(1)
        last = (1 - inside.square().sum(-1, keepdim=True)).clamp_min(1e-12).sqrt()
        none = torch.zeros_like(last)
        return torch.cat([inside, *((none, last) if voice else (last, none))], -1)


class FaceProjection(nn.Module):
    """phi_i: a linear path, plus an MLP with ReLU on the output of the path; either may be left out.

    Beside a linear path, the last layer of the MLP is initialised to zero, so that the projection starts as the
    linear path. The MLP does not see directions that the path drops: on few pairs it would only memorise them.
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
    """phi_v: a linear map, initialised to the identity, and a flow; both keep the dimension and are invertible."""

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
    """One RealNVP layer: it changes half of x to x exp(s(kept)) + t(kept) (Dinh et al., 2017, eq. 7, 8)."""

    def __init__(self, kept: int, changed: int, hidden: int, dropout: float):
        super().__init__()
        first, last = nn.Linear(kept, hidden), nn.Linear(hidden, 2 * changed)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.net = nn.Sequential(first, nn.ReLU(), nn.Dropout(dropout), last)

    def _scale_and_shift(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self.net(kept).chunk(2, dim=-1)
        return torch.tanh(log_scale), shift  # tanh bounds the scale by e

    def forward(self, kept: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the changed half (batch, changed) and the log-determinant (batch,)."""
        log_scale, shift = self._scale_and_shift(kept)
        return x * log_scale.exp() + shift, log_scale.sum(-1)

    def inverse(self, kept: Tensor, y: Tensor) -> Tensor:
        log_scale, shift = self._scale_and_shift(kept)
        return (y - shift) * (-log_scale).exp()


class RealNVP(nn.Module):
    """Affine couplings of odd and even entries in turn; keeps the dimension and is initialised to the identity."""

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
