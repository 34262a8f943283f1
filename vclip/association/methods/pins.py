"""Learnable PINs (Nagrani et al., 2018): a contrastive loss with negatives that become harder during training.

Re-implemented from the paper on frozen vectors; the paper trains its networks from pixels and spectrograms.
"""

import torch
from torch import Tensor

from vclip.association.methods.towers import TowersFit

MARGIN = 0.6  # distance of unit vectors beyond which a negative has no loss
FIRST, LAST, HARDER_EVERY = 0.3, 0.8, 50  # share of the negatives that are easier than the chosen one; steps
STEP = 0.1


def curriculum_loss(faces: Tensor, voices: Tensor, clips: Tensor, step: int) -> Tensor:
    """Returns the contrastive loss over positives and, for each face and each voice, one negative of the batch.

    Args:
        faces, voices: (batch, dim), unit norm; row i of both is one person.
        clips: not used.
        step: from 1 on; determines how hard the negative is.
    """
    hardness = min(LAST, FIRST + STEP * (step // HARDER_EVERY))
    cosine = faces @ voices.T
    itself = torch.eye(len(faces), dtype=torch.bool, device=faces.device)
    among = cosine.masked_fill(itself, 2)  # above all negatives, so that it is never chosen
    rank = 1 + min(len(faces) - 2, int(hardness * (len(faces) - 1)))  # from the farthest to the nearest
    negatives = torch.cat([among.kthvalue(rank, dim).values for dim in (0, 1)])
    positive = (2 - 2 * cosine.diagonal()).mean()
    return positive + (MARGIN - _distance(negatives)).clamp_min(0).square().mean()


def _distance(cosine: Tensor) -> Tensor:
    return (2 - 2 * cosine).clamp_min(1e-6).sqrt()  # the root has no gradient at zero


fit = TowersFit("pins", lambda model, pairs, seed: (curriculum_loss, None))
