"""The association model: which voices suit which faces, as cosines in one space.

score(x, e) = cos(phi_v(e), phi_i(f_i(x)))        (Vclip, section 2; frozen encoders f_i and f_v)
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from vclip.association.base import KIND, TwoSidedModel
from vclip.association.projections import FaceProjection, VoiceProjection
from vclip.config import Settings

__all__ = ["KIND", "AssociationConfig", "AssociationModel"]


class AssociationConfig(Settings):
    """The shape of the model."""

    linear: bool = Field(default=True, description="a linear path beside the face MLP, and one before the voice flow")
    hidden: int = Field(default=512, ge=0, description="width of the face MLP; 0: the linear path alone")
    couplings: int = Field(default=4, ge=0, description="coupling layers of the voice flow; 0: no flow")
    coupling_hidden: int = Field(default=256, ge=1, description="width of the networks in the couplings")
    dropout: float = Field(default=0.6, ge=0, lt=1, description="dropout at full shrinkage, see TrainConfig")
    # CLIP's 14 drowns the start in confident errors: face-voice cosines are weak.
    initial_scale: float = Field(default=4.0, gt=0, description="inverse temperature to start from")


class AssociationModel(TwoSidedModel):
    """The face projection phi_i, the voice projection phi_v and the temperature.

    Args:
        face_space, voice_space, d_face, d_voice, seen: as of `TwoSidedModel`.
        config: the shape of the projections.
        dropout: dropout rate in training; that of `config` if None.
    """

    about = (
        "A face-voice association model: it maps face and voice embeddings into one space, where the cosine says how "
        "well a voice suits a face. Nearly all of what it knows without further restriction is gender; a voice that "
        "suits a face is not that person's voice."
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
    ):
        super().__init__(face_space, voice_space, d_face, d_voice, seen)
        self.config = config
        rate = config.dropout if dropout is None else dropout
        self.face_projection = FaceProjection(d_face, d_voice, config.hidden, rate, config.linear)
        self.voice_projection = VoiceProjection(
            d_voice, config.couplings, config.coupling_hidden, rate, config.linear
        )
        self.log_scale = nn.Parameter(torch.tensor(config.initial_scale).log())

    def project_faces(self, x: Tensor) -> Tensor:
        """Returns embeddings (n, d_voice), unit norm, of face vectors (n, d_face)."""
        return F.normalize(self.face_projection(self.face_input(x)), dim=-1)

    def project_voices(self, e: Tensor) -> Tensor:
        """Returns embeddings (n, d_voice), unit norm, of voice vectors (n, d_voice). Differentiable in e."""
        return F.normalize(self.voice_projection(self.voice_input(e)), dim=-1)

    def shape(self) -> dict[str, Any]:
        """Returns the dimensions and the configuration of the projections."""
        sizes = {"d_face": len(self.face_input.mean), "d_voice": len(self.voice_input.mean)}
        return sizes | {"model": self.config.model_dump()}

    @classmethod
    def rebuilt(cls, config: Mapping[str, Any]) -> Self:
        """Returns an untrained model with the shape that a config.json states."""
        names = ("face_space", "voice_space", "d_face", "d_voice")
        return cls(**{name: config[name] for name in names}, config=AssociationConfig(**config["model"]))
