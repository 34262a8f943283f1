"""Learnable PINs (Nagrani et al., 2018): a contrastive loss whose negatives get harder as training goes on.

Re-implemented from the paper on frozen vectors; there the networks were trained from pixels and spectrograms.
"""

from pathlib import Path

import torch
from torch import Tensor

from vclip.association.loop import History, OnStep, device_of
from vclip.association.methods.towers import TwoTowers, train_towers
from vclip.association.pairs import Pairs
from vclip.association.randomness import seeded
from vclip.association.training import TrainConfig, hashes_of_both

MARGIN = 0.6  # a negative farther than this, in unit vectors, is far enough
FIRST, LAST, HARDER_EVERY = 0.3, 0.8, 50  # share of the negatives that the chosen one is harder than; steps
STEP = 0.1


def train(
    pairs: Pairs,
    dev: Pairs | None,
    face_space: str,
    voice_space: str,
    config: TrainConfig,
    on_step: OnStep | None = None,
    state: Path | None = None,
) -> tuple[TwoTowers, History]:
    """Returns the trained towers and the history; see `training.fit`."""
    with seeded(config.seed, device_of(config)):
        model = TwoTowers(
            "pins",
            face_space,
            voice_space,
            pairs.faces.shape[1],
            pairs.voices.shape[1],
            seen=hashes_of_both(pairs, dev),
        )
        return train_towers(model, pairs, dev, config, on_step, state, curriculum_loss)


def curriculum_loss(faces: Tensor, voices: Tensor, clips: Tensor, step: int) -> Tensor:
    """Returns the contrastive loss over positives and, for each face and each voice, one negative of the batch.

    Args:
        faces, voices: (batch, dim), unit norm; row i of one belongs with row i of the other.
        clips: not used.
        step: from 1 on; sets how hard the negative is.
    """
    hardness = min(LAST, FIRST + STEP * (step // HARDER_EVERY))
    cosine = faces @ voices.T
    itself = torch.eye(len(faces), dtype=torch.bool, device=faces.device)
    among = cosine.masked_fill(itself, 2)  # above all others, so that it counts as none of them
    rank = 1 + min(len(faces) - 2, int(hardness * (len(faces) - 1)))  # from the farthest to the nearest
    negatives = torch.cat([among.kthvalue(rank, dim).values for dim in (0, 1)])
    positive = (2 - 2 * cosine.diagonal()).mean()
    return positive + (MARGIN - _distance(negatives)).clamp_min(0).square().mean()


def _distance(cosine: Tensor) -> Tensor:
    return (2 - 2 * cosine).clamp_min(1e-6).sqrt()  # where vectors coincide it has no gradient
