"""Evaluation of a model on a published trial list."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from vclip.association.base import Association, training_people, warning_of
from vclip.association.hashes import hashes_of, hashes_of_vectors
from vclip.association.leaks import near_identical
from vclip.association.metrics import (
    Crossing,
    Figure,
    RetrievalRanks,
    ScoredTrials,
    Verification,
    draw_people,
    verify,
)
from vclip.association.metrics.bootstrap import DRAWS
from vclip.association.metrics.ranking import drawn_retrieval, weighted_means
from vclip.association.pairs import Pairs, mean_direction
from vclip.association.scores import Scores
from vclip.association.trials.features import Features
from vclip.association.trials.lists import TrialList
from vclip.errors import InputError


@dataclass(frozen=True)
class TrialListEvaluation:
    """The figures of a model on a trial list, None where the list has no such trials. Intervals are over people."""

    trials: int  # scored trials
    left_out: int  # trials with a name that has no vector
    without_vectors: str  # the number of such names, and the first of them
    people: int
    voices: int
    faces: int
    verification: Verification | None
    matching: dict[str, dict[str, Figure]] | None  # v2f, f2v -> 1:N
    retrieval: dict[str, dict[str, Figure]] | None  # v2f, f2v -> map, r@1, ...; means over the lists
    seen: bool
    cohort_clips: int
    draws: int
    seed: int
    warning: str | None = None  # what is unknown about the test, such as the training people

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def with_vectors(
    trials: TrialList, faces: Features, voices: Features, partial: bool = False
) -> tuple[TrialList, np.ndarray, np.ndarray, str]:
    """Returns the trials whose names all have vectors, the rows of their faces and voices, and a note on the others.

    Raises:
        InputError: no trial has vectors; some have none and `partial` is not set; or all trials are of one kind.
    """
    face_row, voice_row = faces.find(trials.faces), voices.find(trials.voices)
    face, voice = face_row >= 0, voice_row >= 0
    keep = voice[trials.voice] & face[trials.face]
    lists = [(v, f, names, voice[v] & face[f]) for v, f, names in trials.retrievals]
    kept = replace(
        trials,
        voice=trials.voice[keep],
        face=trials.face[keep],
        same=trials.same[keep],
        matches=[(v, f) for v, f in trials.matches if voice[v].all() and face[f].all()],
        retrievals=[(v[known], f[known], names[known]) for v, f, names, known in lists if known.any()],
    )
    without = _without(trials, face, voice)
    if not len(kept):
        raise InputError(f"no trial has a face vector and a voice vector: {without}")
    if len(kept) < len(trials) and not partial:
        left_out = len(trials) - len(kept)
        raise InputError(
            f"{left_out} of {len(trials)} trials lack a vector: {without}; score the others with --partial"
        )
    if len(kept.same) and (kept.same.all() or not kept.same.any()):
        one = "all" if kept.same.all() else "none"
        raise InputError(f"{one} of {len(kept.same)} trials are of one person; expected some of each")
    kept, used_faces, used_voices = kept.of_used_names()
    return kept, face_row[used_faces], voice_row[used_voices], without


def _without(trials: TrialList, face: np.ndarray, voice: np.ndarray) -> str:
    said = []
    for what, names, known in (("faces", trials.faces, face), ("voices", trials.voices, voice)):
        missing = np.flatnonzero(~known)
        if len(missing):
            said.append(f"{len(missing)} of {len(names)} {what} have none, as '{names[missing[0]]}'")
    return "; ".join(said)


def evaluate_trials(
    model: Association,
    trials: TrialList,
    faces: Features,
    voices: Features,
    *,
    seed: int = 0,
    cohort: Pairs | None = None,
    top: int | None = None,
    seen: bool = False,
    partial: bool = False,
    draws: int = DRAWS,
) -> TrialListEvaluation:
    """Returns the figures of a model on a trial list; every vector is embedded once.

    Args:
        model: as of `evaluate`.
        trials: from `read_trials`.
        faces: vectors in the face space of the model, by the names of the list.
        voices: vectors in the voice space of the model, by the names of the list.
        seed: as of `evaluate`.
        cohort: as of `evaluate`.
        top: as of `evaluate`.
        seen: as of `evaluate`.
        partial: leave out trials without a vector, and count them, instead of raising.
        draws: as of `evaluate`.

    Raises:
        InputError: a trial has no vectors; vectors do not have the length that the model takes; a person of the list
            is in the cohort or in the training of the model (with `seen`: is not in its training).
    """
    count = len(trials)
    trials, face_rows, voice_rows, without = with_vectors(trials, faces, voices, partial)
    identity = np.concatenate([trials.face_identity, trials.voice_identity])
    _check_people(model, identity, seen)
    if not seen:
        _check_copies(model, faces.of_rows(face_rows), voices.of_rows(voice_rows), trials)
    if cohort is not None:
        _check_cohort(cohort, identity, faces.of_rows(face_rows), voices.of_rows(voice_rows), trials)
    scores = Scores(
        _embedded(model.embed_faces, faces, face_rows, "faces"),
        _embedded(model.embed_voices, voices, voice_rows, "voices"),
    ).normalised(model, cohort, top)
    people, person = np.unique(identity, return_inverse=True)
    face_person, voice_person = np.split(person, [len(trials.faces)])
    times = draw_people(len(people), draws, seed)
    verification = matching = found = None
    if len(trials.same):
        whose = face_person[trials.face], voice_person[trials.voice]
        verification = verify(
            ScoredTrials(scores.of_trials(trials.face, trials.voice), trials.same, *whose), times, seed
        )
    if trials.matches:
        matching = _matching(scores, trials, voice_person, times)
    if trials.retrievals:
        found = _retrieval(scores, trials, voice_person, times)
    return TrialListEvaluation(
        trials=len(trials),
        left_out=count - len(trials),
        without_vectors=without,
        people=len(people),
        voices=len(trials.voices),
        faces=len(trials.faces),
        verification=verification,
        matching=matching,
        retrieval=found,
        seen=seen,
        cohort_clips=0 if cohort is None else len(cohort),
        draws=draws,
        seed=seed,
        warning=warning_of(model),
    )


def _check_people(model: Association, identity: np.ndarray, seen: bool) -> None:
    known = np.isin(hashes_of("identity", identity), training_people(model))
    if seen and not known.all():
        raise InputError(f"identity '{identity[~known][0]}' was not in the model's training, expected one that was")
    if not seen and known.any():
        raise InputError(f"identity '{identity[known][0]}' was in the model's training; evaluate on others")


def _check_copies(
    model: Association,
    faces: tuple[np.ndarray, np.ndarray],
    voices: tuple[np.ndarray, np.ndarray],
    trials: TrialList,
) -> None:
    """Raises InputError if a vector of the trials is one that the model was trained on, whatever its name."""
    for (vectors, index), names, what in ((faces, trials.faces, "face"), (voices, trials.voices, "voice")):
        copied = np.isin(hashes_of_vectors(what, vectors), training_people(model))
        if copied.any():
            name = names[index[copied][0]]
            raise InputError(f"{what} '{name}' was in the model's training under another name; evaluate on others")


def _check_cohort(
    cohort: Pairs,
    identity: np.ndarray,
    faces: tuple[np.ndarray, np.ndarray],
    voices: tuple[np.ndarray, np.ndarray],
    trials: TrialList,
) -> None:
    """Raises InputError if the cohort and the trials share a person, or a near-identical face or voice."""
    shared = set(cohort.identity.tolist()) & set(identity.tolist())
    found = f"identity '{min(shared)}'" if shared else ""
    sides = ((cohort.faces, *faces, trials.faces, "face"), (cohort.voices, *voices, trials.voices, "voice"))
    for of_cohort, vectors, index, names, what in sides:
        for _, column, cosine in () if found else near_identical(of_cohort, vectors):
            found = f"{what} '{names[index[column]]}' (cosine {cosine:.4f})"
            break
    if found:
        raise InputError(f"the cohort and the trials share {found}; expected nothing in common")


def _embedded(
    embed: Callable[[np.ndarray], np.ndarray], features: Features, rows: np.ndarray, what: str
) -> np.ndarray:
    """Returns the mean direction of the embedded views of each row."""
    vectors, index = features.of_rows(rows)
    try:
        return mean_direction(embed(vectors), index, len(rows))
    except (RuntimeError, ValueError) as error:  # of torch and numpy, for vectors of another length
        raise InputError(f"{what}: the model does not take vectors of {vectors.shape[1]} numbers ({error})") from None


def _matching(
    scores: Scores, trials: TrialList, voice_person: np.ndarray, times: np.ndarray
) -> dict[str, dict[str, Figure]]:
    """Returns matching as published: among the first n of each list; a tie is a guess."""
    right: dict[str, dict[int, list[np.ndarray]]] = {"v2f": {}, "f2v": {}}
    probes: dict[int, list[np.ndarray]] = {}
    for size in sorted({min(len(v), len(f)) for v, f in trials.matches}):
        of_size = [(v[:size], f[:size]) for v, f in trials.matches if min(len(v), len(f)) == size]
        voices, faces = (np.array(rows) for rows in zip(*of_size, strict=True))  # (matches, size)
        both = {
            "v2f": scores.of_trials(faces.ravel(), np.repeat(voices[:, 0], size)),
            "f2v": scores.of_trials(np.repeat(faces[:, 0], size), voices.ravel()),
        }
        for n in range(2, size + 1):
            probes.setdefault(n, []).append(voice_person[voices[:, 0]])
            for direction, flat in both.items():
                true, others = np.split(flat.reshape(-1, size)[:, :n], [1], axis=1)
                wins = (others <= true).all(1) / (1 + (others == true).sum(1))
                right[direction].setdefault(n, []).append(wins)
    return {
        direction: {f"1:{n}": _of_probes(np.concatenate(wins), np.concatenate(probes[n]), times)
                    for n, wins in sorted(by_n.items())}
        for direction, by_n in right.items()
    }  # fmt: skip


def _retrieval(
    scores: Scores, trials: TrialList, voice_person: np.ndarray, times: np.ndarray
) -> dict[str, dict[str, Figure]]:
    """Returns retrieval as published: the mean over the lists."""
    drawn: dict[str, list[dict[str, np.ndarray]]] = {"v2f": [], "f2v": []}
    for voices, faces, names in trials.retrievals:
        label = np.unique(names, return_inverse=True)[1]
        person = np.zeros(label.max() + 1, int)
        person[label] = voice_person[voices]
        crossing = Crossing(lambda f, v, of=(faces, voices): scores(of[0][f], of[1][v]), label)
        for direction, probes in (("v2f", "voices"), ("f2v", "faces")):
            of_list = times[:, person]
            drawn[direction].append(drawn_retrieval(RetrievalRanks.of(crossing, probes, of_list), of_list))
    figures = {}
    for direction, lists in drawn.items():
        means = {name: np.nanmean([values[name] for values in lists], axis=0) for name in lists[0]}
        figures[direction] = {name: Figure.of(values[0], values[1:]) for name, values in means.items()}
    return figures


def _of_probes(values: np.ndarray, person: np.ndarray, times: np.ndarray) -> Figure:
    means = weighted_means(values, times[:, person])
    return Figure.of(means[0], means[1:])
