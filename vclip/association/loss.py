"""The symmetric contrastive loss of CLIP (Radford et al., 2021, fig. 3)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def clip_loss(faces: Tensor, voices: Tensor, log_scale: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Returns the mean of the face-to-voice and voice-to-face cross entropies.

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
