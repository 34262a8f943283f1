"""The two clusters of people along the direction that faces and voices share most: as a rule, their genders."""

import numpy as np
from torch import Tensor

from vclip.association.linear import Moments, canonical

SHRINKAGE = 0.5


def two_clusters(faces: Tensor, voices: Tensor) -> np.ndarray:
    """Returns which of two clusters, (C,) bool, each clip is in, by the direction that its face and voice share most.

    On people who talk they are the genders, as a rule.
    """
    moments = Moments.of(faces, voices)
    face, voice, _ = canonical(moments, SHRINKAGE)
    of_face = (faces - moments.face / moments.count) @ face[:, 0]
    of_voice = (voices - moments.voice / moments.count) @ voice[:, 0]
    return upper_of_two_clusters((of_face / of_face.std() + of_voice / of_voice.std()).cpu().numpy())


def upper_of_two_clusters(values: np.ndarray) -> np.ndarray:
    """Returns which of the values (n,) are in the upper of two clusters (2-means), (n,) bool."""
    upper = values > values.mean()
    while 0 < upper.sum() < len(values):
        middle = (values[upper].mean() + values[~upper].mean()) / 2
        if (upper == (values > middle)).all():
            break
        upper = values > middle
    return upper
