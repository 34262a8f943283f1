"""Comparison of two models on the same trials, by a paired bootstrap over people."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vclip.association.base import Association, training_people, warning_of
from vclip.association.evaluation import expect_people, some_people
from vclip.association.galleries import count_positives
from vclip.association.metrics import Crossing, Figure, draw_people
from vclip.association.metrics.verification import differences
from vclip.association.pairs import Pairs
from vclip.association.scores import Scores
from vclip.errors import InputError
from vclip.threads import with_threads_for

DRAWS = 2000  # a p-value needs more draws than an interval


@dataclass(frozen=True)
class Difference:
    """A figure of two models. Differences between people affect both models alike and mostly cancel."""

    a: float
    b: float
    b_minus_a: Figure  # with its 95 % interval
    p: float  # two-sided: the probability of such a difference between equally good models


@dataclass(frozen=True)
class Comparison:
    """Two models on the same trials."""

    auc: Difference
    eer: Difference
    clips: int
    people: int
    positives: dict[str, int]  # same-person trials with the voice of the own clip, of other clips, of other videos
    of_clips: int
    draws: int
    seed: int
    warning: str | None = None  # what is unknown about the test, such as the training people

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@with_threads_for("pairs")
def compare(
    a: Association,
    b: Association,
    pairs: Pairs,
    seed: int = 0,
    draws: int = DRAWS,
    pairs_of_b: Pairs | None = None,
) -> Comparison:
    """Returns the differences between the figures of two models, by a paired bootstrap over people.

    Args:
        a: one model.
        b: another model.
        pairs: clips of at least two people that neither was trained on.
        seed: draws people.
        draws: the number of draws.
        pairs_of_b: the same clips with their vectors in the spaces of `b`; None where these are those of `a`.

    Raises:
        InputError: fewer than two people, a person that a model was trained on, or `pairs_of_b` are other clips.
    """
    both = pairs, pairs if pairs_of_b is None else pairs_of_b
    for name, model, own in zip(("first", "second"), (a, b), both, strict=True):
        seen = own.seen_in(training_people(model))
        if seen.any():
            raise InputError(f"identity '{own.identity[seen][0]}' was in the {name} model's training; use others")
    if not all(np.array_equal(getattr(both[0], name), getattr(both[1], name)) for name in ("clip_id", "identity")):
        raise InputError("compare: found other clips or identities for the second model, expected the same")
    some, some_of_b = (some_people(own, seed) for own in both)
    expect_people(some)
    people = some.people()
    times = draw_people(int(people.max()) + 1, draws, seed)
    of_a, of_b = (Crossing(Scores.of(model, own), people) for model, own in ((a, some), (b, some_of_b)))
    figures = differences(of_a, of_b, times, seed)
    return Comparison(
        _difference(figures["auc"]),
        _difference(figures["eer"]),
        len(some),
        int(people.max()) + 1,
        count_positives(some),
        len(pairs),
        draws,
        seed,
        warning_of(a, b),
    )


def _difference(figures: np.ndarray) -> Difference:
    """Returns the difference between the columns of figures (1 + draws, 2): all people first, then each draw."""
    (a, b), drawn = figures[0], figures[1:, 1] - figures[1:, 0]
    drawn = drawn[~np.isnan(drawn)]
    # The draws scatter around the difference as the difference does around the truth: count those beyond zero.
    side = 1 + min(int(np.sum(drawn <= 0)), int(np.sum(drawn >= 0)))
    return Difference(float(a), float(b), Figure.of(float(b - a), drawn), min(1.0, 2 * side / (len(drawn) + 1)))
