"""Evaluation of association models: evaluate and compare."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.app import ConfigFile, Json, Model, Overrides, StoreUri, Tag, Version, app, at_of, config_of
from pipelines.cli.output import interval, print_json, print_line, print_table
from pipelines.wording import count


@app.command()
def evaluate(
    model: Model,
    store: Annotated[
        str | None, typer.Option("--store", help="Folder or object-store URI of the store to measure on.")
    ] = None,
    where: Annotated[str | None, typer.Option(help="SQL filter over clips, as in \"split = 'test'\".")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for evaluation.json, report.html and the plots.")
    ] = None,
    cohort: Annotated[
        str | None,
        typer.Option(help="Store of other people to normalise scores with (s-norm), such as the training store."),
    ] = None,
    cohort_where: Annotated[str | None, typer.Option(help="SQL filter over the cohort's clips.")] = None,
    cohort_top: Annotated[
        int | None,
        typer.Option(min=2, help="Number of highest cohort scores to normalise with (adaptive s-norm)."),
    ] = None,
    train_store: Annotated[
        str | None,
        typer.Option(help="Store that the model was trained on; the test must share no face and no voice with it."),
    ] = None,
    seen: Annotated[
        bool, typer.Option("--seen", help="Evaluate on the people of the training instead of all others.")
    ] = False,
    trials: Annotated[
        Path | None,
        typer.Option(help="List of trials to score: lines of `wav jpg` or `jpg wav` (.txt, .gz), or a pickle."),
    ] = None,
    trials_meta: Annotated[
        Path | None, typer.Option(help="Table with VoxCeleb1 ID and VGGFace1 ID, for lists that use both.")
    ] = None,
    face_features: Annotated[
        Path | None, typer.Option(help="Face vectors by name (.npz, .pkl), for --trials; of --store if not given.")
    ] = None,
    voice_features: Annotated[
        Path | None, typer.Option(help="Voice vectors by name (.npz, .pkl), for --trials; of --store if not given.")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Leave out trials that lack a vector, and count them.")
    ] = False,
    tag: Tag = None,
    version: Version = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Evaluate a model on people that it was not trained on.

    Reports verification (AUC, EER), 1:N matching and retrieval, from voice to face and from face to voice: among all
    people, and within one gender, nationality and age band where the store has these labels. The 95 % intervals are
    bootstrapped over people.

    Example: `vclip evaluate --store work/test --model work/model --out work/evaluation`

    Example: `vclip evaluate --model work/model --trials verify_v2f_test.txt.gz --trials-meta vox1_meta.csv
    --face-features face_input.pkl --voice-features voice_input.pkl --cohort work/store`
    """
    from pipelines.association.evaluate import Normalisation, TrialFiles, evaluate
    from vclip.errors import InputError

    resolved = config_of(config, set, "train.device", "train.seed")
    options = {"--trials-meta": trials_meta, "--face-features": face_features, "--voice-features": voice_features}
    given = [name for name, value in {**options, "--partial": partial or None}.items() if value is not None]
    if trials is None and given:
        raise InputError(f"evaluate: found {given[0]} without --trials; expected both")
    if trials is None and store is None:
        raise InputError("evaluate: found neither --store nor --trials; expected one of them")
    if cohort is None and (cohort_where or cohort_top):
        raise InputError("evaluate: found --cohort-where or --cohort-top without --cohort; expected both")
    trial_files = TrialFiles(trials, trials_meta, face_features, voice_features, partial) if trials else None
    normalisation = Normalisation(cohort, cohort_where, cohort_top)
    result = evaluate(
        store, model, resolved, where, out, normalisation, train_store, seen, trial_files, at_of(tag, version)
    ).to_json()
    if as_json:
        print_json(result)
    else:
        _print_evaluation(result, f"model {model} on {trials or store}")


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="Folder of an association model.")],
    b: Annotated[Path, typer.Argument(help="Folder of another association model.")],
    store: StoreUri,
    where: Annotated[str | None, typer.Option(help="SQL filter over clips, as in \"split = 'test'\".")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for comparison.json.")] = None,
    tag: Tag = None,
    version: Version = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Test whether one model is better than another, on the same trials of people that neither was trained on.

    Reports the difference of AUC and EER with its 95 % interval and p-value, by a paired bootstrap over people.

    Example: `vclip compare work/model work/other-model --store work/test`
    """
    from pipelines.association.evaluate import compare

    result = compare(
        a, b, store, config_of(config, set, "train.device", "train.seed"), where, out, at_of(tag, version)
    ).to_json()
    if as_json:
        print_json(result)
        return
    rows = []
    for name in ("auc", "eer"):
        found = result[name]
        rows.append(
            (
                name.upper(),
                f"{found['a']:.3f}",
                f"{found['b']:.3f}",
                interval(found["b_minus_a"]),
                f"{found['p']:.3g}",
            )
        )
    print_table(f"{a} and {b} on {store}", ("", "a", "b", "b - a", "p"), rows)
    clips, people = count(result["clips"], "clip"), count(result["people"], "person", "people")
    print_line(f"{clips} of {people}; intervals and p from {count(result['draws'], 'draw')} of people")
    _print_warning(result)


def _print_evaluation(result: Mapping[str, Any], title: str) -> None:
    subgroups = result.get("subgroups") or {"trial list": result}
    title += ": people SEEN in training" if result["seen"] else ""
    rows = []
    for name, subgroup in subgroups.items():
        found = subgroup["verification"]
        if found:
            match = [interval((subgroup["matching"] or {}).get(way, {}).get("1:2")) for way in ("v2f", "f2v")]
            trials = f"{found['positives'] + found['negatives']:,}"
            rows.append((name, interval(found["auc"]), interval(found["eer"]), *match, trials))
    print_table(title, ("trials within", "AUC", "EER", "1:2 V2F", "1:2 F2V", "trials"), rows)
    whole = next(iter(subgroups.values()))
    for kind, found in (("matching", whole["matching"]), ("retrieval", result["retrieval"])):
        if found:
            rows = [(name, *(interval(found[way][name]) for way in ("v2f", "f2v"))) for name in found["v2f"]]
            print_table("", (kind, "V2F", "F2V"), rows)
    for name, why in result.get("missing", {}).items():
        print_line(f"not measured, {name}: {why}")
    counts = count(result["clips"], "clip") if "clips" in result else count(result["trials"], "trial")
    drawn = f" (drawn from {result['of_clips']:,})" if result.get("of_clips", 0) > result.get("clips", 0) else ""
    print_line(f"{counts}{drawn} of {count(result['people'], 'person', 'people')}")
    print_line(f"below each figure: its 95 % interval, from {count(result['draws'], 'draw')} of people")
    _print_warning(result)


def _print_warning(result: Mapping[str, Any]) -> None:
    if result["warning"]:
        print_line(f"WARNING: {result['warning']}")
