"""The losses of training: CLIP's symmetric contrastive loss and, for comparison, the supervised GE2E loss.

Packages add losses in the entry-point group `vclip.losses`; see `Loss` and `vclip.registry`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vclip.registry import Plugin, Registry


@dataclass(frozen=True)
class Loss:
    """A loss over the faces and voices of a batch of people.

    `compute` takes (faces, voices, log_scale, label_smoothing, doubtful) and returns a scalar. faces and voices are
    (batch, dim), unit norm, and row i of both is one person; with `several_views` they are (people, views, dim).
    log_scale () is the logarithm of a trained inverse temperature; doubtful is as of `clip_loss`, None with several
    views.
    """

    compute: Callable[[Tensor, Tensor, Tensor, float, Tensor | None], Tensor]
    several_views: bool = False  # whether it takes `views` faces and voices of each person


LOSSES: Registry[Loss] = Registry(
    "loss",
    "vclip.losses",
    ("compute", "several_views"),
    "vclip.association.losses.Loss",
    (
        Plugin("clip", f"{__name__}:CLIP", about="CLIP's symmetric contrastive loss"),
        Plugin("sge2e", f"{__name__}:SGE2E", about="supervised GE2E, over several views of each person"),
    ),
)


def clip_loss(
    faces: Tensor,
    voices: Tensor,
    log_scale: Tensor,
    label_smoothing: float = 0.0,
    doubtful: Tensor | None = None,
) -> Tensor:
    """Returns the mean of the face-to-voice and voice-to-face cross entropies (Radford et al., 2021, fig. 3).

    Equal to `open_clip.ClipLoss` (tested), with label smoothing, and without doubtful negatives.

    Args:
        faces, voices: (batch, dim), unit norm; row i of both is one person, and each row is another person.
        log_scale: (), the logarithm of the inverse temperature.
        label_smoothing: the share of the target that is spread over the batch.
        doubtful: (batch, batch) bool, symmetric, False on the diagonal: rows that may be of one person, and so count
            neither as positives nor as negatives.
    """
    logits = log_scale.exp() * faces @ voices.T  # (batch, batch)
    if doubtful is None:
        target = torch.arange(len(logits), device=logits.device)
        losses = [F.cross_entropy(rows, target, label_smoothing=label_smoothing) for rows in (logits, logits.T)]
    else:
        losses = [_without(doubtful, rows, label_smoothing) for rows in (logits, logits.T)]
    return (losses[0] + losses[1]) / 2


def _without(doubtful: Tensor, logits: Tensor, label_smoothing: float) -> Tensor:
    """Returns the mean cross entropy of each row with its own column, without the doubtful columns."""
    log_p = logits.masked_fill(doubtful, -torch.inf).log_softmax(dim=1)
    spread = log_p.masked_fill(doubtful, 0).sum(dim=1) / (~doubtful).sum(dim=1)
    return -((1 - label_smoothing) * log_p.diagonal() + label_smoothing * spread).mean()


def sge2e_loss(faces: Tensor, voices: Tensor, log_scale: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Returns the supervised GE2E loss (Goto et al., 2020; Wan et al., 2018): faces against mean voices of people.

    Args:
        faces, voices: (people, views, dim), unit norm; the mean of the voices of a person is their centroid.
        log_scale: (), the logarithm of the weight of the cosines. GE2E's offset cancels in the softmax.
        label_smoothing: the share of the target that is spread over the batch.
    """
    centroids = F.normalize(voices.mean(dim=1), dim=-1)
    logits = log_scale.exp() * faces.flatten(0, 1) @ centroids.T  # (people * views, people)
    target = torch.arange(len(faces), device=faces.device).repeat_interleave(faces.shape[1])
    return F.cross_entropy(logits, target, label_smoothing=label_smoothing)


CLIP = Loss(clip_loss)
SGE2E = Loss(
    lambda faces, voices, log_scale, label_smoothing, doubtful: sge2e_loss(faces, voices, log_scale, label_smoothing),
    several_views=True,
)
