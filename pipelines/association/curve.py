"""`vclip benchmark-association --curve`: the AUC by the number of training people, and what more would bring."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.association.pairs import expect_folds, pair_spaces, read_pairs, with_genders
from pipelines.config import Config
from pipelines.progress import step
from pipelines.wording import count
from stores import Store
from vclip.association.evaluation import some_people
from vclip.association.learning_curve import LearningCurve, learning_curve, sizes_up_to
from vclip.association.methods import method_of
from vclip.association.metrics import Crossing, Figure, draw_people
from vclip.association.metrics.verification import drawn_auc
from vclip.association.pairs import Pairs
from vclip.association.scores import Scores
from vclip.association.subgroups import rows_by_label
from vclip.association.training import train as train_model
from vclip.errors import InputError
from vclip.files import write_text

DRAWS = 200  # of people
FEWEST_PEOPLE = 50
SUBGROUPS = ("unrestricted", "same gender")


@dataclass(frozen=True)
class MethodCurves:
    """The learning curves of one method, by subgroup."""

    method: str
    curves: Mapping[str, LearningCurve]

    def sentences(self) -> list[str]:
        """Returns what ten times the people would bring, for people."""
        return [f"{self.method}, {name}: {_sentence(curve)}" for name, curve in self.curves.items()]


@dataclass(frozen=True)
class CurveResult:
    """The learning curves of methods on one store; curve.json holds the same."""

    store: str
    store_version: Mapping[str, int]
    clips: int
    people: int
    folds: int
    seeds: int
    gender_inferred: bool
    methods: Sequence[MethodCurves]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def learning_curves(
    store_uri: str,
    config: Config,
    *,
    methods: Sequence[str] = ("vclip",),
    folds: int = 5,
    seeds: int = 1,
    where: str | None = None,
    out: Path | None = None,
    face_space: str | None = None,
    voice_space: str | None = None,
) -> CurveResult:
    """Returns the learning curves of methods: trained on ever more people, tested on the same held-out ones.

    Args:
        store_uri: the store.
        config: its section `train` applies to all methods; each method puts its own settings over it.
        methods: names of methods.
        folds: the number of folds of people; each is the test of models trained on people of the others.
        seeds: the number of times that folds and training people are drawn anew.
        where: SQL filter over clips.
        out: folder for curve.json and curve.png.
        face_space, voice_space: the spaces to train on; None where the store has only one of the kind.

    Raises:
        InputError, StoreError: no such method, no pairs, or too few people.
    """
    chosen = [method_of(name) for name in methods]
    store = Store.open(store_uri)
    snapshot = store.snapshot()
    spaces = pair_spaces(store, face_space, voice_space)
    pairs = read_pairs(store, where, snapshot, doubts=True, spaces=spaces)
    people = len(set(pairs.identity))
    if people < FEWEST_PEOPLE:
        found = count(people, "person", "people")
        raise InputError(f"store {store_uri}: found {found}, expected at least {FEWEST_PEOPLE} for a curve")
    expect_folds(pairs, folds)
    pairs, inferred = with_genders(pairs)
    splits = [(seed, number) for seed in range(seeds) for number in range(folds)]
    sizes = sizes_up_to(people - math.ceil(people / folds))
    everybody = np.unique(pairs.identity)
    times = draw_people(len(everybody), DRAWS)
    shape = (len(splits), len(sizes), 1 + DRAWS)
    auc = {(method.name, name): np.full(shape, np.nan) for method in chosen for name in SUBGROUPS}
    with step("curve", len(chosen) * len(splits) * len(sizes), "models") as progress:
        for row, (seed, number) in enumerate(splits):
            split = _Split.of(pairs, folds, seed, number)
            drawn = times[:, np.searchsorted(everybody, np.unique(split.test.identity))]
            for method in chosen:
                settings = method.config(config.train.model_copy(update={"seed": config.train.seed + seed}))
                for column, size in enumerate(sizes):
                    model, _ = train_model(split.first(size), *spaces, settings, fit_one=method.fit)
                    for name, crossing in _crossings(Scores.of(model, split.test), split.test).items():
                        auc[method.name, name][row, column] = drawn_auc(crossing, drawn)
                    shown = auc[method.name, SUBGROUPS[0]][row, column, 0]
                    progress.advance(note=f"{method.name}, {size:,} people: AUC {shown:.3f}")
    found = []
    for method in chosen:
        of_method = {name: auc[method.name, name] for name in SUBGROUPS}
        curves = {name: learning_curve(sizes, of) for name, of in of_method.items() if np.isfinite(of).any()}
        found.append(MethodCurves(method.name, curves))
    counts = (len(pairs), people, folds, seeds, inferred)
    result = CurveResult(store_uri, snapshot.version, *counts, found)
    if out:
        from pipelines.html.plots import plot_curves

        write_text(out / "curve.json", json.dumps(result.to_json(), indent=2) + "\n")
        plot_curves(
            out / "curve.png", {(of.method, name): curve for of in found for name, curve in of.curves.items()}
        )
    return result


@dataclass(frozen=True)
class _Split:
    """The test people of a fold, and all others in the order in which they join the training."""

    test: Pairs
    rest: Pairs
    place: np.ndarray  # (clips of rest,) int, of the clip's person in that order

    @classmethod
    def of(cls, pairs: Pairs, folds: int, seed: int, number: int) -> "_Split":
        fold = pairs.folds(folds, seed)
        rest = pairs.select(fold != number)
        people = rest.people()
        order = np.random.default_rng([seed, number]).permutation(int(people.max()) + 1)
        return cls(some_people(pairs.select(fold == number), seed), rest, order[people])

    def first(self, people: int) -> Pairs:
        """Returns the clips of the first people; more people contain fewer."""
        return self.rest.select(self.place < people)


def _crossings(scores: Scores, test: Pairs) -> dict[str, Crossing]:
    """Returns the trials of each subgroup that has some of two people."""
    found = [Crossing(scores, test.people())]
    groups = rows_by_label(test.gender)
    if groups:
        found.append(Crossing(scores, test.people(), groups))
    return {name: crossing for name, crossing in zip(SUBGROUPS, found, strict=False) if crossing.negatives}


def _sentence(curve: LearningCurve) -> str:
    last = curve.predictions[-1]
    times, now = round(last.people / curve.sizes[-1]), curve.auc[-1].value
    check = ""
    if curve.check:
        predicted = _between(curve.check.predicted)
        check = (
            f" Check: from up to {curve.check.fitted_up_to:,} people, {predicted} was predicted at "
            f"{curve.check.people:,}; measured {curve.check.measured:.3f}."
        )
    return (
        f"{times} times the people ({last.people:,}) would bring AUC {_between(last.auc)} instead of {now:.3f}, "
        f"a gain of {_between(last.gain)}.{check}"
    )


def _between(figure: Figure) -> str:
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def table(result: CurveResult) -> list[tuple[str, ...]]:
    """Returns the rows of a table of the measured and the predicted AUCs, the head first."""
    head = ("method", "people", "AUC", "AUC same gender" + (" (inferred)" if result.gender_inferred else ""))
    rows: list[tuple[str, ...]] = []
    for of in result.methods:
        first = next(iter(of.curves.values()))
        for index, people in enumerate(first.sizes):
            rows.append((of.method, f"{people:,}", *_cells(of, lambda curve, i=index: curve.auc[i])))
        for index, prediction in enumerate(first.predictions):
            cells = _cells(of, lambda curve, i=index: curve.predictions[i].auc)
            rows.append((of.method, f"{prediction.people:,} (predicted)", *cells))
    return [head, *rows]


def _cells(of: MethodCurves, figure: Any) -> list[str]:
    return [_between(figure(of.curves[name])) if name in of.curves else "-" for name in SUBGROUPS]
