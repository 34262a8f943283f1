"""Which of two models is better: both on the same trials, both drawn with the same people."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vclip.association.base import Association, training_people, warning_of
from vclip.association.evaluation import expect_people, some_people
from vclip.association.metrics import Crossing, Figure, draw_people
from vclip.association.metrics.verification import differences
from vclip.association.pairs import Pairs
from vclip.association.scores import Scores
from vclip.errors import InputError

DRAWS = 2000  # a p-value asks for more than an interval


@dataclass(frozen=True)
class Difference:
    """A figure of two models. What differs between people mostly differs for both alike, and so cancels."""

    a: float
    b: float
    b_minus_a: Figure  # with its 95 % interval
    p: float  # two-sided: how likely so large a difference is where there is none


@dataclass(frozen=True)
class Comparison:
    """Two models on the same trials."""

    auc: Difference
    eer: Difference
    clips: int
    people: int
    of_clips: int
    draws: int
    seed: int
    warning: str | None = None  # what is unknown about the test, such as whom a model was trained on

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compare(
    a: Association,
    b: Association,
    pairs: Pairs,
    seed: int = 0,
    draws: int = DRAWS,
) -> Comparison:
    """Returns how the figures of b differ from those of a, by the paired bootstrap over people.

    Args:
        a, b: models of the same spaces.
        pairs: clips of at least two people that neither was trained on.
        seed: draws people.
        draws: how often.

    Raises:
        InputError: fewer than two people, or one that a model was trained on; names it.
    """
    for name, model in (("first", a), ("second", b)):
        seen = pairs.seen_in(training_people(model))
        if seen.any():
            raise InputError(f"identity '{pairs.identity[seen][0]}' was in the {name} model's training; use others")
    some = some_people(pairs, seed)
    expect_people(some)
    people = some.people()
    times = draw_people(int(people.max()) + 1, draws, seed)
    of_a, of_b = (Crossing(Scores.of(model, some), people) for model in (a, b))
    figures = differences(of_a, of_b, times, seed)
    return Comparison(
        _difference(figures["auc"]),
        _difference(figures["eer"]),
        len(some),
        int(people.max()) + 1,
        len(pairs),
        draws,
        seed,
        warning_of(a, b),
    )


def _difference(figures: np.ndarray) -> Difference:
    """Returns the difference of figures (1 + draws, 2): of all people first, then of each draw."""
    (a, b), drawn = figures[0], figures[1:, 1] - figures[1:, 0]
    drawn = drawn[~np.isnan(drawn)]
    # The draws scatter around the difference as it does around the truth: how often do they cross zero?
    side = 1 + min(int(np.sum(drawn <= 0)), int(np.sum(drawn >= 0)))
    return Difference(float(a), float(b), Figure.of(float(b - a), drawn), min(1.0, 2 * side / (len(drawn) + 1)))
