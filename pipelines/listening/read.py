"""`vclip listening-test read`: answers and the key into mean opinion scores, a chart and a table of all ratings.

Ratings by one listener are correlated, and so are those of one face; intervals that took them as independent would be
too narrow. So listeners and faces are both drawn with replacement, each by itself, and a rating counts as often as
its listener times its face (the pigeonhole bootstrap: A. Owen, Annals of Applied Statistics 1 (2), 2007). With few
listeners or faces the interval is a little too narrow (docs/listening.md). All systems share the draws, so effects
that listeners and faces have in common cancel in the differences of systems.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.files.tables import unusable_text
from pipelines.listening.make import KEY, REFERENCES
from pipelines.listening.page import QUESTIONS, SCALE
from vclip.association.metrics.bootstrap import Figure, draw_people
from vclip.errors import InputError
from vclip.files import whole_file, write_text

DRAWS = 2000
FEWEST = 2  # listeners, and faces of a system; one alone gives no interval


@dataclass(frozen=True)
class SystemOpinions:
    """The mean opinion scores of one system or reference, 1..5."""

    system: str
    reference: bool  # whether the items are pairs of a store
    items: int
    faces: int
    naturalness: Figure
    matching: Figure


@dataclass(frozen=True)
class Opinions:
    """Mean opinion scores of a test, with 95 % intervals; opinions.json holds the same."""

    test: str
    listeners: int
    draws: int  # of listeners and faces, for the intervals
    systems: list[SystemOpinions]
    differences: dict[str, dict[str, Figure]]  # "a - b" -> question -> mean of a minus mean of b


@dataclass(frozen=True)
class Answers:
    """All ratings of a test; every listener has rated every item."""

    listeners: list[str]
    items: list[str]
    ratings: Mapping[str, np.ndarray]  # question -> (listeners, items) in 1..5


def read(paths: Sequence[Path], test: Path, out: Path | None = None, seed: int = 0) -> Opinions:
    """Returns the mean opinion scores of each system and their differences, and writes them to `out` if given.

    Args:
        paths: the answers, one file per listener.
        test: the folder that `make` wrote.
        out: gets opinions.json, opinions.png and ratings.csv.
        seed: of the draws of listeners and faces.

    Raises:
        InputError: the key or an answer cannot be used.
    """
    key = read_key(test)
    answers = read_answers(paths, key)
    result = opinions(answers, key, seed)
    if out:
        from pipelines.html.plots import plot_systems

        write_text(out / "opinions.json", json.dumps(asdict(result), indent=1, allow_nan=False) + "\n")
        systems = [asdict(system) for system in result.systems]
        plot_systems(out / "opinions.png", systems, {name: f"{name}, mean opinion" for name in QUESTIONS}, SCALE)
        _write_ratings(out / "ratings.csv", answers, key["items"])
    return result


def read_key(folder: Path) -> dict[str, Any]:
    """Returns the key of a test; raises InputError where `folder` has none."""
    path = folder / KEY
    try:
        key = json.loads(path.read_text(encoding="utf-8-sig"))
        named = [*key["systems"], *(item[part] for item in key["items"].values() for part in ("system", "face"))]
        if key["test"] and key["items"] and all(isinstance(name, str) and not unusable_text(name) for name in named):
            return key
        reason = "an item without system or face, or no items"
    except OSError as error:
        reason = error.strerror or str(error)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        reason = "no key"
    raise InputError(f"{path}: {reason}; expected the {KEY} that `vclip listening-test make` wrote")


def read_answers(paths: Sequence[Path], key: Mapping[str, Any]) -> Answers:
    """Returns the ratings of all listeners.

    Args:
        paths: the files that listeners downloaded from the page.
        key: of the test.

    Raises:
        InputError: a file is damaged, of another test, incomplete, or of a listener who has another file.
    """
    items = sorted(key["items"])
    by_listener: dict[str, Path] = {}
    rows = []
    for path in paths:
        content = _read(path, key["test"])
        listener = content["listener"]
        if listener in by_listener:
            raise InputError(f"answers {path}: listener {listener} already answered in {by_listener[listener]}")
        by_listener[listener] = path
        rows.append(_ratings(path, content["ratings"], items))
    return Answers(list(by_listener), items, {name: np.array([row[name] for row in rows]) for name in QUESTIONS})


def _read(path: Path, test: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"answers {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise InputError(f"answers {path}: found no JSON, expected the file that the page downloads") from None
    if not isinstance(content, dict) or not isinstance(content.get("listener"), str) or not content["listener"]:
        raise InputError(f"answers {path}: names no listener; expected the file that the page downloads")
    if wrong := unusable_text(content["listener"]):
        raise InputError(f"answers {path}: listener {_shown(content['listener'])}: {wrong}")
    if content.get("test") != test:
        raise InputError(f"answers {path}: are of test {_shown(content.get('test'))}, expected '{test}'")
    return content


def _ratings(path: Path, rows: Any, items: Sequence[str]) -> dict[str, list[int]]:
    expected = {(question, item) for question in QUESTIONS for item in items}
    found: dict[tuple[str, str], int] = {}
    for number, row in enumerate(rows if isinstance(rows, list) else (), start=1):
        row = row if isinstance(row, dict) else {}
        cell, rating = (str(row.get("question")), str(row.get("item"))), row.get("rating")
        named = " of item ".join(map(_shown, cell))
        if cell not in expected:
            raise InputError(f"answers {path}, rating {number}: {named} is not in the test")
        if cell in found:
            raise InputError(f"answers {path}, rating {number}: {named} is rated twice")
        if type(rating) is not int or rating not in SCALE:
            raise InputError(
                f"answers {path}, rating {number}: found {_shown(rating)}, expected a whole number of 1 to 5"
            )
        found[cell] = rating
    if len(found) < len(expected):
        raise InputError(f"answers {path}: has {len(found)} ratings, expected all {len(expected)}")
    return {question: [found[question, item] for item in items] for question in QUESTIONS}


def _shown(value: Any) -> str:
    return repr(value)[:80]  # one line, whatever a file holds


def opinions(answers: Answers, key: Mapping[str, Any], seed: int = 0) -> Opinions:
    """Returns the mean opinion scores of each system, and the differences of systems.

    Args:
        answers: of all listeners.
        key: of the test: which system and face each item is of.
        seed: of the draws of listeners and faces.
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
    return Opinions(
        test=key.get("test", ""),
        listeners=len(answers.listeners),
        draws=DRAWS,
        systems=[
            SystemOpinions(
                system=name,
                reference=name in REFERENCES,
                items=int(np.sum(system == name)),
                faces=len(set(face[system == name])),
                naturalness=Figure.of(*means["naturalness", name]),
                matching=Figure.of(*means["matching", name]),
            )
            for name in order
        ],
        differences={
            f"{a} - {b}": {question: _difference(means[question, a], means[question, b]) for question in QUESTIONS}
            for a, b in combinations(order, 2)
        },
    )


def _difference(a: tuple[float, np.ndarray], b: tuple[float, np.ndarray]) -> Figure:
    both = len(a[1]) and len(b[1])
    return Figure.of(a[0] - b[0], a[1] - b[1] if both else [])


def _write_ratings(path: Path, answers: Answers, items: dict[str, Any]) -> None:
    """Writes one line per rating, for a mixed model in other software."""
    with whole_file(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("listener", "question", "system", "face", "item", "rating"))
        for question, ratings in answers.ratings.items():
            for listener, row in zip(answers.listeners, ratings.tolist(), strict=True):
                for name, rating in zip(answers.items, row, strict=True):
                    writer.writerow((listener, question, items[name]["system"], items[name]["face"], name, rating))
