"""`vclip benchmark-association --protocol`: all methods on a published protocol, beside the published figures."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.config import Config
from pipelines.progress import say, step
from pipelines.wording import count
from vclip.association.methods import METHODS, Method, method_of
from vclip.association.metrics import Figure
from vclip.association.protocols import PROTOCOLS
from vclip.association.protocols.base import BenchmarkProtocol, Published, Task
from vclip.association.protocols.figures import check, means, measure, submissions
from vclip.association.training import TrainConfig
from vclip.association.training import train as train_model
from vclip.files import write_text

KINDS = {"verification": ("AUC", "EER"), "matching": ("1:",), "retrieval": ("mAP",)}  # by how their figures begin


@dataclass(frozen=True)
class MethodFigures:
    """The figures of one method on the trials of a part."""

    method: str
    figures: Mapping[str, Figure]  # means over the seeds, and of the bounds of their intervals over people
    std: Mapping[str, float]  # over the seeds
    seeds: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class TrainingSet:
    """The size of a training set."""

    clips: int
    people: int
    left_out: int  # files of its clips, and of the valid clips, without a vector


@dataclass(frozen=True)
class PartResult:
    """The figures of all methods on one version of a protocol's data, best first."""

    part: str
    training: Sequence[TrainingSet]
    methods: Sequence[MethodFigures]
    published: Sequence[Published]

    def names(self) -> list[str]:
        """Returns the names of the figures, those of one kind together."""
        found = list(self.methods[0].figures)
        return [name for begins in KINDS.values() for name in found if name.startswith(begins)]


@dataclass(frozen=True)
class ProtocolResult:
    """The figures of all methods on a protocol; protocol.json holds the same."""

    protocol: str
    folder: str
    seeds: int
    parts: Sequence[PartResult]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def benchmark_protocol(
    spec: str,
    folder: Path,
    config: Config,
    methods: Sequence[str] = (),
    seeds: int = 1,
    out: Path | None = None,
) -> ProtocolResult:
    """Returns the figures of each method on a protocol, best first, beside the published ones.

    Args:
        spec: a protocol, see `vclip.association.protocols`.
        folder: its published files, in a folder or a zip archive.
        config: its section `train` applies to all methods; each method puts its own settings over it.
        methods: names of methods; all built-in ones if empty.
        seeds: the number of times that each method is trained.
        out: folder for protocol.json, and for the scores to submit of lists without labels, of the first seed.

    Raises:
        InputError: no such protocol or method, or the files are not as published.
    """
    chosen = [method_of(name) for name in methods or METHODS]
    protocol = PROTOCOLS.open(spec)
    tasks = protocol.read(folder)
    for task in tasks:
        check(task)
    parts = dict.fromkeys(task.part for task in tasks)
    with step("benchmark", len(chosen) * len(tasks) * seeds, "models") as progress:
        found = []
        for part in parts:
            of_part = [task for task in tasks if task.part == part]
            for task in of_part:
                _say_size(task)
            rows = [
                _over_seeds(method.name, list(_measured(method, of_part, config.train, seeds, out, progress)))
                for method in chosen
            ]
            found.append(_part(protocol, part, of_part, rows))
    result = ProtocolResult(protocol.name, str(folder), seeds, found)
    if out:
        write_text(out / "protocol.json", json.dumps(result.to_json(), indent=2) + "\n")
    return result


def _measured(
    method: Method, tasks: Sequence[Task], config: TrainConfig, seeds: int, out: Path | None, progress: Any
) -> Iterator[dict[str, Figure]]:
    """Yields the figures of a method for each seed, of all training sets of a part together."""
    for seed in range(seeds):
        settings = method.config(config.model_copy(update={"seed": config.seed + seed}))
        figures: dict[str, Figure] = {}
        for task in tasks:
            if task.valid is None:
                model, _ = train_model(task.train, *task.spaces, settings, fit_one=method.fit)
            else:
                model, _ = method.fit(task.train, task.valid, *task.spaces, settings)
            figures |= measure(model, task, config.seed)
            if out and not seed:
                for name, lines in submissions(model, task).items():
                    write_text(out / method.name / name, lines)
            progress.advance(note=method.name)
        values = {name: figure.value for name, figure in figures.items() if figure.value is not None}
        yield figures | {name: Figure(value, None, None) for name, value in means(tasks, values).items()}


def _over_seeds(method: str, found: Sequence[Mapping[str, Figure]]) -> MethodFigures:
    seeds = {name: [float(of[name].value or 0.0) for of in found] for name in found[0]}
    figures = {
        name: Figure(*(_mean([getattr(of[name], field) for of in found]) for field in ("value", "low", "high")))
        for name in found[0]
    }
    return MethodFigures(method, figures, {name: float(np.std(values)) for name, values in seeds.items()}, seeds)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _part(protocol: BenchmarkProtocol, part: str, tasks: Sequence[Task], rows: Sequence[MethodFigures]) -> PartResult:
    training = [TrainingSet(len(task.train), len(set(task.train.identity)), task.left_out) for task in tasks]
    published = [row for row in protocol.published if row.part == part]
    return PartResult(part, training, sorted(rows, key=_order), published)


def _order(row: MethodFigures) -> float:
    """Returns what sorts the best method first: its AUC or, where a protocol has none as a whole, its mean EER."""
    return -float(np.mean(row.seeds["AUC"])) if "AUC" in row.seeds else float(np.mean(row.seeds.get("EER mean", 0)))


def _say_size(task: Task) -> None:
    people = count(len(set(task.train.identity)), "person", "people")
    missing = f"; left out {count(task.left_out, 'file')} without a vector" if task.left_out else ""
    valid = f", valid {count(len(task.valid), 'clip')}" if task.valid else ""
    for test in (test for test in task.tests if test.submission):
        say(f"{task.part} {test.subgroup}: the list has no labels; --out keeps its scores as {test.submission}")
    say(f"{task.part} train {count(len(task.train), 'clip')} of {people}{valid}{missing}".strip())


def tables(result: PartResult) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Yields for each kind of figures its name and the rows of a table, the head first.

    Published methods follow those that were measured; a number in brackets names their source in `sources`.
    """
    known = sources(result)
    for kind, begins in KINDS.items():
        names = [name for name in result.names() if name.startswith(begins)]
        rows = [(row.method, *(_cell(row, name) for name in names)) for row in result.methods]
        for row in result.published:
            cells = ["-" if name not in row.figures else f"{row.figures[name]:.3f}" for name in names]
            if any(cell != "-" for cell in cells):
                rows.append((f"{row.method} [{known.index(row.source) + 1}]", *cells))
        if names:
            yield kind, [("method", *names), *rows]


def sources(result: PartResult) -> list[str]:
    """Returns the sources of the published figures, each once."""
    return list(dict.fromkeys(row.source for row in result.published))


def _cell(row: MethodFigures, name: str) -> str:
    if len(row.seeds[name]) > 1:
        return f"{row.figures[name].value:.3f} ± {row.std[name]:.3f}"
    figure = row.figures[name]
    between = "" if figure.low is None else f"\n{figure.low:.3f} to {figure.high:.3f}"
    return "-" if figure.value is None else f"{figure.value:.3f}{between}"
