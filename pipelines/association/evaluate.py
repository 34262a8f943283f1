"""`vclip evaluate` and `vclip compare`: models on people that they were not trained on.

test clips of a store, or a trial list -> scores of the model -> figures -> evaluation.json, plots and report.html
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.association.centring import centred_on
from pipelines.association.pairs import At, expect_spaces, in_other_spaces, open_model, store_pairs, unseen_pairs
from pipelines.cluster.derived import record_derived
from pipelines.config import Config
from pipelines.html.page import render
from pipelines.html.plots import plot_matching, plot_roc, plot_scores
from pipelines.progress import say, warn
from pipelines.wording import count
from stores import Store
from vclip.association.base import Association, training_people
from vclip.association.comparison import Comparison
from vclip.association.comparison import compare as compare_models
from vclip.association.evaluation import UNRESTRICTED, Evaluation
from vclip.association.evaluation import evaluate as evaluate_model
from vclip.association.leaks import check_leaks
from vclip.association.pairs import Pairs
from vclip.association.trials.evaluation import TrialListEvaluation, evaluate_trials
from vclip.association.trials.features import Features, read_features
from vclip.association.trials.lists import read_trials
from vclip.errors import InputError
from vclip.files import write_text

TRIAL_LIST = "trial list"  # on the page, in the place of the subgroups
DIRECTIONS = {"v2f": "voice to face", "f2v": "face to voice"}
_CAPTIONS = {
    "roc": "ROC curves: share of true pairs accepted against share of false pairs accepted",
    "scores": "Score distributions of faces and voices of one person, and of two people",
    "matching": "Accuracy of choosing the true one of N; the band is the 95% interval",
}


@dataclass(frozen=True)
class Normalisation:
    """The cohort for score normalisation (s-norm)."""

    cohort: str | None = None  # URI of a store of other people; scores are plain cosines if None
    where: str | None = None  # SQL filter over its clips
    top: int | None = None  # the number of highest cohort scores to normalise with; all if None


@dataclass(frozen=True)
class TrialFiles:
    """A trial list, and the files with the vectors of its names."""

    trials: Path
    metadata: Path | None = None  # table of VoxCeleb ids and VGGFace names
    faces: Path | None = None  # vectors by name; those of the store if None
    voices: Path | None = None
    partial: bool = False  # leave out trials without vectors


@dataclass(frozen=True)
class EvaluationResult:
    """The figures of a model and the inputs that they were measured on; evaluation.json holds both."""

    figures: Evaluation | TrialListEvaluation
    made_by: dict[str, Any]  # model, store, filters and files

    def to_json(self) -> dict[str, Any]:
        """Returns the keys of the figures, and `made_by`."""
        return self.figures.to_json() | {"made_by": self.made_by}


@dataclass(frozen=True)
class ComparisonResult:
    """The difference of two models and the inputs that it was measured on; comparison.json holds both."""

    figures: Comparison
    made_by: dict[str, Any]  # models, store and filter

    def to_json(self) -> dict[str, Any]:
        """Returns the keys of the comparison, and `made_by`."""
        return self.figures.to_json() | {"made_by": self.made_by}


def evaluate(
    store_uri: str | None,
    model_folder: Path,
    config: Config,
    *,
    where: str | None = None,
    out: Path | None = None,
    normalisation: Normalisation = Normalisation(),
    train_store: str | None = None,
    seen: bool = False,
    trial_files: TrialFiles | None = None,
    at: At = None,
    views: int | None = None,
    centre: bool = False,
) -> EvaluationResult:
    """Returns the figures of a model on people that it was not trained on.

    People of its training and early stopping are left out; a message says how many clips that were.

    Args:
        store_uri: the store with the test clips; None only where `trial_files` has vectors of its own.
        model_folder: the checkpoint.
        config: `train.seed` draws people for the intervals, `train.device` is where the model runs.
        where: SQL filter over clips.
        out: gets evaluation.json, report.html and the plots.
        normalisation: the cohort for score normalisation.
        train_store: the store that the model was trained on; near-identical vectors in it and the test are an error.
        seen: evaluate on the people that the model was trained on instead of the others.
        trial_files: the trials to score instead of all faces with all voices.
        at: the state of the store to read, a tag or a version; the newest if None.
        views: compare people, each by one face and one voice over up to so many clips; each clip by itself if None.
        centre: whether the model is centred on the means of the store, see `vclip.association.centring`.

    Raises:
        InputError, StoreError: no model, no store, no pairs, a leak, other encoders, or bad trials.
    """
    model, seed = open_model(model_folder, config), config.train.seed
    pairs = _test_pairs(model, store_uri, where, at, seen, model_folder) if store_uri else None
    if train_store:
        _check_training(model, train_store, pairs)
    if centre and store_uri:
        model = centred_on(model, Store.open(store_uri).snapshot(at), store_uri)
    cohort = store_pairs(model, normalisation.cohort, normalisation.where) if normalisation.cohort else None
    if trial_files:
        faces, voices = _vectors(trial_files, pairs, store_uri, at)
        trials = read_trials(trial_files.trials, trial_files.metadata)
        figures = evaluate_trials(
            model, trials, faces, voices, seed=seed, cohort=cohort, top=normalisation.top, seen=seen,
            partial=trial_files.partial,
        )  # fmt: skip
        if figures.left_out:
            say(f"left out {count(figures.left_out, 'trial')} without a vector: {figures.without_vectors}")
    elif pairs is not None:
        most = int(np.bincount(pairs.people()).max())
        if views is not None and views > most:
            warn(
                f"--views {views}: nobody has more than {count(most, 'clip')}, so figures are those of --views {most}"
            )
        figures = evaluate_model(
            model, pairs, seed=seed, cohort=cohort, top=normalisation.top, seen=seen, views=views
        )
    else:
        raise InputError("evaluate: found neither a store nor a trial list, expected one of them")
    made_by = {
        "model": str(model_folder),
        "store": store_uri,
        "store_at": at,
        "centred_on": store_uri if centre else None,
        "where": where,
        "cohort": normalisation.cohort,
        "cohort_where": normalisation.where,
        "cohort_top": normalisation.top,
        "train_store": train_store,
        "trials_file": str(trial_files.trials) if trial_files else None,
    }
    result = EvaluationResult(figures, _given(made_by))
    if out:
        write(out, result)
        record_derived(store_uri, "evaluation", out)
    return result


def compare(
    a: Path, b: Path, store_uri: str, config: Config, where: str | None = None, out: Path | None = None, at: At = None
) -> ComparisonResult:
    """Returns the figures of two models on the same trials, and the difference between them.

    Models of different encoders are compared on a store that has the vectors of both. People of the training of
    either model are left out; a message says how many clips that were.

    Args:
        a, b: checkpoint folders.
        store_uri: the store with the test clips.
        config: `train.seed` draws people, `train.device` is where the models run.
        where: SQL filter over clips.
        out: gets comparison.json.
        at: the state of the store to read, a tag or a version; the newest if None.

    Raises:
        InputError, StoreError: no model, no store, no pairs, nobody unseen by both models, or other encoders.
    """
    first, second = open_model(a, config), open_model(b, config)
    pairs = for_second = store_pairs(first, store_uri, where, at)
    spaces = second.face_space, second.voice_space
    if spaces != (first.face_space, first.voice_space):
        store = Store.open(store_uri)
        expect_spaces(second, store)
        for_second = in_other_spaces(pairs, store.snapshot(at), spaces, where)
    pairs = unseen_pairs(first, pairs, store_uri, a)
    for_second = for_second.select(np.isin(for_second.clip_id, pairs.clip_id))
    for_second = unseen_pairs(second, for_second, store_uri, b)
    pairs = pairs.select(np.isin(pairs.clip_id, for_second.clip_id))
    made_by = {"a": str(a), "b": str(b), "store": store_uri, "store_at": at, "where": where}
    result = ComparisonResult(
        compare_models(first, second, pairs, config.train.seed, pairs_of_b=for_second), _given(made_by)
    )
    if out:
        _write_json(out / "comparison.json", result)
    return result


def _given(made_by: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in made_by.items() if value is not None}


def _test_pairs(
    model: Association, store_uri: str, where: str | None, at: At, seen: bool, model_folder: Path
) -> Pairs:
    pairs = store_pairs(model, store_uri, where, at)
    if not seen:
        return unseen_pairs(model, pairs, store_uri, model_folder)
    known = pairs.select(pairs.seen_in(training_people(model)))
    if not len(known):
        raise InputError(f"store {store_uri}: {model_folder} was trained on nobody in it; drop --seen")
    warn(f"evaluating on {len(known):,} of {count(len(pairs), 'clip')}: {model_folder} WAS trained on these people")
    return known


def _check_training(model: Association, train_store: str, pairs: Pairs | None) -> None:
    if pairs is None:
        raise InputError("--train-store: found no --store, expected one whose vectors can be compared")
    training = store_pairs(model, train_store)
    training = training.select(training.seen_in(training_people(model)))
    if not len(training):
        raise InputError(
            f"--train-store {train_store}: the model was trained on nobody in it; give its training store"
        )
    check_leaks(training, pairs, "the training", "the test")


def _vectors(
    trial_files: TrialFiles, pairs: Pairs | None, store_uri: str | None, at: At
) -> tuple[Features, Features]:
    """Returns the face vectors and the voice vectors, of the files where given, else of the store's clips."""
    faces, voices = (read_features(file) if file else None for file in (trial_files.faces, trial_files.voices))
    if faces and voices:
        return faces, voices
    if pairs is None or store_uri is None:
        raise InputError("--trials: found no vectors; give --store, or --face-features and --voice-features")
    row_of = _clip_names(store_uri, at, pairs)
    return (
        faces or Features(row_of, pairs.faces, pairs.face_clip),
        voices or Features(row_of, pairs.voices, pairs.voice_clip),
    )


