"""What evaluation and search ask of a model: two embeddings, and a cosine between them."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from vclip.association.calibration import ScoreCalibration
from vclip.association.projections import Standardize


class Association(Protocol):
    """Which voices suit which faces: the cosine of `embed_faces` and `embed_voices` says how well."""

    face_space: str  # of the vectors that `embed_faces` takes
    voice_space: str  # of those that `embed_voices` takes
    face_input: Standardize  # its mean is that of the training faces
    calibration: ScoreCalibration | None  # of its cosines, where they were calibrated
    encoders: Mapping[str, str]  # space -> the spec that opens its encoder; empty where none is recorded
    seen: np.ndarray  # (n,) int64, `Pairs.hashes` of everyone who had a part in training or in stopping it

    def embed_faces(self, x: np.ndarray) -> np.ndarray:
        """Returns (n, dim) float32, unit norm, of face vectors (n, d_face)."""
        ...

    def embed_voices(self, e: np.ndarray) -> np.ndarray:
        """Returns (n, dim) float32, unit norm, of voice vectors (n, d_voice)."""
        ...


@runtime_checkable
class DifferentiableAssociation(Association, Protocol):
    """A model whose score can be climbed by its gradient, as guided search does; every method of Vclip is one."""

    def project_voices(self, e: Tensor) -> Tensor:
        """Returns (n, dim) unit norm of voice vectors (n, d_voice), differentiable in them."""
        ...


def device_of(model: Association) -> torch.device:
    """Returns the device of a torch model; other models are scored on the CPU."""
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    return next((parameter.device for parameter in parameters), torch.device("cpu"))
