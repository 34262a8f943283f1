"""Centring: a model for another domain, whose mean face and mean voice take the place of those of the training.

Cameras, microphones and ways of speaking move all vectors of a data set alike. The model subtracts the means of its
training; `centred` has it subtract those of the data at hand instead, for which nobody needs to be named. It assumes
that the people are alike on average: where the training has as many women as men and the data have few, centring
moves men towards women. docs/association.md has what was measured.
"""

import copy

import numpy as np
import torch

from vclip.association.base import Association, TwoSidedModel
from vclip.errors import InputError

FEW_CLIPS = 100  # below, the means are those of the people rather than of the domain


def centred(model: Association, faces: np.ndarray | None = None, voices: np.ndarray | None = None) -> TwoSidedModel:
    """Returns a copy of a model that subtracts other means from vectors.

    Args:
        model: one with means of its own, as all methods of Vclip have.
        faces: (d_face,) mean of the face vectors of the data; that of the training if None.
        voices: (d_voice,) likewise.

    Raises:
        InputError: the model has no means, or a mean of another length or with NaN is given.
    """
    if not isinstance(model, TwoSidedModel):
        raise InputError(f"centring: a {type(model).__name__} has no means of its training, expected a TwoSidedModel")
    other = copy.deepcopy(model)
    for what, mean, given in (("face", other.face_input.mean, faces), ("voice", other.voice_input.mean, voices)):
        if given is None:
            continue
        if given.shape != tuple(mean.shape) or not np.isfinite(given).all():
            raise InputError(f"centring: a {what} mean of shape {given.shape}, expected ({len(mean)},), all finite")
        mean.copy_(torch.as_tensor(given, dtype=mean.dtype, device=mean.device))
    return other
