"""`vclip benchmark-association`: all methods on one store, by the same cross-validation over people."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.association.train import pair_spaces, read_pairs
from pipelines.config import Config
from pipelines.progress import step
from stores import Store
from vclip.association.evaluation import Evaluation, evaluate
from vclip.association.methods import METHODS, method_of
from vclip.association.pairs import Pairs
from vclip.association.subgroups import UNRESTRICTED
from vclip.association.training import train as train_model

COLUMNS = ("auc", "auc_s_norm", "auc_same_gender", "eer", "v2f", "f2v", "map")
DRAWS = 2  # of people for intervals, which come from the folds here


@dataclass(frozen=True)
class Row:
    """A method's figures: of each the values of all folds, in order."""

    method: str
    figures: Mapping[str, Sequence[float]]

    def to_json(self) -> dict[str, Any]:
        """Returns the mean and the standard deviation over the folds of each figure, and the folds."""
        found: dict[str, Any] = {"method": self.method, "about": METHODS[self.method].about}
        for name, values in self.figures.items():
            known = [value for value in values if value is not None]
            found[name] = float(np.mean(known)) if known else None
            found[f"{name}_std"] = float(np.std(known)) if known else None
        return found | {"folds": dict(self.figures)}


def benchmark(
    store_uri: str,
    config: Config,
    methods: Sequence[str] = (),
    folds: int = 5,
    seeds: int = 1,
    where: str | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """Returns the figures of each method, the same people held out of each, best AUC first.

    Args:
        store_uri: the store.
        config: its section `train` is the default's; every method puts its own settings over it.
        methods: by name; all where empty.
        folds: of people.
        seeds: how often the folds are drawn anew.
        where: SQL filter over clips.
        out: folder for association.json and association.png.

    Raises:
        InputError, StoreError: no such method, no pairs, or too few people.
    """
    chosen = [method_of(name) for name in methods or METHODS]
    store = Store.open(store_uri)
    snapshot = store.snapshot()
    spaces = pair_spaces(store)
    pairs = read_pairs(store, where, snapshot, doubts=True, spaces=spaces)
    splits = [(seed, number, pairs.folds(folds, seed)) for seed in range(seeds) for number in range(folds)]
    rows = []
    with step("benchmark", len(chosen) * len(splits), "models") as progress:
        for method in chosen:
            figures: dict[str, list[float | None]] = {name: [] for name in COLUMNS}
            for seed, number, fold in splits:
                settings = method.config(config.train.model_copy(update={"seed": config.train.seed + seed}))
                rest, held_out = pairs.select(fold != number), pairs.select(fold == number)
                model, _ = train_model(rest, *spaces, settings, fit_one=method.fit)
                for name, value in _figures(model, rest, held_out).items():
                    figures[name].append(value)
                progress.advance(note=f"{method.name} AUC {np.mean(figures['auc']):.3f}")
            rows.append(Row(method.name, figures))
    rows.sort(key=lambda row: -float(np.mean(row.figures["auc"])))
    result = {
        "store": store_uri,
        "store_version": snapshot.version,
        "clips": len(pairs),
        "people": len(set(pairs.identity)),
        "folds": folds,
        "seeds": seeds,
        "methods": [row.to_json() for row in rows],
    }
    if out:
        from pipelines.html.plots import plot_methods

        out.mkdir(parents=True, exist_ok=True)
        (out / "association.json").write_text(json.dumps(result, indent=2) + "\n")
        plot_methods(out / "association.png", result["methods"])
    return result


def _figures(model: Any, rest: Pairs, held_out: Pairs) -> dict[str, float | None]:
    plain = evaluate(model, held_out, draws=DRAWS)
    normalised = evaluate(model, held_out, draws=DRAWS, cohort=rest)
    return {
        "auc": plain.auc,
        "auc_s_norm": normalised.auc,
        "auc_same_gender": plain.auc_same_gender,
        "eer": plain.eer,
        **{direction: _one_of_two(plain, direction) for direction in ("v2f", "f2v")},
        "map": float(np.mean([plain.retrieval[direction]["map"].value for direction in ("v2f", "f2v")])),
    }


def _one_of_two(evaluation: Evaluation, direction: str) -> float:
    return evaluation.subgroups[UNRESTRICTED].matching[direction]["1:2"].value


def table(methods: Iterable[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Returns the rows of a table of results, the head first; a dash where the store has no such label."""

    def cell(row: Mapping[str, Any], name: str) -> str:
        return "-" if row[name] is None else f"{row[name]:.3f} ± {row[name + '_std']:.3f}"

    head = ("method", "AUC", "AUC s-norm", "AUC same gender", "EER", "1:2 V2F", "1:2 F2V", "mAP")
    return [head, *((row["method"], *(cell(row, name) for name in COLUMNS)) for row in methods)]
