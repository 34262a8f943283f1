"""What listeners sent back, checked: a file that is not whole, or of another test, is told and not guessed at."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.listening.make import KEY
from pipelines.listening.page import QUESTIONS, SCALE
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
