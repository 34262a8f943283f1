"""What training makes small: CLIP's symmetric contrastive loss, or, to compare, the supervised GE2E loss."""

import torch
import torch.nn.functional as F
from torch import Tensor


def clip_loss(faces: Tensor, voices: Tensor, log_scale: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Returns the mean of the face-to-voice and voice-to-face cross entropies (Radford et al., 2021, fig. 3).

    Equal to `open_clip.ClipLoss` (tested), plus label smoothing.

    Args:
        faces, voices: (batch, dim), unit norm; row i of one belongs with row i of the other and no other row does.
        log_scale: (), the logarithm of the inverse temperature.
        label_smoothing: the share of the target that is spread over the batch.
    """
    logits = log_scale.exp() * faces @ voices.T  # (batch, batch)
    target = torch.arange(len(logits), device=logits.device)
    losses = (F.cross_entropy(rows, target, label_smoothing=label_smoothing) for rows in (logits, logits.T))
    return sum(losses) / 2


def sge2e_loss(faces: Tensor, voices: Tensor, log_scale: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Returns the supervised GE2E loss (Goto et al., 2020; Wan et al., 2018): each face finds its person's voice.

    Args:
        faces, voices: (people, views, dim), unit norm; the voices of a person stand for them as their mean.
        log_scale: (), the logarithm of the weight of the cosines. GE2E's offset falls out of the softmax.
        label_smoothing: the share of the target that is spread over the batch.
    """
    centroids = F.normalize(voices.mean(dim=1), dim=-1)
    logits = log_scale.exp() * faces.flatten(0, 1) @ centroids.T  # (people * views, people)
    target = torch.arange(len(faces), device=faces.device).repeat_interleave(faces.shape[1])
    return F.cross_entropy(logits, target, label_smoothing=label_smoothing)
