"""Held-out people: apart from those who are trained on, they say when training stops and calibrate the model."""

from typing import Any

import numpy as np

from vclip.association.base import Association
from vclip.association.metrics import ScoredTrials, all_trials, auc
from vclip.association.pairs import Pairs
from vclip.association.scores import clip_scores
from vclip.errors import InputError

DEV_CLIPS = 4000  # scored all with all at every evaluation


def check_data(pairs: Pairs, dev: Pairs | None, among: np.ndarray | None = None) -> None:
    """Raises InputError if a training vector cannot be used, a person is in both, or dev has fewer than two."""
    pairs.check_vectors()
    if dev is None:
        return
    both = set(pairs.identity if among is None else pairs.identity[among]) & set(dev.identity)
    if both:
        raise InputError(f"identity '{min(both)}' is in both training and dev data; split them by person")
    if len(set(dev.identity)) < 2:
        raise InputError("dev data: found fewer than two people, expected at least two to compare")


def trials_of(model: Association, dev: Pairs) -> ScoredTrials:
    """Returns the trials of all faces with all voices of held-out people, scored by a model."""
    return all_trials(clip_scores(model, dev), dev.people())


def dev_auc(model: Any, dev: Pairs) -> float:
    """Returns the verification AUC of a model on the clips of held-out people."""
    return auc(trials_of(model, dev))


def hashes_of_both(pairs: Pairs, dev: Pairs | None) -> np.ndarray:
    """Returns the hashes (n,) int64 of everyone in training or early stopping, which a model records as `seen`."""
    return pairs.hashes() if dev is None else np.union1d(pairs.hashes(), dev.hashes())
