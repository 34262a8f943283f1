"""Two small networks of the same form, one for faces and one for voices, as in most published methods."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vclip.association.base import TwoSidedModel
from vclip.association.held_out import DEV_CLIPS, check_data, dev_auc, hashes_of_both
from vclip.association.loop import History, OnStep, run
from vclip.association.pairs import Pairs, digest_of
from vclip.association.randomness import seeded
from vclip.association.training import TrainConfig
from vclip.association.training_batches import Batches
from vclip.device import torch_device

DIM = 128  # of the embeddings


class TwoTowers(TwoSidedModel):
    """Two towers: dropout and a layer of each side's own, then two layers that they may share, with ReLU between.

    Args:
        method: the name of the method that trains it.
        face_space, voice_space, d_face, d_voice, seen: as of `TwoSidedModel`.
        hidden: width of the hidden layers.
        dim: dimension of the embeddings.
        dropout: dropout rate of the input vectors.
        shared: whether faces and voices pass through the same last two layers.
    """

    about = "A face-voice association model of a published method, for comparison."
    keys = ("shape",)

    def __init__(
        self,
        method: str,
        face_space: str,
        voice_space: str,
        d_face: int,
        d_voice: int,
        hidden: int = 256,
        dim: int = DIM,
        dropout: float = 0.5,
        shared: bool = False,
        seen: np.ndarray | None = None,
    ):
        super().__init__(face_space, voice_space, d_face, d_voice, seen)
        self.method = method
        self._shape = {
            "d_face": d_face, "d_voice": d_voice, "hidden": hidden, "dim": dim, "dropout": dropout, "shared": shared,
        }  # fmt: skip
        self.face_front, self.voice_front = (
            nn.Sequential(nn.Dropout(dropout), nn.Linear(d, hidden), nn.ReLU()) for d in (d_face, d_voice)
        )
        self.face_rear = _rear(hidden, dim)
        self.voice_rear = self.face_rear if shared else _rear(hidden, dim)

    def project_faces(self, x: Tensor) -> Tensor:
        """Returns embeddings (n, dim), unit norm, of face vectors (n, d_face)."""
        return F.normalize(self.face_rear(self.face_front(self.face_input(x))), dim=-1)

    def project_voices(self, e: Tensor) -> Tensor:
        """Returns embeddings (n, dim), unit norm, of voice vectors (n, d_voice)."""
        return F.normalize(self.voice_rear(self.voice_front(self.voice_input(e))), dim=-1)

    def shape(self) -> dict[str, Any]:
        """Returns the method and the sizes of the layers."""
        return {"method": self.method, "shape": self._shape}

    @classmethod
    def rebuilt(cls, config: Mapping[str, Any]) -> Self:
        """Returns an untrained model with the shape that a config.json states."""
        return cls(config["method"], config["face_space"], config["voice_space"], **config["shape"])

    def tensors(self) -> dict[str, Tensor]:
        """Returns the weights; shared ones once, under the name that faces have for them."""
        left_out = "voice_rear." if self._shape["shared"] else None
        return {k: v for k, v in self.state_dict().items() if not (left_out and k.startswith(left_out))}

    def completed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the weights with the shared ones under both names."""
        shared = {k: v for k, v in tensors.items() if k.startswith("face_rear.")} if self._shape["shared"] else {}
        return {**tensors, **{k.replace("face_rear.", "voice_rear.", 1): v for k, v in shared.items()}}


TowerLoss = Callable[[Tensor, Tensor, Tensor, int], Tensor]


@dataclass(frozen=True)
class TowersFit:
    """The `fit` of a method that trains two towers by a loss of its own; called as `training.fit`.

    Args:
        method: the name of the method.
        start: takes the untrained model, the training pairs and the seed; returns the loss, and a further module that
            is trained along with the model, such as a classifier, or is part of the state of a run, or None. The loss
            takes faces and voices (batch, dim), unit norm, the rows (batch,) of their clips in the pairs, and the
            step from 1 on; it returns a scalar.
        shared: whether faces and voices pass through the same last two layers.
    """

    method: str
    start: Callable[[TwoTowers, Pairs, int], tuple[TowerLoss, nn.Module | None]]
    shared: bool = False

    def __call__(
        self,
        pairs: Pairs,
        dev: Pairs | None,
        face_space: str,
        voice_space: str,
        config: TrainConfig,
        on_step: OnStep | None = None,
        state: Path | None = None,
    ) -> tuple[TwoTowers, History]:
        """Returns the trained model and its history; see `training.fit`."""
        check_data(pairs, dev)
        sizes, seen = (pairs.faces.shape[1], pairs.voices.shape[1]), hashes_of_both(pairs, dev)
        with seeded(config.seed, torch_device(config.device)):
            model = TwoTowers(self.method, face_space, voice_space, *sizes, shared=self.shared, seen=seen)
            return _train(model, *self.start(model, pairs, config.seed), pairs, dev, config, on_step, state)


def _train(
    model: TwoTowers,
    loss: TowerLoss,
    beside: nn.Module | None,
    pairs: Pairs,
    dev: Pairs | None,
    config: TrainConfig,
    on_step: OnStep | None,
    state: Path | None,
) -> tuple[TwoTowers, History]:
    device = torch_device(config.device)
    whole = nn.ModuleDict({"model": model, **({"beside": beside} if beside else {})}).to(device)
    faces, voices = (torch.as_tensor(x, dtype=torch.float32, device=device) for x in (pairs.faces, pairs.voices))
    model.face_input.fit(faces)
    model.voice_input.fit(voices)
    batches = Batches(pairs, config.batch_size, config.seed)

    def step(number: int) -> float:
        face_rows, voice_rows = (rows.flatten() for rows in batches.at(number))
        x_rows, e_rows, clips = (
            torch.as_tensor(rows, device=device) for rows in (face_rows, voice_rows, pairs.face_clip[face_rows])
        )
        x, e = model.project_faces(faces[x_rows]), model.project_voices(voices[e_rows])
        value = loss(x, e, clips, number)
        value.backward()
        return float(value.detach())

    def judge(candidate: nn.Module, judges: Pairs) -> float:
        return dev_auc(candidate.get_submodule("model"), judges)

    quality = None if dev is None else partial(judge, judges=dev.at_most(DEV_CLIPS, config.seed))
    data = digest_of(pairs, dev) if state else ""
    best, history = run(whole, step, quality, config, on_step, state, batches.epoch, data)
    return cast(TwoTowers, best.get_submodule("model")), history


def _rear(hidden: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, dim))
