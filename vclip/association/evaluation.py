"""Evaluation: verification on people that training never saw, with intervals, and cross-validation over people."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vclip.association.metrics import all_trials, auc, auc_interval, equal_error_rate, roc
from vclip.association.model import AssociationModel
from vclip.association.pairs import Pairs, mean_direction
from vclip.errors import InputError


@dataclass(frozen=True)
class Evaluation:
    """How well faces and voices were matched. Rates are 0..1."""

    auc: float
    auc_low: float  # 95 % interval, bootstrapped over people
    auc_high: float
    eer: float
    auc_same_gender: float | None  # negatives of the same gender only; None where the data has too few
    clips: int
    people: int
    roc_false_alarm: list[float]
    roc_hit: list[float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def clip_scores(model: AssociationModel, pairs: Pairs) -> np.ndarray:
    """Returns the cosines (C, C) float32 of the face of each clip (rows) with the voice of each (columns).

    A clip's face and voice are the normed means over its views.
    """
    faces = mean_direction(model.embed_faces(pairs.faces), pairs.face_clip, len(pairs))
    voices = mean_direction(model.embed_voices(pairs.voices), pairs.voice_clip, len(pairs))
    return faces @ voices.T


def unseen(model: AssociationModel, pairs: Pairs) -> Pairs:
    """Returns the clips of people who had no part in the model's training or its stopping."""
    return pairs.select(~pairs.seen_in(model.seen))


def evaluate(model: AssociationModel, pairs: Pairs, seed: int = 0) -> Evaluation:
    """Returns the verification figures of all faces against all voices of `pairs`.

    Raises:
        InputError: fewer than two people, or one that the model was trained on; names it. See `unseen`.
    """
    seen = pairs.seen_in(model.seen)
    if seen.any():
        raise InputError(f"identity '{pairs.identity[seen][0]}' was in the model's training; evaluate on others")
    if len(set(pairs.identity)) < 2:
        raise InputError(f"found {len(set(pairs.identity))} people to evaluate on, expected at least 2")
    return _evaluate_scores(clip_scores(model, pairs), pairs, seed)


def cross_validate(
    pairs: Pairs,
    train_one: Callable[[Pairs, int], AssociationModel],
    folds: int = 5,
    seed: int = 0,
) -> list[Evaluation]:
    """Returns one evaluation per fold over people.

    Args:
        pairs: all clips.
        train_one: called with the clips outside a fold and the fold's number; it must split its own dev set off
            them, so that the people of the fold are unseen by training and by its stopping alike.
    """
    fold = pairs.folds(folds, seed)
    results = []
    for number in range(folds):
        model = train_one(pairs.select(fold != number), number)
        results.append(evaluate(model, pairs.select(fold == number), seed))
    return results


def _evaluate_scores(scores: np.ndarray, pairs: Pairs, seed: int) -> Evaluation:
    people = pairs.people()
    trials = all_trials(scores, people)
    low, high = auc_interval(scores, people, seed=seed)
    same_gender = auc(all_trials(scores, people, pairs.gender)) if (pairs.gender != "").any() else float("nan")
    same_gender = None if np.isnan(same_gender) else same_gender  # NaN is not JSON
    false_alarm, hit = roc(trials)
    return Evaluation(
        auc(trials), low, high, equal_error_rate(trials), same_gender, len(pairs), int(people.max()) + 1,
        false_alarm.tolist(), hit.tolist(),
    )  # fmt: skip
