"""`vclip evaluate`: a model on people that it was not trained on, all against all or on a list of trials."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.association.evaluation_html import page
from pipelines.association.train import read_pairs
from pipelines.config import Config
from pipelines.html.plots import plot_matching, plot_roc, plot_scores
from pipelines.progress import say
from stores import Store
from vclip.association.base import Association
from vclip.association.comparison import compare as compare_models
from vclip.association.evaluation import evaluate as evaluate_model
from vclip.association.evaluation import unseen
from vclip.association.leaks import check_leaks
from vclip.association.methods import load as load_model
from vclip.association.pairs import Pairs
from vclip.association.subgroups import UNRESTRICTED
from vclip.association.trials.evaluation import evaluate_trials
from vclip.association.trials.features import Features, read_features
from vclip.association.trials.lists import read_trials
from vclip.errors import InputError, SpaceError

At = Mapping[str, int] | str | None  # a state of a store: a version, a tag, or the newest


@dataclass(frozen=True)
class Normalisation:
    """Against whom scores are normalised."""

    cohort: str | None = None  # URI of a store of others; scores are plain cosines if None
    where: str | None = None  # SQL filter over its clips
    top: int | None = None  # only the so many highest scores with the cohort


@dataclass(frozen=True)
class TrialFiles:
    """A list of trials, and where the vectors of its names are."""

    trials: Path
    metadata: Path | None = None  # table of VoxCeleb ids and VGGFace names
    faces: Path | None = None  # vectors by name; of the store if None
    voices: Path | None = None
    partial: bool = False  # leaves out trials without vectors


def evaluate(
    store_uri: str | None,
    model_folder: Path,
    config: Config,
    where: str | None = None,
    out: Path | None = None,
    normalisation: Normalisation = Normalisation(),
    train_store: str | None = None,
    seen: bool = False,
    listed: TrialFiles | None = None,
    at: At = None,
) -> dict[str, Any]:
    """Returns the figures, and writes them with plots and a page to `out` if given.

    People that had a part in the model's training are left out, and it is said how many.

    Args:
        store_uri: whose clips; None only where `listed` has vectors of its own.
        model_folder: the checkpoint.
        config: its `train.seed` draws people for the intervals, `train.device` is where the model runs.
        where: SQL filter over clips.
        out: gets evaluation.json, report.html and the plots.
        normalisation: against whom scores are normalised.
        train_store: where the model was trained; its vectors are compared with those of the test.
        seen: takes the people that the model was trained on instead of the others.
        listed: scores these trials instead of all faces with all voices.
        at: the state of the store to read, a tag or a version; the newest if None.

    Raises:
        InputError, StoreError: no model, no store, no pairs, a leak, other encoders, or bad trials.
    """
    model = open_model(model_folder, config)
    seed = config.train.seed
    pairs = _test_pairs(model, store_uri, where, at, seen, model_folder) if store_uri else None
    if train_store:
        _check_training(model, train_store, pairs)
    cohort = store_pairs(model, normalisation.cohort, normalisation.where) if normalisation.cohort else None
    if listed is None:
        result = evaluate_model(model, pairs, seed, cohort, normalisation.top, seen).to_json()
    else:
        faces, voices = _vectors(listed, pairs, store_uri, at)
        trials = read_trials(listed.trials, listed.metadata)
        found = evaluate_trials(
            model, trials, faces, voices, seed, cohort, normalisation.top, seen, listed.partial
        )  # fmt: skip
        if found.left_out:
            say(f"left out {found.left_out} trials that lack a vector: {found.without_vectors}")
        result = found.to_json()
    made_by = {
        "model": str(model_folder),
        "store": store_uri,
        "store_at": at,
        "where": where,
        "cohort": normalisation.cohort,
        "cohort_where": normalisation.where,
        "cohort_top": normalisation.top,
        "train_store": train_store,
        "trials_file": str(listed.trials) if listed else None,
    }
    result = {**result, "made_by": {name: value for name, value in made_by.items() if value is not None}}
    if out:
        write(out, result)
    return result


def open_model(folder: Path, config: Config) -> Association:
    """Returns the model of a checkpoint folder; raises InputError where there is none."""
    return load_model(folder, config.train.device or "cpu")


def store_pairs(model: Association, store_uri: str, where: str | None = None, at: At = None) -> Pairs:
    """Returns the clips of a store, at a tag or version of it, made with the model's encoders.

    Raises:
        InputError, StoreError: no store, no pairs, or other encoders.
    """
    store = Store.open(store_uri)
    for expected, found in ((model.face_space, store.spaces("faces")), (model.voice_space, store.spaces("voices"))):
        if expected not in found:
            raise SpaceError(", ".join(found), expected, f"store {store_uri} with this model")
    return read_pairs(store, where, store.snapshot(at), spaces=(model.face_space, model.voice_space))


def unseen_pairs(model: Association, pairs: Pairs, store_uri: str, model_folder: Path) -> Pairs:
    """Returns the clips of others than those the model was trained on, and says how many those are.

    Raises:
        InputError: nobody is left.
    """
    others = unseen(model, pairs)
    if not len(others):
        raise InputError(
            f"store {store_uri}: everyone in it had a part in the training of {model_folder}; use another"
        )
    if len(others) < len(pairs):
        left_out = len(pairs) - len(others)
        say(f"left out {left_out} of {len(pairs)} clips: their people had a part in the training of {model_folder}")
    return others


def _test_pairs(
    model: Association, store_uri: str, where: str | None, at: At, seen: bool, model_folder: Path
) -> Pairs:
    pairs = store_pairs(model, store_uri, where, at)
    if not seen:
        return unseen_pairs(model, pairs, store_uri, model_folder)
    known = pairs.select(pairs.seen_in(model.seen))
    if not len(known):
        raise InputError(f"store {store_uri}: nobody in it had a part in the training of {model_folder}; drop --seen")
    say(f"measuring {len(known)} of {len(pairs)} clips: their people HAD a part in the training of {model_folder}")
    return known


def _check_training(model: Association, train_store: str, pairs: Pairs | None) -> None:
    if pairs is None:
        raise InputError("--train-store: found no --store, expected one whose vectors can be compared")
    training = store_pairs(model, train_store)
    training = training.select(training.seen_in(model.seen))
    if not len(training):
        raise InputError(f"--train-store {train_store}: the model has seen nobody in it; it was trained elsewhere")
    check_leaks(training, pairs, "the training", "the test")


def _vectors(listed: TrialFiles, pairs: Pairs | None, store_uri: str | None, at: At) -> tuple[Features, Features]:
    """Returns the vectors of faces and of voices: of files where given, else of the store's clips."""
    files = (listed.faces, listed.voices)
    if None in files and pairs is None:
        raise InputError("--trials: found no vectors; give --store, or --face-features and --voice-features")
    row_of = _clip_names(store_uri, at, pairs) if None in files else {}
    of_store = () if pairs is None else ((pairs.faces, pairs.face_clip), (pairs.voices, pairs.voice_clip))
    return tuple(
        read_features(file) if file else Features(row_of, *of_store[side]) for side, file in enumerate(files)
    )


