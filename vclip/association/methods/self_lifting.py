"""Self-Lifting (Chen et al., 2022): clustering face and voice together and metric learning on the clusters, in turn.

Re-implemented from the paper on frozen vectors. It needs no identities. The towers share their last layers; the loss
is the multi-similarity loss (Wang et al., 2019).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vclip.association.methods.towers import TowerLoss, TowersFit, TwoTowers
from vclip.association.pairs import Pairs, mean_direction

ALPHA, BETA, BASE, CLOSE = 2.0, 50.0, 1.0, 0.1  # of the multi-similarity loss
CLIPS_A_CLUSTER = 10
CLUSTER_EVERY = 50  # steps


class PseudoLabels(nn.Module):
    """The cluster of each clip, found anew every CLUSTER_EVERY steps in the embeddings of the model.

    A module, so that the state of a run holds the clusters: the model has changed when it resumes.
    """

    cluster: Tensor  # (C,) int
    round: Tensor  # (), the number of the round in which they were found, from 0 on; -1 before

    def __init__(self, clips: int):
        super().__init__()
        self.register_buffer("cluster", torch.zeros(clips, dtype=torch.long))
        self.register_buffer("round", torch.tensor(-1))

    def at(self, step: int, model: TwoTowers, pairs: Pairs, seed: int) -> Tensor:
        """Returns the cluster (C,) int of each clip of the pairs at a step from 1 on."""
        number = (step - 1) // CLUSTER_EVERY
        if number != int(self.round):
            self.cluster.copy_(_clusters(model, pairs, seed))
            self.round.fill_(number)
        return self.cluster


def _clusters(model: TwoTowers, pairs: Pairs, seed: int) -> Tensor:
    from sklearn.cluster import MiniBatchKMeans  # slow to import

    training = model.training
    faces = mean_direction(model.embed_faces(pairs.faces), pairs.face_clip, len(pairs))
    voices = mean_direction(model.embed_voices(pairs.voices), pairs.voice_clip, len(pairs))
    model.train(training)
    count = max(2, len(pairs) // CLIPS_A_CLUSTER)
    restarts: Any = 3  # scikit-learn documents 'auto' or an int, but declares a str
    means = MiniBatchKMeans(count, batch_size=4096, n_init=restarts, random_state=seed)
    return torch.as_tensor(means.fit_predict(np.hstack([faces, voices])).astype(np.int64))


def multi_similarity_loss(vectors: Tensor, label: Tensor) -> Tensor:
    """Returns the multi-similarity loss of vectors (n, dim), unit norm, with class labels (n,) int."""
    cosine = vectors @ vectors.T
    itself = torch.eye(len(label), dtype=torch.bool, device=label.device)
    same = (label[:, None] == label[None, :]) & ~itself
    other = ~same & ~itself
    # Only pairs in the wrong order count: positives less similar than some negative, and the other way round.
    least, most = cosine.masked_fill(~same, 9).amin(1), cosine.masked_fill(~other, -9).amax(1)
    hard_same, hard_other = same & (cosine - CLOSE < most[:, None]), other & (cosine + CLOSE > least[:, None])
    # With BASE = 1 no exponential overflows.
    pull = ((-ALPHA * (cosine - BASE)).exp() * hard_same).sum(1).log1p() / ALPHA
    push = ((BETA * (cosine - BASE)).exp() * hard_other).sum(1).log1p() / BETA
    return (pull + push).mean()


def _start(model: TwoTowers, pairs: Pairs, seed: int) -> tuple[TowerLoss, nn.Module]:
    labels = PseudoLabels(len(pairs))

    def loss(faces: Tensor, voices: Tensor, clips: Tensor, step: int) -> Tensor:
        label = labels.at(step, model, pairs, seed)[clips]
        return multi_similarity_loss(torch.cat([faces, voices]), torch.cat([label, label]))

    return loss, labels


fit = TowersFit("self-lifting", _start, shared=True)
