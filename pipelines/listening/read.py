"""`vclip listening-test read`: from answers and the key to a table, a picture and the ratings one by one."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.listening.make import KEY, REFERENCES
from pipelines.listening.page import QUESTIONS, SCALE
from vclip.association.metrics.bootstrap import Figure, draw_people
from vclip.errors import InputError


@dataclass(frozen=True)
class Answers:
    """All ratings of a test; every listener rates every item."""

    listeners: list[str]
    items: list[str]
    ratings: Mapping[str, np.ndarray]  # question -> (listeners, items) in 1..5


def read_key(folder: Path) -> dict[str, Any]:
    """Returns the key of a test; raises InputError where `folder` has none."""
    path = folder / KEY
    try:
        key = json.loads(path.read_text(encoding="utf-8"))
        if key["test"] and all({"system", "face"} <= {*item} for item in key["items"].values()):
            return key
        reason = "an item without system or face"
    except OSError as error:
        reason = error.strerror or str(error)
    except (ValueError, KeyError, TypeError, AttributeError):
        reason = "no key"
    raise InputError(f"{path}: {reason}; expected the {KEY} that `vclip listening-test make` wrote")


def read_answers(paths: Sequence[Path], key: Mapping[str, Any]) -> Answers:
    """Returns the ratings of all listeners.

    Args:
        paths: the files that the page gave for download.
        key: of the test.

    Raises:
        InputError: a file is damaged, of another test, not complete, or of a listener who is there already.
    """
    items = sorted(key["items"])
    by_listener: dict[str, Path] = {}
    rows = []
    for path in paths:
        told = _read(path, key["test"])
        listener = told["listener"]
        if listener in by_listener:
            raise InputError(f"answers {path}: listener {listener} is in {by_listener[listener]} already")
        by_listener[listener] = path
        rows.append(_ratings(path, told["ratings"], items))
    return Answers(list(by_listener), items, {name: np.array([row[name] for row in rows]) for name in QUESTIONS})


def _read(path: Path, test: str) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"answers {path}: {error.strerror or error}") from None
    except ValueError:
        raise InputError(f"answers {path}: found no JSON, expected what the page gives for download") from None
    if not isinstance(told, dict) or not isinstance(told.get("listener"), str) or not told["listener"]:
        raise InputError(f"answers {path}: names no listener; expected what the page gives for download")
    if told.get("test") != test:
        raise InputError(f"answers {path}: are of test '{told.get('test')}', expected '{test}'")
    return told


def _ratings(path: Path, rows: Any, items: Sequence[str]) -> dict[str, list[int]]:
    expected = {(question, item) for question in QUESTIONS for item in items}
    found: dict[tuple[str, str], int] = {}
    for number, row in enumerate(rows if isinstance(rows, list) else (), start=1):
        row = row if isinstance(row, dict) else {}
        cell, rating = (str(row.get("question")), str(row.get("item"))), row.get("rating")
        if cell not in expected:
            raise InputError(
                f"answers {path}, rating {number}: {cell[0]} of item {cell[1]} is nothing that the test asks"
            )
        if cell in found:
            raise InputError(f"answers {path}, rating {number}: {cell[0]} of item {cell[1]} is there twice")
        if type(rating) is not int or rating not in SCALE:
            raise InputError(f"answers {path}, rating {number}: found {rating!r}, expected a whole number of 1 to 5")
        found[cell] = rating
    if len(found) < len(expected):
        raise InputError(f"answers {path}: has {len(found)} ratings, expected all {len(expected)}")
    return {question: [found[question, item] for item in items] for question in QUESTIONS}


def read(paths: Sequence[Path], test: Path, out: Path | None = None, seed: int = 0) -> dict[str, Any]:
    """Returns the mean opinion scores of each system, with 95 % intervals, and the differences of systems.

    Args:
        paths: the answers, a file a listener.
        test: the folder that `make` wrote.
        out: gets opinions.json, opinions.png and ratings.csv.
        seed: draws listeners and faces.

    Raises:
        InputError: the key or answers cannot be used.
    """
    key = read_key(test)
    answers = read_answers(paths, key)
    result = {"test": key["test"], **opinions(answers, key, seed)}
    if out:
        from pipelines.html.plots import plot_systems

        out.mkdir(parents=True, exist_ok=True)
        (out / "opinions.json").write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        plot_systems(out / "opinions.png", result["systems"], {name: name for name in QUESTIONS}, SCALE)
        _write_ratings(out / "ratings.csv", answers, key["items"])
    return result


def _write_ratings(path: Path, answers: Answers, items: dict[str, Any]) -> None:
    """Writes a line for each rating: what a mixed model elsewhere would be fitted to."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("listener", "question", "system", "face", "item", "rating"))
        for question, ratings in answers.ratings.items():
            for listener, row in zip(answers.listeners, ratings.tolist(), strict=True):
                for name, rating in zip(answers.items, row, strict=True):
                    writer.writerow((listener, question, items[name]["system"], items[name]["face"], name, rating))


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
