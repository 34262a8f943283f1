"""Mean opinion scores, with intervals that hold for other listeners and other faces.

Ratings of one listener are alike, and so are those of one face; taken as independent they would give intervals that
are too narrow. So both are drawn with replacement, each by itself, and a rating counts as often as its listener times
its face (the pigeonhole bootstrap: A. Owen, Annals of Applied Statistics 1 (2), 2007; it errs on the wide side).
Systems are drawn together, so what listeners and faces have in common cancels in their differences.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from pipelines.listening.answers import Answers
from pipelines.listening.page import QUESTIONS
from pipelines.listening.references import REFERENCES
from vclip.association.metrics.bootstrap import Figure, draw_people

DRAWS = 2000
FEWEST = 2  # listeners, and faces of a system; of one alone nothing is known of others


def opinions(answers: Answers, key: Mapping[str, Any], seed: int = 0) -> dict[str, Any]:
    """Returns the mean opinion scores of each system, and the differences of systems.

    Args:
        answers: of all listeners.
        key: what the items are.
        seed: of the draws.
    """
    items = [key["items"][name] for name in answers.items]
    system = np.array([item["system"] for item in items])
    names, face = np.unique([item["face"] for item in items], return_inverse=True)
    listeners = draw_people(len(answers.listeners), DRAWS, seed)
    faces = draw_people(len(names), DRAWS, seed + 1)[:, face]  # (draws, items)
    order = [name for name in (*REFERENCES, *key["systems"]) if name in system]
    means: dict[tuple[str, str], tuple[float, np.ndarray]] = {}
    for question, ratings in answers.ratings.items():
        drawn = listeners @ ratings / len(ratings)  # (draws, items): every draw has as many listeners
        for name in order:
            of = system == name
            with np.errstate(invalid="ignore"):  # a draw without any face of the system has no mean
                draws = (drawn * faces)[:, of].sum(1) / faces[:, of].sum(1)
            enough = min(len(answers.listeners), len(set(face[of]))) >= FEWEST
            means[question, name] = float(ratings[:, of].mean()), draws if enough else np.array([])
    return {
        "listeners": len(answers.listeners),
        "draws": DRAWS,
        "systems": [
            {
                "system": name,
                "reference": name in REFERENCES,
                "items": int(np.sum(system == name)),
                "faces": len(set(face[system == name])),
                **{question: vars(Figure.of(*means[question, name])) for question in QUESTIONS},
            }
            for name in order
        ],
        "differences": {
            f"{a} - {b}": {question: _minus(means[question, a], means[question, b]) for question in QUESTIONS}
            for a, b in combinations(order, 2)
        },
    }


def _minus(a: tuple[float, np.ndarray], b: tuple[float, np.ndarray]) -> dict[str, float | None]:
    both = len(a[1]) and len(b[1])
    return vars(Figure.of(a[0] - b[0], a[1] - b[1] if both else []))