def _clip_names(store_uri: str, at: At, pairs: Pairs) -> dict[str, int]:
    """Returns the row of each clip by its id, and by the names of its source files where no other clip has them."""
    row_of_id = {name: row for row, name in enumerate(pairs.clip_id.tolist())}
    rows = dict(row_of_id)
    shared = set()
    for clip in Store.open(store_uri).snapshot(at).query("clips", ["clip_id", "video_uri"]).to_pylist():
        if clip["clip_id"] in row_of_id:
            for name in clip["video_uri"].split(" + "):  # an image and its audio, see `Source`
                row = row_of_id[clip["clip_id"]]
                if rows.setdefault(name, row) != row:
                    shared.add(name)
    return {name: row for name, row in rows.items() if name not in shared}


def write(out: Path, evaluation: EvaluationResult) -> None:
    """Writes evaluation.json, the plots for which the result has figures, and report.html."""
    _write_json(out / "evaluation.json", evaluation)
    result = evaluation.to_json()
    subgroups = result.get("subgroups") or {TRIAL_LIST: result}
    whole = subgroups[UNRESTRICTED if "subgroups" in result else TRIAL_LIST]
    verification, matching = whole["verification"], whole["matching"]
    drawn = {}
    if verification:
        curves = {
            name: {**subgroup["verification"], "auc": subgroup["verification"]["auc"]["value"]}
            for name, subgroup in subgroups.items()
        }
        drawn["roc"] = plot_roc(out / "roc.png", curves)
        score = "score, normalised" if result["cohort_clips"] else "cosine"
        drawn["scores"] = plot_scores(
            out / "scores.png", verification["histogram"], verification["eer"]["value"], score
        )
    if matching and matching["v2f"]:
        drawn["matching"] = plot_matching(out / "matching.png", matching)
    write_text(out / "report.html", page(result, drawn))


def page(result: Mapping[str, Any], plots: Mapping[str, Path]) -> str:
    """Returns the page of an evaluation, as HTML.

    Args:
        result: the content of evaluation.json.
        plots: roc, scores, matching -> the PNG files, which the page embeds.
    """
    all_trials = "subgroups" in result
    return render(
        "evaluation.html",
        result=result,
        whole=result["subgroups"][UNRESTRICTED] if all_trials else result,
        all_trials=all_trials,
        subgroups=result.get("subgroups") or {TRIAL_LIST: result},
        directions=DIRECTIONS,
        plots=[(plots[name].read_bytes(), caption) for name, caption in _CAPTIONS.items() if name in plots],
        made_by=result.get("made_by", {}),
        inputs=json.dumps(result.get("made_by", {}), indent=2),
    )


def _write_json(path: Path, result: EvaluationResult | ComparisonResult) -> None:
    write_text(path, json.dumps(result.to_json(), indent=2, allow_nan=False) + "\n")
