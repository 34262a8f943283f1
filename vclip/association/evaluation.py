"""Evaluation: verification, matching and retrieval on people that training never saw, with intervals over people.

The trials are all faces with all voices, so no selection can flatter the figures. Figures are exact; only the
intervals draw people at random, by a seed that the result records.

What is compared, and which positives are told apart, is in `galleries`.

Nearly all that a voice says about a face is gender: among people of one gender, the AUC of published systems falls
from 87-89 to 76-79. So each figure is also given for the trials within subgroups of people who share a label.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from vclip.association.base import Association, training_people, warning_of
from vclip.association.galleries import OTHER_CLIPS, OTHER_VIDEOS, POOL_DRAWS, Galleries
from vclip.association.leaks import check_leaks
from vclip.association.metrics import (
    Crossing,
    Figure,
    RetrievalRanks,
    Verification,
    draw_people,
    matching,
    retrieval,
    verify,
)
from vclip.association.metrics.bootstrap import DRAWS
from vclip.association.metrics.ranking import chance
from vclip.association.pairs import Pairs
from vclip.association.scores import Scores
from vclip.association.subgroups import SUBGROUPS, rows_by_label, subgroups
from vclip.errors import InputError
from vclip.threads import with_threads_for

MAX_CLIPS = 20_000  # comparing all with all takes minutes; of more clips, people are drawn
UNRESTRICTED = "unrestricted"
DIRECTIONS = {"v2f": "voices", "f2v": "faces"}  # the probes of voice to face, and of face to voice


@dataclass(frozen=True)
class Subgroup:
    """The figures of the trials within groups of people who share a label."""

    verification: Verification
    matching: dict[str, dict[str, Figure]]  # v2f, f2v -> 1:N
    clips: int  # or people, where these are compared
    groups: int


@dataclass(frozen=True)
class Evaluation:
    """The figures of a model. Rates are 0..1; `low` and `high` bound the 95 % intervals over people."""

    auc: float
    auc_low: float | None  # bounds are None where no draw of people has a figure
    auc_high: float | None
    eer: float
    eer_low: float | None
    eer_high: float | None
    auc_same_gender: float | None  # trials within one gender only; None where the data has too few
    clips: int
    people: int
    subgroups: dict[str, Subgroup]  # unrestricted first, then those for which there are labels
    positives: dict[str, Verification]  # own clip, other clips, other videos: where the voices of positives are from
    missing: dict[str, str]  # subgroup, or kind of positives -> the reason why it has no figures
    retrieval: dict[str, dict[str, Figure]]  # v2f, f2v -> map, r@1, r@5, r@10
    retrieval_chance: dict[str, dict[str, float]]  # the same for random scores
    of_clips: int  # the clips from which people were drawn; else as `clips`
    seen: bool  # whether the model was trained on these people
    cohort_clips: int  # 0 if scores are cosines without normalisation
    draws: int
    seed: int
    roc_false_alarm: list[float] = field(repr=False)
    roc_hit: list[float] = field(repr=False)
    warning: str | None = None  # what is unknown about the test, such as the training people
    views: int | None = None  # clips, at most, behind the face and the voice of a person; None: each clip by itself
    galleries: int = 1  # draws of these clips

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def unseen(model: Association, pairs: Pairs) -> Pairs:
    """Returns the clips of people that the model was not trained on; early stopping counts as training.

    All clips are returned if the model does not record its training people; evaluation then warns.
    """
    return pairs.select(~pairs.seen_in(training_people(model)))


@with_threads_for("pairs")
def evaluate(
    model: Association,
    pairs: Pairs,
    *,
    seed: int = 0,
    cohort: Pairs | None = None,
    top: int | None = None,
    seen: bool = False,
    draws: int = DRAWS,
    held_out: bool = False,
    max_clips: int = MAX_CLIPS,
    views: int | None = None,
) -> Evaluation:
    """Returns the figures of a model on all faces with all voices of `pairs`.

    Args:
        model: the association model that scores the pairs.
        pairs: clips of at least two people.
        seed: draws people, for the intervals and beyond `max_clips`.
        cohort: clips of other people for score normalisation, see `vclip.association.scores`; cosines if None.
        top: the number of highest cohort scores to normalise with (adaptive s-norm); all if None.
        seen: whether the people are those that the model was trained on; the result records it.
        draws: the number of draws of people, for the intervals.
        held_out: whether the caller held these people out of the training, as `cross_validate` does. Otherwise the
            result has a warning if the model does not record its training people.
        max_clips: of more clips, people are drawn until there are about so many.
        views: compare people, each by one face and one voice over up to so many clips; each clip by itself if None.

    Raises:
        InputError: fewer than two people; a person that the model was trained on (see `unseen`) or, with `seen`, was
            not trained on; a leak between cohort and test; vectors that hold NaN or infinity; `views` below 1.
    """
    _check_people(model, pairs, seen)
    if cohort is not None:
        check_leaks(cohort, pairs, "the cohort", "the test")
    some = some_people(pairs, seed, max_clips)
    expect_people(some)
    compared = Galleries.of_clips(some)
    if views is not None:
        most = max(1, max_clips // len(np.unique(some.people())))
        compared = Galleries.of_people(some, views, seed, min(POOL_DRAWS, most))
    scores = Scores.of(model, compared.pairs, cohort, top)
    people = compared.pairs.people()
    times = draw_people(int(people.max()) + 1, draws, seed)
    everyone = Crossing(scores, people, compared.rows)
    ranks = {name: RetrievalRanks.of(everyone, probes, times, seed) for name, probes in DIRECTIONS.items()}
    found = {UNRESTRICTED: _subgroup(everyone, ranks, times, seed, len(compared.rows))}
    whole = found[UNRESTRICTED].verification
    positives, missing = _by_positives(everyone, compared, whole, times, seed)
    for name, labels in subgroups(compared.pairs).items():
        groups = [rows[group] for rows in compared.rows for group in rows_by_label(labels[rows])]
        crossing = Crossing(scores, people, groups) if groups else None
        if crossing is None:
            missing[name] = "no clip has the label"
        elif not crossing.negatives:
            missing[name] = "no two people share the label"
        else:
            within = {
                direction: RetrievalRanks.of(crossing, probes, times, seed)
                for direction, probes in DIRECTIONS.items()
            }
            found[name] = _subgroup(crossing, within, times, seed, len(compared.rows))
    gender = found.get(SUBGROUPS[0])
    auc, eer = whole.auc.value, whole.eer.value
    assert auc is not None, "two people give trials of both kinds"
    assert eer is not None, "two people give trials of both kinds"
    return Evaluation(
        auc=auc,
        auc_low=whole.auc.low,
        auc_high=whole.auc.high,
        eer=eer,
        eer_low=whole.eer.low,
        eer_high=whole.eer.high,
        auc_same_gender=gender.verification.auc.value if gender else None,
        clips=len(some),
        people=int(people.max()) + 1,
        subgroups=found,
        positives=positives,
        missing=missing,
        retrieval={name: retrieval(of, times) for name, of in ranks.items()},
        retrieval_chance={name: chance(of) for name, of in ranks.items()},
        of_clips=len(pairs),
        seen=seen,
        cohort_clips=0 if cohort is None else len(cohort),
        draws=draws,
        seed=seed,
        roc_false_alarm=whole.roc_false_alarm,
        roc_hit=whole.roc_hit,
        warning=None if held_out else warning_of(model),
        views=views,
        galleries=len(compared.rows),
    )


@with_threads_for("pairs")
def cross_validate(
    pairs: Pairs,
    train_one: Callable[[Pairs, int], Association],
    folds: int = 5,
    seed: int = 0,
) -> list[Evaluation]:
    """Returns the evaluation of each fold, by a model that was trained without its people.

    Args:
        pairs: all clips.
        train_one: takes the clips outside a fold and the number of the fold, and returns a model. It must split its
            own dev set off these clips, so that neither training nor early stopping sees the people of the fold.
        folds: the number of folds of people.
        seed: draws the folds, and people for the intervals.
    """
    fold = pairs.folds(folds, seed)
    results = []
    for number in range(folds):
        model = train_one(pairs.select(fold != number), number)
        results.append(evaluate(model, pairs.select(fold == number), seed=seed, held_out=True))
    return results


def _check_people(model: Association, pairs: Pairs, seen: bool) -> None:
    """Raises InputError if the model was trained on one of the people or, with `seen`, was not."""
    known = pairs.seen_in(training_people(model))
    if seen and not known.all():
        raise InputError(
            f"identity '{pairs.identity[~known][0]}' was not in the model's training, expected one that was"
        )
    if not seen and known.any():
        copies = pairs.clip_id[pairs.copied_in(training_people(model))].tolist()
        copied = f" (clip '{copies[0]}' has a face or a voice of a training clip)" if copies else ""
        name = pairs.identity[known][0]
        raise InputError(f"identity '{name}' was in the model's training{copied}; evaluate on others")


def _subgroup(
    crossing: Crossing, ranks: dict[str, RetrievalRanks], times: np.ndarray, seed: int, galleries: int
) -> Subgroup:
    return Subgroup(
        verify(crossing, times, seed),
        {name: {f"1:{n}": figure for n, figure in matching(of, times).items()} for name, of in ranks.items()},
        sum(map(len, crossing.groups)) // galleries,
        len(crossing.groups) // galleries,
    )


def _by_positives(
    everyone: Crossing, compared: Galleries, whole: Verification, times: np.ndarray, seed: int
) -> tuple[dict[str, Verification], dict[str, str]]:
    """Returns the figures for each kind of positives, and why others have none; `whole` is of all of them."""
    found, missing, kinds = {}, {}, compared.kinds
    for name, kind in kinds.items():
        if not kind.trials:
            missing[name] = kind.why_none
        elif kind.trials == whole.positives:
            found[name] = whole
        elif name == OTHER_VIDEOS and kind.trials == kinds[OTHER_CLIPS].trials:
            found[name] = found[OTHER_CLIPS]
        else:
            found[name] = verify(replace(everyone, among=kind.among), times, seed)
    return found, missing


def expect_people(pairs: Pairs) -> None:
    """Raises InputError if there are fewer than two people, or a clip has no identity."""
    people = int(pairs.people().max(initial=-1)) + 1
    if people < 2:
        raise InputError(f"expected at least 2 people to evaluate on, found {people}")


def some_people(pairs: Pairs, seed: int, max_clips: int = MAX_CLIPS) -> Pairs:
    """Returns at most `max_clips` clips, those of people drawn at random; of two people at least."""
    if len(pairs) <= max_clips:
        return pairs
    people = pairs.people()
    order = np.random.default_rng(seed).permutation(int(people.max()) + 1)
    fits = np.cumsum(np.bincount(people)[order]) <= max_clips
    fits[:2] = True
    return pairs.select(np.isin(people, order[fits]))
