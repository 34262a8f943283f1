"""Association models embed faces and voices into one space; the cosine there says how well a voice suits a face.

`Association` is the protocol of every model; `TwoSidedModel` is the base of the models of the toolkit: it embeds
arrays, holds the calibration and the hashes of the training people, and reads and writes checkpoints.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from vclip import checkpoint
from vclip.association.calibration import ScoreCalibration
from vclip.association.metrics.scored_trials import ScoredTrials
from vclip.device import torch_device
from vclip.errors import InputError, SpaceError

KIND = "association"
CHUNK = 65_536  # rows; all at once, a million would be held twice
_SEEN = "seen"  # the tensor of a checkpoint that holds the hashes of the training people
UNKNOWN_TRAINING_PEOPLE = (
    "unknown training people: the test may contain people that the model was trained on, which raises every figure"
)


class Standardize(nn.Module):
    """Subtracts the training mean and divides by one scale, so that cosines are between deviations from the mean."""

    mean: Tensor  # (dim,)
    scale: Tensor  # ()

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(()))

    def fit(self, x: Tensor) -> None:
        """Sets the mean and the scale to those of x (n, dim); its entries then have a mean square of one."""
        self.mean.copy_(x.mean(0))
        total = torch.zeros((), dtype=torch.float64, device=x.device)
        for part in x.split(CHUNK):
            total += (part - self.mean).square().sum(dtype=torch.float64)
        self.scale.copy_((total / x.numel()).sqrt().clamp_min(1e-8))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.scale


class Association(Protocol):
    """A face-voice association model; its score is the cosine of an embedded face and an embedded voice."""

    face_space: str  # the space of the vectors that `embed_faces` takes
    voice_space: str  # the space of the vectors that `embed_voices` takes
    face_input: Standardize  # its mean is the mean of the training faces
    calibration: ScoreCalibration | None  # from cosines to probabilities; None if not calibrated
    encoders: Mapping[str, str]  # space -> the spec that opens its encoder; empty if none is recorded
    # (n,) int64, `Pairs.hashes` of everyone in training or early stopping; evaluation leaves these people out. Empty
    # means unknown: test people may have been trained on, and every figure has a warning.
    seen: np.ndarray

    def embed_faces(self, x: np.ndarray) -> np.ndarray:
        """Returns embeddings (n, dim) float32, unit norm, of face vectors (n, d_face)."""
        ...

    def embed_voices(self, e: np.ndarray) -> np.ndarray:
        """Returns embeddings (n, dim) float32, unit norm, of voice vectors (n, d_voice)."""
        ...


@runtime_checkable
class DifferentiableAssociation(Association, Protocol):
    """A model whose score is differentiable in the voice, as guided search needs; all methods of Vclip are."""

    def project_voices(self, e: Tensor) -> Tensor:
        """Returns embeddings (n, dim), unit norm, of voice vectors (n, d_voice); differentiable in `e`."""
        ...


def device_of(model: Association) -> torch.device:
    """Returns the device of a torch model; the CPU for other models."""
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    return next((parameter.device for parameter in parameters), torch.device("cpu"))


def training_people(model: Any) -> np.ndarray:
    """Returns the hashes (n,) int64 that a model records of its training people; empty if unknown.

    Args:
        model: the model; its attribute `seen` may be missing or None.
    """
    seen = getattr(model, "seen", None)
    return np.zeros(0, np.int64) if seen is None else np.asarray(seen)


def warning_of(*models: Any) -> str | None:
    """Returns UNKNOWN_TRAINING_PEOPLE if a model does not record its training people, else None."""
    return None if all(len(training_people(model)) for model in models) else UNKNOWN_TRAINING_PEOPLE


class TwoSidedModel(nn.Module):
    """The base of association models: standardised inputs, embeddings of arrays, calibration, checkpoints.

    Args:
        face_space, voice_space: the spaces of the vectors.
        d_face, d_voice: the dimensions of the vectors.
        seen: (n,) int64, `Pairs.hashes` of everyone in training or early stopping; empty means unknown.
    """

    about = ""  # one paragraph for a checkpoint's README
    keys: tuple[str, ...] = ()  # of config.json, which only checkpoints of this class have

    def __init__(self, face_space: str, voice_space: str, d_face: int, d_voice: int, seen: np.ndarray | None = None):
        super().__init__()
        self.face_space, self.voice_space = face_space, voice_space
        self.face_input, self.voice_input = Standardize(d_face), Standardize(d_voice)
        self.seen = np.zeros(0, np.int64) if seen is None else seen
        self.calibration: ScoreCalibration | None = None
        self.encoders: Mapping[str, str] = {}

    @abstractmethod
    def project_faces(self, x: Tensor) -> Tensor:
        """Returns embeddings (n, dim), unit norm, of face vectors (n, d_face)."""

    @abstractmethod
    def project_voices(self, e: Tensor) -> Tensor:
        """Returns embeddings (n, dim), unit norm, of voice vectors (n, d_voice); differentiable in `e`."""

    @abstractmethod
    def shape(self) -> dict[str, Any]:
        """Returns the part of config.json that rebuilds the networks."""

    @classmethod
    @abstractmethod
    def rebuilt(cls, config: Mapping[str, Any]) -> Self:
        """Returns an untrained model with the shape that a config.json states."""

    @property
    def device(self) -> torch.device:
        return self.face_input.mean.device

    def embed_faces(self, x: np.ndarray, space: str | None = None) -> np.ndarray:
        """Returns embeddings (n, dim) float32, unit norm, of face vectors (n, d_face).

        Raises:
            SpaceError: `space` is given and is not the face space of this model.
        """
        return self._embed(self.project_faces, x, space, self.face_space)

    def embed_voices(self, e: np.ndarray, space: str | None = None) -> np.ndarray:
        """Returns embeddings (n, dim) float32, unit norm, of voice vectors (n, d_voice).

        Raises:
            SpaceError: `space` is given and is not the voice space of this model.
        """
        return self._embed(self.project_voices, e, space, self.voice_space)

    @torch.inference_mode()
    def _embed(
        self, project: Callable[[Tensor], Tensor], x: np.ndarray, space: str | None, expected: str
    ) -> np.ndarray:
        if space is not None and space != expected:
            raise SpaceError(space, expected, "association model")
        self.eval()
        vectors = torch.as_tensor(np.ascontiguousarray(x, np.float32), device=self.device)
        with torch.autocast(self.device.type, enabled=False):  # one precision, inside a bf16 training step too
            return project(vectors).cpu().numpy()

    def calibrate(self, trials: Sequence[ScoredTrials], seed: int = 0) -> None:
        """Fits `calibration` to trials of people that the model was not trained on; see `ScoreCalibration.fit`."""
        self.calibration = ScoreCalibration.fit(trials, seed)

    def save(self, folder: str | Path, metrics: dict[str, Any], made_by: dict[str, Any] | None = None) -> Path:
        """Writes a checkpoint folder and returns it.

        Args:
            folder: the folder to write; see `checkpoint.save`.
            metrics: JSON-ready measurements.
            made_by: the resolved configuration and the data of the run.
        """
        config = {
            "face_space": self.face_space,
            "voice_space": self.voice_space,
            **self.shape(),
            "calibration": self.calibration and asdict(self.calibration),
            "made_by": checkpoint.with_encoders(self.encoders, made_by),
        }
        return checkpoint.save(folder, KIND, {**self.tensors(), _SEEN: self.seen}, config, metrics, self.about)

    @classmethod
    def load(cls, folder: str | Path, device: str | None = None) -> Self:
        """Returns the model of a checkpoint folder, in evaluation mode.

        Args:
            folder: the folder.
            device: "cpu", "cuda", ...; None selects a GPU if there is one.

        Raises:
            InputError: not a checkpoint, a checkpoint of another kind of model, or one that lacks weights.
        """
        tensors, config, _ = checkpoint.load(folder, KIND)
        method = recorded_method(config)
        if method and not all(key in config for key in cls.keys):
            raise InputError(
                f"checkpoint {folder}: holds a model of the method '{method}', expected one of the class "
                f"{cls.__name__}; vclip.load_association loads the models of all methods"
            )
        weights = {name: tensor for name, tensor in tensors.items() if name != _SEEN}
        with checkpoint.as_it_was(folder):
            model = checkpoint.rebuilt(
                folder,
                {name: value for name, value in config.items() if name not in ("made_by", "calibration")},
                lambda: cls.rebuilt(config),
                lambda model: model.completed(weights),
            )
            model.seen = tensors[_SEEN].numpy()
            model.calibration = ScoreCalibration.of(config)
            model.encoders = checkpoint.encoders_of(config)
        checkpoint.load_weights(folder, model, model.completed(weights))
        return model.eval().to(torch_device(device))

    def tensors(self) -> dict[str, Tensor]:
        """Returns the weights to write."""
        return self.state_dict()

    def completed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the weights of a checkpoint, together with those that `tensors` leaves out."""
        return dict(tensors)

    def __repr__(self) -> str:
        people = f"{len(self.seen):,} hashes of training people and clips" if len(self.seen) else "unknown"
        return (
            f"{type(self).__name__}({self.face_space!r} ({len(self.face_input.mean)}) with {self.voice_space!r} "
            f"({len(self.voice_input.mean)}); {sum(p.numel() for p in self.parameters()):,} weights; "
            f"{'calibrated' if self.calibration else 'not calibrated'}; trained on: {people})"
        )


def recorded_method(config: Mapping[str, Any]) -> str:
    """Returns the spec of the method in a checkpoint's config.json; "" if none is recorded."""
    made_by = config.get("made_by")
    found = (made_by if isinstance(made_by, dict) else {}).get("method") or config.get("method")
    return found if isinstance(found, str) else ""
