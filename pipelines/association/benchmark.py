"""`vclip benchmark-association`: methods and encoders on one store, by the same cross-validation over people."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.association.pairs import expect_folds, in_other_spaces, pair_spaces, read_pairs, with_genders
from pipelines.config import Config
from pipelines.progress import step
from stores import Store
from vclip.association.evaluation import UNRESTRICTED, Evaluation, evaluate, some_people
from vclip.association.galleries import count_positives
from vclip.association.methods import METHODS, method_of
from vclip.association.metrics import Crossing, Figure, draw_people
from vclip.association.metrics.verification import differences
from vclip.association.pairs import Pairs
from vclip.association.scores import Scores
from vclip.association.training import train as train_model
from vclip.files import write_text

MATCHING = ("v2f", "f2v")
FIGURES = ("auc", "auc_s_norm", "auc_same_gender", "eer", "map", *MATCHING)
DRAWS = 2  # of people for the intervals of an evaluation, which are not shown
PAIRED_DRAWS = 500  # of people, for the differences from the best method


@dataclass(frozen=True)
class Row:
    """The figures of one method on the vectors of one pair of encoders: the values of all folds, in order."""

    method: str
    spaces: tuple[str, str]  # of the faces and of the voices
    figures: Mapping[str, Sequence[float | None]]  # None where the fold lacks the label
    behind: Figure | None = None  # its AUC less that of the best method, with the 95 % interval over people

    def to_json(self) -> dict[str, Any]:
        """Returns the mean and the standard deviation of each figure over the folds, and the values of the folds."""
        face, voice = self.spaces
        found: dict[str, Any] = {"method": self.method, "about": METHODS[self.method].about}
        found |= {"face_space": face, "voice_space": voice}
        for name, values in self.figures.items():
            known = [value for value in values if value is not None]
            found[name] = float(np.mean(known)) if known else None
            found[f"{name}_std"] = float(np.std(known)) if known else None
        return found | {"behind_best": self.behind and asdict(self.behind), "folds": dict(self.figures)}


@dataclass(frozen=True)
class BenchmarkResult:
    """The figures of all methods and encoders on one store, best AUC first; association.json holds the same."""

    store: str
    store_version: Mapping[str, int]
    clips: int
    people: int
    folds: int
    seeds: int
    positives: Mapping[str, int]  # same-person trials with the voice of the own clip, of other clips, of other videos
    gender_inferred: bool  # by the two clusters of what faces and voices share most; there are no labels
    methods: Sequence[Row]

    def to_json(self) -> dict[str, Any]:
        """Returns the fields, each method as `Row.to_json` gives it."""
        fields = ("store", "store_version", "clips", "people", "folds", "seeds", "positives", "gender_inferred")
        return {name: getattr(self, name) for name in fields} | {"methods": [row.to_json() for row in self.methods]}


def benchmark(
    store_uri: str,
    config: Config,
    *,
    methods: Sequence[str] = (),
    folds: int = 5,
    seeds: int = 1,
    where: str | None = None,
    out: Path | None = None,
    face_spaces: Sequence[str] = (),
    voice_spaces: Sequence[str] = (),
) -> BenchmarkResult:
    """Returns the figures of each method and each pair of encoders, the same people held out of each, best AUC first.

    Args:
        store_uri: the store.
        config: its section `train` applies to all methods; each method puts its own settings over it.
        methods: names of methods; all built-in ones if empty.
        folds: the number of folds of people.
        seeds: the number of times that the folds are drawn anew.
        where: SQL filter over clips.
        out: folder for association.json and association.png.
        face_spaces, voice_spaces: the spaces to compare, each of the faces with each of the voices; the only one of
            the store if empty. Pseudo-identities and inferred genders are those of the first two.

    Raises:
        InputError, StoreError: no such method or space, no pairs, or too few people.
    """
    chosen = [method_of(name) for name in methods or METHODS]
    store = Store.open(store_uri)
    snapshot = store.snapshot()
    first, *others = [
        pair_spaces(store, face, voice) for face in face_spaces or [None] for voice in voice_spaces or [None]
    ]
    pairs = read_pairs(store, where, snapshot, doubts=True, spaces=first)
    expect_folds(pairs, folds)
    splits = [(seed, number, pairs.folds(folds, seed)) for seed in range(seeds) for number in range(folds)]
    pairs, inferred = with_genders(pairs)
    of_spaces = {first: pairs} | {spaces: in_other_spaces(pairs, snapshot, spaces, where) for spaces in others}
    measured: list[tuple[Row, list[Split]]] = []
    with step("benchmark", len(chosen) * len(of_spaces) * len(splits), "models") as progress:
        for method, (spaces, mine) in product(chosen, of_spaces.items()):
            figures: dict[str, list[float | None]] = {name: [] for name in FIGURES}
            scores: list[Split] = []
            for seed, number, fold in splits:
                settings = method.config(config.train.model_copy(update={"seed": config.train.seed + seed}))
                rest, held_out = mine.select(fold != number), mine.select(fold == number)
                model, _ = train_model(rest, *spaces, settings, fit_one=method.fit)
                for name, value in _figures(model, rest, held_out).items():
                    figures[name].append(value)
                some = some_people(held_out, seed)  # the same for all methods and encoders
                scores.append((Scores.of(model, some), some.identity))
                progress.advance(note=f"{method.name} AUC {_mean(figures['auc']):.3f}")
            measured.append((Row(method.name, spaces, figures), scores))
    measured.sort(key=lambda one: -_mean(one[0].figures["auc"]))
    (best, of_best), *behind = measured
    rows = [best]
    if behind:
        with step(f"compare with {best.method}", len(behind) * len(splits), "splits") as progress:
            for row, scores in behind:
                rows.append(replace(row, behind=_behind(of_best, scores, progress.advance)))
    found = (len(pairs), len(set(pairs.identity)), folds, seeds, count_positives(pairs), inferred)
    result = BenchmarkResult(store_uri, snapshot.version, *found, rows)
    if out:
        from pipelines.html.plots import plot_methods

        write_text(out / "association.json", json.dumps(result.to_json(), indent=2) + "\n")
        named = numbered_spaces(result)
        drawn = [row.to_json() for row in rows]
        for row in drawn:
            spaces = {"faces": row["face_space"], "voices": row["voice_space"]}
            row["method"] = "\n".join([row["method"], *(spaces[name] for name in named)])
        plot_methods(out / "association.png", drawn)
    return result


def _figures(model: Any, rest: Pairs, held_out: Pairs) -> dict[str, float | None]:
    plain = evaluate(model, held_out, draws=DRAWS, held_out=True)
    normalised = evaluate(model, held_out, draws=DRAWS, cohort=rest, held_out=True)
    return {
        "auc": plain.auc,
        "auc_s_norm": normalised.auc,
        "auc_same_gender": plain.auc_same_gender,
        "eer": plain.eer,
        **{direction: _one_of_two(plain, direction) for direction in MATCHING},
        "map": _mean([plain.retrieval[direction]["map"].value for direction in ("v2f", "f2v")]),
    }


Split = tuple[Scores, np.ndarray]  # of the clips held out, and their identities (n,)


def _behind(best: Sequence[Split], other: Sequence[Split], compared: Callable[[], object]) -> Figure:
    """Returns the mean difference of two methods over the same splits, with the interval over draws of all people.

    Calls `compared` after each split.
    """
    everybody = np.unique(np.concatenate([identity for _, identity in best]))
    times = draw_people(len(everybody), PAIRED_DRAWS)
    by_split = []
    for (of_best, identity), (of_other, _) in zip(best, other, strict=True):
        here, person = np.unique(identity, return_inverse=True)
        both = Crossing(of_best, person), Crossing(of_other, person)
        auc = differences(*both, times[:, np.searchsorted(everybody, here)])["auc"]
        by_split.append(auc[:, 1] - auc[:, 0])
        compared()
    drawn = np.mean(by_split, axis=0)
    return Figure.of(float(drawn[0]), drawn[1:])


def numbered_spaces(result: BenchmarkResult) -> dict[str, list[str]]:
    """Returns the spaces of the faces and of the voices, in their order in a table; empty where there is only one."""
    sides = (("faces", 0), ("voices", 1))
    named = {name: sorted({row.spaces[side] for row in result.methods}) for name, side in sides}
    return {name: spaces for name, spaces in named.items() if len(spaces) > 1}


def _mean(values: Sequence[float | None]) -> float:
    return float(np.mean(np.array(values, float)))


def _one_of_two(evaluation: Evaluation, direction: str) -> float | None:
    return evaluation.subgroups[UNRESTRICTED].matching[direction]["1:2"].value


def table(result: BenchmarkResult) -> list[tuple[str, ...]]:
    """Returns the rows of a table of the methods, the head first; a dash where a figure lacks its label.

    AUCs are over their standard deviation, the difference from the best is over its interval, and matching by voice
    (V2F) is over matching by face.
    """

    def cell(row: Mapping[str, Any], name: str) -> str:
        if row[name] is None:
            return "-"
        spread = f"\n±{row[name + '_std']:.3f}" if name.startswith("auc") else ""
        return f"{row[name]:.3f}{spread}"

    def behind(figure: Figure) -> str:
        between = "" if figure.low is None else f"\n{figure.low:+z.3f} to {figure.high:+z.3f}"
        return f"{figure.value:+z.3f}{between}"

    gender = "AUC same gender" + (" (inferred)" if result.gender_inferred else "")
    named = numbered_spaces(result)
    head = ("method", *named, "AUC", "behind the best", "AUC s-norm", gender, "EER", "mAP", "1:2 V2F\n1:2 F2V")
    found = []
    for row in result.methods:
        figures = row.to_json()
        auc, *others = (cell(figures, name) for name in FIGURES if name not in MATCHING)
        matching = "\n".join(cell(figures, name) for name in MATCHING)
        own = (str(spaces.index(row.spaces[name == "voices"]) + 1) for name, spaces in named.items())
        found.append((row.method, *own, auc, "" if row.behind is None else behind(row.behind), *others, matching))
    return [head, *found]