def _clip_names(store_uri: str, at: At, pairs: Pairs) -> dict[str, int]:
    """Returns the row of each clip by its id, and by the files that it was read from, where no other clip was."""
    row_of_id = {name: row for row, name in enumerate(pairs.clip_id.tolist())}
    rows = dict(row_of_id)
    shared = set()
    for clip in Store.open(store_uri).snapshot(at).query("clips", ["clip_id", "video_uri"]).to_pylist():
        if clip["clip_id"] in row_of_id:
            for name in clip["video_uri"].split(" + "):  # a picture and its sound, see `Source`
                row = row_of_id[clip["clip_id"]]
                if rows.setdefault(name, row) != row:
                    shared.add(name)
    return {name: row for name, row in rows.items() if name not in shared}


def write(out: Path, result: Mapping[str, Any]) -> None:
    """Writes evaluation.json, the plots that the result has figures for, and report.html."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(json.dumps(result, indent=2, allow_nan=False) + "\n")
    whole = result["subgroups"][UNRESTRICTED] if "subgroups" in result else result
    drawn = {}
    verification, matching = whole["verification"], whole["matching"]
    if verification:
        subgroups = result.get("subgroups") or {"listed trials": result}
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
    (out / "report.html").write_text(page(result, drawn), encoding="utf-8")


def compare(
    a: Path, b: Path, store_uri: str, config: Config, where: str | None = None, out: Path | None = None, at: At = None
) -> dict[str, Any]:
    """Returns the figures of two models on the same trials, and of their difference; writes them to `out` if given.

    People that had a part in the training of either are left out, and it is said how many.

    Args:
        a, b: checkpoint folders.
        store_uri: whose clips.
        config: its `train.seed` draws people.
        where: SQL filter over clips.
        out: gets comparison.json.
        at: the state of the store to read, a tag or a version; the newest if None.

    Raises:
        InputError, StoreError: no model, no store, no pairs, nobody unseen by both, or other encoders.
    """
    first, second = open_model(a, config), open_model(b, config)
    for name in ("face_space", "voice_space"):
        if getattr(first, name) != getattr(second, name):
            raise SpaceError(getattr(second, name), getattr(first, name), f"models {a} and {b}")
    pairs = store_pairs(first, store_uri, where, at)
    for model, folder in ((first, a), (second, b)):
        pairs = unseen_pairs(model, pairs, store_uri, folder)
    made_by = {"a": str(a), "b": str(b), "store": store_uri, "store_at": at, "where": where}
    made_by = {name: value for name, value in made_by.items() if value is not None}
    result = {**compare_models(first, second, pairs, config.train.seed).to_json(), "made_by": made_by}
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / "comparison.json").write_text(json.dumps(result, indent=2, allow_nan=False) + "\n")
    return result
