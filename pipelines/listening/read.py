"""`vclip listening-test read`: from answers and the key to a table, a picture and the ratings one by one."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.listening.answers import Answers, read_answers, read_key
from pipelines.listening.opinion import opinions
from pipelines.listening.page import QUESTIONS, SCALE


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
        from pipelines.plots import plot_systems

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
