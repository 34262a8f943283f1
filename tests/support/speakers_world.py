"""Known speakers of two genders and a model, made up; all weights random."""

import numpy as np
import torch

from vclip.association.model import AssociationConfig, AssociationModel
from vclip.speakers.bank import SpeakerBank

D_FACE, D_VOICE = 7, 12


def two_genders(speakers=240, seed=0):
    """Returns speakers in four clusters, two of each gender, unit norm and non-negative; some have no label."""
    rng = np.random.default_rng(seed)
    centres = 2 * np.random.default_rng(5).random((4, D_VOICE))
    cluster = rng.integers(0, 4, speakers)
    vectors = np.maximum(centres[cluster] + 0.25 * rng.normal(size=(speakers, D_VOICE)), 0)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    gender = np.where(cluster < 2, "f", "m")
    gender[rng.random(speakers) < 0.1] = ""
    return SpeakerBank("voices", np.array([f"s{i}" for i in range(speakers)]), vectors, gender)


def random_model(seed=0):
    torch.manual_seed(seed)
    model = AssociationModel("faces", "voices", D_FACE, D_VOICE, AssociationConfig(hidden=8, coupling_hidden=8))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()
