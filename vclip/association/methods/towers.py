"""Two small networks of the same form, one for faces and one for voices: the shape of most published methods."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vclip import checkpoint
from vclip.association.calibration import ScoreCalibration
from vclip.association.loop import Batches, History, OnStep, device_of, run
from vclip.association.pairs import Pairs
from vclip.association.projections import Standardize
from vclip.association.training import DEV_CLIPS, TrainConfig, check_apart, dev_auc, some_clips
from vclip.errors import SpaceError

KIND = "association"


class TwoTowers(nn.Module):
    """Dropout and a layer of its own for each side, then two layers that both may share; ReLU between them.

    Args:
        method: the name of the method that trains it.
        face_space, voice_space: of the vectors.
        d_face, d_voice: their dimensions.
        hidden: of the layers between.
        dim: of the embeddings.
        dropout: of the vectors.
        shared: whether faces and voices pass the same last two layers.
    """

    def __init__(
        self,
        method: str,
        face_space: str,
        voice_space: str,
        d_face: int,
        d_voice: int,
        hidden: int = 256,
        dim: int = 128,
        dropout: float = 0.5,
        shared: bool = False,
    ):
        super().__init__()
        self.method, self.face_space, self.voice_space = method, face_space, voice_space
        self.shape = {
            "d_face": d_face, "d_voice": d_voice, "hidden": hidden, "dim": dim, "dropout": dropout, "shared": shared,
        }  # fmt: skip
        self.face_input, self.voice_input = Standardize(d_face), Standardize(d_voice)
        self.face_front, self.voice_front = (
            nn.Sequential(nn.Dropout(dropout), nn.Linear(d, hidden), nn.ReLU()) for d in (d_face, d_voice)
        )
        self.face_rear = _rear(hidden, dim)
        self.voice_rear = self.face_rear if shared else _rear(hidden, dim)
        self.seen = np.zeros(0, np.int64)  # Pairs.hashes of everyone in training or stopping
        self.encoders: dict[str, str] = {}  # space -> the spec that opens its encoder, as a checkpoint records it
        self.calibration: ScoreCalibration | None = None  # of its cosines; `training.train` gives it one

    def project_faces(self, x: Tensor) -> Tensor:
        """Returns (n, dim) unit norm of face vectors (n, d_face)."""
        return F.normalize(self.face_rear(self.face_front(self.face_input(x))), dim=-1)

    def project_voices(self, e: Tensor) -> Tensor:
        """Returns (n, dim) unit norm of voice vectors (n, d_voice)."""
        return F.normalize(self.voice_rear(self.voice_front(self.voice_input(e))), dim=-1)

    @torch.inference_mode()
    def embed_faces(self, x: np.ndarray, space: str | None = None) -> np.ndarray:
        """As `AssociationModel.embed_faces`."""
        return self._embed(self.project_faces, x, space, self.face_space)

    @torch.inference_mode()
    def embed_voices(self, e: np.ndarray, space: str | None = None) -> np.ndarray:
        """As `AssociationModel.embed_voices`."""
        return self._embed(self.project_voices, e, space, self.voice_space)

    def _embed(self, project: Any, x: np.ndarray, space: str | None, expected: str) -> np.ndarray:
        if space is not None and space != expected:
            raise SpaceError(space, expected, f"association model ({self.method})")
        self.eval()
        return project(torch.as_tensor(np.asarray(x, np.float32), device=self.face_input.mean.device)).cpu().numpy()

    def save(self, folder: str | Path, metrics: dict[str, Any], made_by: dict[str, Any] | None = None) -> Path:
        """Writes the checkpoint folder; `made_by` is the resolved configuration and the data of the run."""
        config = {
            "method": self.method,
            "face_space": self.face_space,
            "voice_space": self.voice_space,
            "shape": self.shape,
            "calibration": self.calibration and asdict(self.calibration),
            "made_by": checkpoint.with_encoders(self.encoders, made_by),
        }
        about = f"A face-voice association model of the method '{self.method}', made to compare with."
        return checkpoint.save(folder, KIND, {**self._tensors(), "seen": self.seen}, config, metrics, about)

    def _tensors(self) -> dict[str, Tensor]:
        shared = "voice_rear." if self.shape["shared"] else None
        return {k: v for k, v in self.state_dict().items() if not (shared and k.startswith(shared))}

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> "TwoTowers":
        """Returns the model of a checkpoint folder; raises InputError if it is none."""
        tensors, config, _ = checkpoint.load(folder, KIND)
        with checkpoint.as_it_was(folder):
            model = cls(config["method"], config["face_space"], config["voice_space"], **config["shape"])
            model.seen = tensors.pop("seen").numpy()
            model.calibration = ScoreCalibration.of(config)
            model.encoders = checkpoint.encoders_of(config)
            model.load_state_dict(tensors, strict=False)  # what is shared is written once
        return model.eval().to(device)


def train_towers(
    model: TwoTowers,
    pairs: Pairs,
    dev: Pairs | None,
    config: TrainConfig,
    on_step: OnStep | None,
    state: Path | None,
    loss: Callable[[Tensor, Tensor, Tensor, int], Tensor],
    batches: Batches | None = None,
    beside: nn.Module | None = None,
) -> tuple[TwoTowers, History]:
    """Returns the trained model and its history.

    Args:
        model: fresh.
        pairs, dev, config, on_step, state: as of `training.fit`.
        loss: of faces and voices (batch, dim), unit norm, the rows (batch,) of their clips in `pairs`, and the step.
        batches: those of the training where None.
        beside: what else is trained, as a classifier; it is left behind.
    """
    if dev is not None:
        check_apart(pairs, dev)
    device = device_of(config)
    whole = nn.ModuleDict({"model": model, **({"beside": beside} if beside else {})}).to(device)
    faces, voices = (torch.as_tensor(x, dtype=torch.float32, device=device) for x in (pairs.faces, pairs.voices))
    model.face_input.fit(faces)
    model.voice_input.fit(voices)
    batches = batches or Batches(pairs, config.batch_size, config.seed)

    def step(number: int) -> float:
        face_rows, voice_rows = (rows.flatten() for rows in batches.at(number))
        clips = torch.as_tensor(pairs.face_clip[face_rows], device=device)
        x, e = whole["model"].project_faces(faces[face_rows]), whole["model"].project_voices(voices[voice_rows])
        value = loss(x, e, clips, number)
        value.backward()
        return float(value.detach())

    judges = None if dev is None else some_clips(dev, DEV_CLIPS, config.seed)
    quality = None if dev is None else lambda candidate: dev_auc(candidate["model"], judges)
    best, history = run(whole, step, quality, config, on_step, state, batches.epoch)
    trained = best["model"]
    trained.seen = pairs.hashes() if dev is None else np.union1d(pairs.hashes(), dev.hashes())
    return trained, history


def _rear(hidden: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, dim))
