"""The start of training: linear paths in closed form, and the temperature that fits them best."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vclip.association import likelihood, linear
from vclip.association.base import Standardize
from vclip.association.losses import clip_loss
from vclip.association.model import AssociationModel
from vclip.association.pairs import Pairs, clip_means
from vclip.device import with_float64

SCALE_CLIPS = 1024  # of which the temperature is found
LOG_SCALES = tuple(np.linspace(0, 5, 51).tolist())


@dataclass(frozen=True)
class LinearStart:
    """The closed-form maps of standardised vectors to which the linear paths are set."""

    shrinkage: float  # 0..1, as chosen by cross-validation; 1 for a ridge regression
    maps: linear.Maps | likelihood.LikelihoodMaps
    face_mean: Tensor  # (d_face,) float64, over clips
    voice_mean: Tensor  # (d_voice,) float64
    canonical: bool  # whether the entries of mapped vectors are canonical directions, the strongest first

    @classmethod
    @torch.no_grad()
    def of(
        cls, kind: str, face_input: Standardize, voice_input: Standardize, pairs: Pairs, seed: int
    ) -> "LinearStart":
        """Returns the start of a kind (likelihood, cca or ridge), fitted to clips on a device with float64."""
        device = face_input.mean.device
        exact = with_float64(device)
        faces, voices = clip_tensors(pairs, device)
        x, y = face_input(faces).to(exact), voice_input(voices).to(exact)
        people = pairs.people()
        if kind == "likelihood":
            shrinkage, maps = likelihood.fit(x, y, people, seed)
        else:
            shrinkage, maps = linear.fit(kind, x, y, people, seed)
        return cls(shrinkage, maps, x.double().mean(0), y.double().mean(0), kind != "ridge")

    @torch.no_grad()
    def put_into(self, model: AssociationModel, pairs: Pairs) -> None:
        """Sets the linear paths of an untrained model and freezes them."""
        for path, matrix, mean in (
            (model.face_projection.linear, self.maps.face, self.face_mean),
            (model.voice_projection.linear, self.maps.voice, self.voice_mean),
        ):
            assert path is not None, "fit refuses a start without linear paths"
            path.weight.copy_(matrix.T.float())
            path.bias.copy_((-mean @ matrix).float())
            path.requires_grad_(False)
        if model.sphere is not None and isinstance(self.maps, likelihood.LikelihoodMaps):
            faces, voices = clip_tensors(pairs, model.device)
            faces = model.face_projection(model.face_input(faces))
            correlation = self.maps.correlation.float()
            model.sphere.fit(correlation, faces, model.voice_projection(model.voice_input(voices)))

    def leading(self, directions: int) -> "LinearStart":
        """Returns the start with the first canonical directions alone; the others are zero."""
        return replace(self, maps=self.maps.leading(directions))


@torch.no_grad()
def set_temperature(model: AssociationModel, pairs: Pairs, seed: int) -> None:
    """Sets the inverse temperature with the least loss before training."""
    faces, voices = clip_tensors(pairs.at_most(SCALE_CLIPS, seed), model.device)
    sides = model.eval().project_faces(faces), model.project_voices(voices)
    loss = {value: clip_loss(*sides, torch.tensor(value, device=model.device)) for value in LOG_SCALES}
    model.log_scale.fill_(min(LOG_SCALES, key=lambda value: float(loss[value])))


def clip_tensors(pairs: Pairs, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Returns the mean face (C, d_face) and the mean voice (C, d_voice) of each clip."""
    # Sums by numpy: index_add on a GPU adds in varying order, and one seed would give several results.
    sides = (pairs.faces, pairs.face_clip), (pairs.voices, pairs.voice_clip)
    faces, voices = (torch.as_tensor(clip_means(rows, clip, len(pairs)), device=device) for rows, clip in sides)
    return faces, voices
