"""The association model: which voices suit which faces, as cosines in one space.

score(x, e) = cos(phi_v(e), phi_i(f_i(x)))        (Vclip, section 2; frozen encoders f_i and f_v)
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from vclip import checkpoint
from vclip.association.calibration import ScoreCalibration
from vclip.association.projections import FaceProjection, Standardize, VoiceProjection
from vclip.config import Settings
from vclip.errors import SpaceError

KIND = "association"
SEEN = "seen"
ABOUT = (
    "A face-voice association model: it maps face and voice embeddings into one space, where the cosine says how "
    "well a voice suits a face. Nearly all of what it knows without further restriction is gender; a voice that "
    "suits a face is not that person's voice."
)


class AssociationConfig(Settings):
    """The shape of the model."""

    linear: bool = Field(True, description="a linear path beside the face MLP, and one before the voice flow")
    hidden: int = Field(512, ge=0, description="of the face MLP; 0: the linear path alone")
    couplings: int = Field(4, ge=0, description="of the voice flow; 0: no flow")
    coupling_hidden: int = Field(256, ge=1)
    dropout: float = Field(0.6, ge=0, lt=1)
    # CLIP's 14 drowns the start in confident errors: face-voice cosines are weak.
    initial_scale: float = Field(4.0, gt=0, description="inverse temperature to start from")


class AssociationModel(nn.Module):
    """phi_i, phi_v and the temperature."""

    def __init__(self, face_space: str, voice_space: str, d_face: int, d_voice: int, config: AssociationConfig):
        super().__init__()
        self.face_space, self.voice_space, self.config = face_space, voice_space, config
        self.face_input, self.voice_input = Standardize(d_face), Standardize(d_voice)
        self.face_projection = FaceProjection(d_face, d_voice, config.hidden, config.dropout, config.linear)
        self.voice_projection = VoiceProjection(
            d_voice, config.couplings, config.coupling_hidden, config.dropout, config.linear
        )
        self.seen = np.zeros(0, np.int64)  # Pairs.hashes of everyone in training or stopping
        self.calibration: ScoreCalibration | None = None  # of its cosines; `training.train` gives it one
        self.encoders: dict[str, str] = {}  # space -> the spec that opens its encoder, as a checkpoint records it
        self.log_scale = nn.Parameter(torch.tensor(config.initial_scale).log())

    def project_faces(self, x: Tensor) -> Tensor:
        """Returns (n, d_voice) unit norm of face vectors (n, d_face)."""
        return F.normalize(self.face_projection(self.face_input(x)), dim=-1)

    def project_voices(self, e: Tensor) -> Tensor:
        """Returns (n, d_voice) unit norm of voice vectors (n, d_voice). Differentiable in e."""
        return F.normalize(self.voice_projection(self.voice_input(e)), dim=-1)

    @torch.inference_mode()
    def embed_faces(self, x: np.ndarray, space: str | None = None) -> np.ndarray:
        """Returns (n, d_voice) float32, unit norm, of face vectors (n, d_face).

        Raises:
            SpaceError: `space`, where given, is not that of the faces this model was trained on.
        """
        return self._embed(self.project_faces, x, space, self.face_space)

    @torch.inference_mode()
    def embed_voices(self, e: np.ndarray, space: str | None = None) -> np.ndarray:
        """Returns (n, d_voice) float32, unit norm, of voice vectors (n, d_voice).

        Raises:
            SpaceError: `space`, where given, is not that of the voices this model was trained on.
        """
        return self._embed(self.project_voices, e, space, self.voice_space)

    def _embed(self, project: Any, x: np.ndarray, space: str | None, expected: str) -> np.ndarray:
        if space is not None and space != expected:
            raise SpaceError(space, expected, "association model")
        self.eval()
        x = torch.as_tensor(np.asarray(x, dtype=np.float32), device=self.log_scale.device)
        return project(x).cpu().numpy()

    def save(self, folder: str | Path, metrics: dict[str, Any], made_by: dict[str, Any] | None = None) -> Path:
        """Writes the checkpoint folder; `made_by` is the resolved configuration and the data of the run."""
        config = {
            "face_space": self.face_space,
            "voice_space": self.voice_space,
            "d_face": len(self.face_input.mean),
            "d_voice": len(self.voice_input.mean),
            "model": self.config.model_dump(),
            "calibration": self.calibration and asdict(self.calibration),
            "made_by": checkpoint.with_encoders(self.encoders, made_by),
        }
        tensors = {**self.state_dict(), SEEN: self.seen}
        return checkpoint.save(folder, KIND, tensors, config, metrics, ABOUT)

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> "AssociationModel":
        """Returns the model of a checkpoint folder, ready to use.

        Raises:
            InputError: not such a checkpoint.
        """
        tensors, config, _ = checkpoint.load(folder, KIND)
        with checkpoint.as_it_was(folder):
            names = ("face_space", "voice_space", "d_face", "d_voice")
            model = cls(*(config[name] for name in names), AssociationConfig(**config["model"]))
            model.seen = tensors.pop(SEEN).numpy()
            model.calibration = ScoreCalibration.of(config)
            model.encoders = checkpoint.encoders_of(config)
            model.load_state_dict(tensors)
        return model.eval().to(device)
