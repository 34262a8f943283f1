"""The figures of a model on the trials of a protocol."""

from collections.abc import Mapping, Sequence

import numpy as np

from vclip.association.base import Association
from vclip.association.metrics import Figure
from vclip.association.metrics.bootstrap import DRAWS
from vclip.association.protocols.base import Task
from vclip.association.trials.evaluation import evaluate_trials, with_vectors
from vclip.errors import InputError

DIRECTIONS = {"v2f": "V2F", "f2v": "F2V"}


def check(task: Task) -> None:
    """Raises InputError where `measure` would, before a model is trained: a fault in a list is found at once."""
    trained = {who for pairs in (task.train, task.valid) if pairs is not None for who in pairs.identity.tolist()}
    for test in (test for test in task.tests if not test.submission):
        where = f"{test.file}: " if test.file else ""
        try:
            kept, *_, without = with_vectors(test.trials, test.faces, test.voices, partial=True)
        except InputError as error:
            raise InputError(f"{where}{error}") from None
        if without:
            left_out = len(test.trials) - len(kept)
            raise InputError(f"{where}{left_out} of {len(test.trials)} trials lack a vector: {without}")
        shared = trained & {*kept.face_identity.tolist(), *kept.voice_identity.tolist()}
        if shared:
            raise InputError(f"{where}found trials of '{min(shared)}', who is in the training or valid clips as well")


def measure(model: Association, task: Task, seed: int = 0, draws: int = DRAWS) -> dict[str, Figure]:
    """Returns the figures of a model on all trial lists of a task, by names such as "AUC same gender".

    Args:
        model: trained on `task.train`.
        task: the trials.
        seed, draws: for the intervals over people, which lists without people do not have.

    Raises:
        InputError: a name of a list has no vector, or is of somebody in the training data.
    """
    found: dict[str, Figure] = {}
    for test in (test for test in task.tests if not test.submission):
        drawn = draws if test.people else 0
        of = evaluate_trials(model, test.trials, test.faces, test.voices, seed=seed, draws=drawn)
        figures: dict[str, Figure] = {}
        if of.verification:
            figures = {"AUC": of.verification.auc, "EER": of.verification.eer}
            figures = {name: figure for name, figure in figures.items() if name == "EER" or not test.means}
        for way, shown in DIRECTIONS.items():
            matching, retrieval = (of.matching or {}).get(way, {}), (of.retrieval or {}).get(way, {})
            # The whole of each match: 1:2 among the first two of ten would be another figure of the same name.
            figures |= {f"{n} {shown}": figure for n, figure in list(matching.items())[-1:]}
            figures |= {f"mAP {shown}": retrieval["map"]} if retrieval else {}
        found |= {f"{name} {test.subgroup}".strip(): figure for name, figure in figures.items()}
    return found


def means(tasks: Sequence[Task], figures: Mapping[str, float]) -> dict[str, float]:
    """Returns the means of the EER over the trial lists that name one, such as "EER heard"."""
    by_mean: dict[str, list[float]] = {}
    for test in (test for task in tasks for test in task.tests):
        for mean in () if test.submission else test.means:
            by_mean.setdefault(f"EER {mean}", []).append(figures[f"EER {test.subgroup}".strip()])
    return {name: float(np.mean(of)) for name, of in sorted(by_mean.items(), key=lambda each: len(each[1]))}


def submissions(model: Association, task: Task) -> dict[str, str]:
    """Returns the scores of lists whose labels the protocol keeps to itself: file -> a line `KEY DISTANCE` per trial.

    Args:
        model: trained on `task.train`.
        task: the trials; the distance of a trial is that of its embeddings (L2), smaller for one person.
    """
    found = {}
    for test in (test for test in task.tests if test.submission):
        faces = model.embed_faces(test.faces.vectors)
        distances = np.linalg.norm(faces - model.embed_voices(test.voices.vectors), axis=1)
        lines = (f"{key} {distance:.6f}\n" for key, distance in zip(test.trials.voices, distances, strict=True))
        found[test.submission] = "".join(lines)
    return found
