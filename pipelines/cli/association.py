"""Commands on association models: train, evaluate, compare, benchmark-association."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.app import (
    ConfigFile,
    FaceSpace,
    Json,
    Model,
    Overrides,
    StoreUri,
    Tag,
    Version,
    VoiceSpace,
    Where,
    app,
    at_of,
    config_of,
)
from pipelines.cli.output import interval, print_json, print_line, print_result, print_table
from pipelines.wording import count
from vclip.errors import InputError


@app.command()
def train(
    store: StoreUri,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the model to write.")],
    where: Where = None,
    folds: Annotated[
        int, typer.Option(min=0, help="Cross-validate over people first, with this many folds (0: do not).")
    ] = 0,
    method: Annotated[
        str, typer.Option(help="vclip, or a method to compare: paper, sge2e, ridge, cca, pins, self-lifting, fop.")
    ] = "vclip",
    workers: Annotated[
        int,
        typer.Option(min=1, help="Number of Ray processes that train one model, each on a GPU if there are any."),
    ] = 1,
    face_space: FaceSpace = None,
    voice_space: VoiceSpace = None,
    tag: Tag = None,
    version: Version = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Train the association model on a store's face-voice pairs.

    Training stops early by the AUC on held-out people. With few people, cross-validation decides when to stop, and
    the model is then trained on everybody. An interrupted run resumes when it is started again.

    Example: `vclip train --store work/pairs --out work/model --set train.seed=1`
    """
    from pipelines.association.train import train
    from pipelines.cli.in_words import training_in_words

    resolved, at = config_of(config, set, "train"), at_of(tag, version)
    result = train(store, out, resolved, where, folds, method, at, workers, face_space, voice_space)
    print_result(result if as_json else training_in_words(result), as_json, f"model {out}")


@app.command()
def evaluate(
    model: Model,
    store: Annotated[
        str | None, typer.Option("--store", help="Folder or object-store URI of the store to evaluate on.")
    ] = None,
    where: Where = None,
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
        bool, typer.Option("--seen", help="Evaluate on the people seen in training instead of all others.")
    ] = False,
    views: Annotated[
        int, typer.Option(min=1, help="Clips of one person, at most, that are scored together as one face and voice.")
    ] = 1,
    centre: Annotated[
        bool, typer.Option("--centre", help="Centre the model on the mean face and voice of --store, another domain.")
    ] = False,
    trials: Annotated[
        Path | None,
        typer.Option(help="List of trials to score: lines of `wav jpg` or `jpg wav` (.txt, .gz), or a pickle."),
    ] = None,
    trials_meta: Annotated[
        Path | None, typer.Option(help="Table with VoxCeleb1 ID and VGGFace1 ID, for lists that use both.")
    ] = None,
    face_features: Annotated[
        Path | None, typer.Option(help="Face vectors by name (.npz, .pkl), for --trials (default: from --store).")
    ] = None,
    voice_features: Annotated[
        Path | None, typer.Option(help="Voice vectors by name (.npz, .pkl), for --trials (default: from --store).")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Skip trials that lack a vector, and count them.")
    ] = False,
    tag: Tag = None,
    version: Version = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Evaluate a model on people that it was not trained on.

    Reports verification (AUC, EER), 1:N matching and retrieval, from voice to face and from face to voice: among all
    people, and within one gender, nationality and age band where the store has these labels; and for voices of a
    face's own clip, of the person's other clips and of other videos. The 95 % intervals are bootstrapped over people.

    Example: `vclip evaluate --store work/test --model work/model --out work/evaluation`

    Example: `vclip evaluate --model work/model --trials verify_v2f_test.txt.gz --trials-meta vox1_meta.csv
    --face-features face_input.pkl --voice-features voice_input.pkl --cohort work/store`
    """
    from pipelines.association.evaluate import Normalisation, TrialFiles, evaluate

    resolved = config_of(config, set, "train.device", "train.seed")
    options = {"--trials-meta": trials_meta, "--face-features": face_features, "--voice-features": voice_features}
    given = [name for name, value in {**options, "--partial": partial or None}.items() if value is not None]
    if trials is None and given:
        raise InputError(f"evaluate: found {given[0]} without --trials; expected both")
    if trials is None and store is None:
        raise InputError("evaluate: found neither --store nor --trials; expected one of them")
    if trials and views > 1:
        raise InputError("evaluate: found --views with --trials; a trial list says itself what is compared")
    if centre and store is None:
        raise InputError("evaluate: found --centre without --store; expected the store to centre on")
    if cohort is None and (cohort_where or cohort_top):
        raise InputError("evaluate: found --cohort-where or --cohort-top without --cohort; expected both")
    trial_files = TrialFiles(trials, trials_meta, face_features, voice_features, partial) if trials else None
    normalisation = Normalisation(cohort, cohort_where, cohort_top)
    result = evaluate(
        store, model, resolved, where, out, normalisation, train_store, seen, trial_files, at_of(tag, version), views,
        centre,
    ).to_json()  # fmt: skip
    if as_json:
        print_json(result)
    else:
        _print_evaluation(result, f"model {model}{' centred' if centre else ''} on {trials or store}")


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="Folder of an association model.")],
    b: Annotated[Path, typer.Argument(help="Folder of another association model.")],
    store: StoreUri,
    where: Where = None,
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

    resolved = config_of(config, set, "train.device", "train.seed")
    result = compare(a, b, store, resolved, where, out, at_of(tag, version)).to_json()
    if as_json:
        print_json(result)
        return
    rows = [
        (name.upper(), f"{each['a']:.3f}", f"{each['b']:.3f}", interval(each["b_minus_a"]), f"{each['p']:.3g}")
        for name, each in (("auc", result["auc"]), ("eer", result["eer"]))
    ]
    print_table(f"{a} and {b} on {store}", ("", "a", "b", "b - a", "p"), rows)
    clips, people = count(result["clips"], "clip"), count(result["people"], "person", "people")
    print_line(f"{clips} of {people}; intervals and p from {count(result['draws'], 'draw')} of people")
    _print_positives(result["positives"])
    _print_warning(result)


@app.command("benchmark-association")
def benchmark_association(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder or zip archive with the files of --protocol.", show_default=False)
    ] = None,
    store: Annotated[
        str | None, typer.Option("--store", help="Folder or object-store URI of the store to cross-validate on.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Published protocol instead: vfal-eva, self-lifting, fame, or a spec.")
    ] = None,
    curve: Annotated[
        bool, typer.Option("--curve", help="AUC by the number of training people instead, and what more would bring.")
    ] = False,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", help="Method to train; may be repeated. Default: all; with --curve, vclip."),
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, help="Number of folds of people of the store. Default: 5.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of times that everything is drawn and trained.")] = 1,
    face_spaces: Annotated[
        list[str] | None,
        typer.Option(
            "--face-space", help="Space of face vectors of the store; may be repeated, to compare encoders."
        ),
    ] = None,
    voice_spaces: Annotated[
        list[str] | None, typer.Option("--voice-space", help="Space of voice vectors of the store, likewise.")
    ] = None,
    where: Where = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the figures and a plot.")] = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Compare methods and encoders on a store, or methods on a protocol; or measure what more people would bring.

    On a store, all methods are cross-validated on the same held-out people. Figures are means and standard deviations
    over the folds; how far a method is behind the best, with the 95 % interval over people. Scores are normalised
    with the training people. Where the store has no genders, the two clusters of what faces and voices share most
    stand in for them. Of several spaces, each space of faces is combined with each space of voices.

    On a protocol, all methods are trained on its training part, selected on its valid part, and measured on its
    trials, beside the published figures.

    Example: `vclip benchmark-association --store work/pairs --seeds 3 --out work/methods`

    Example: `vclip benchmark-association --store work/pairs --method vclip
    --face-space mirrored/dlib/resnet-v1-128/crop1 --face-space onnx-face/w600k_r50/buffalo_l/0123456789ab/crop1`

    Example: `vclip benchmark-association --protocol vfal-eva dataset.zip --method vclip --method cca`

    Example: `vclip benchmark-association --store work/pairs --curve --out work/curve`
    """
    resolved = config_of(config, set, "train")
    if (store is None) == (protocol is None):
        found = "neither --store nor --protocol" if store is None else "both --store and --protocol"
        raise InputError(f"benchmark-association: found {found}; expected one of them")
    if (protocol is None) != (folder is None):
        raise InputError("benchmark-association: expected --protocol together with the folder of its files")
    if protocol is not None and folder is not None:
        if where or curve or folds or face_spaces or voice_spaces:
            options = "--where, --curve, --folds, --face-space and --voice-space"
            raise InputError(f"benchmark-association: {options} need --store, found --protocol")
        _benchmark_protocol(protocol, folder, resolved, methods or (), seeds, out, as_json)
        return
    assert store is not None
    folds = folds or 5
    if curve:
        _learning_curves(
            store, resolved, methods or ("vclip",), folds, seeds, where, out, as_json,
            _only("--face-space", face_spaces), _only("--voice-space", voice_spaces),
        )  # fmt: skip
        return
    from pipelines.association.benchmark import benchmark, numbered_spaces, table

    result = benchmark(
        store, resolved, methods or (), folds, seeds, where, out, face_spaces or (), voice_spaces or ()
    )
    if as_json:
        print_json(result)
        return
    head, *rows = table(result)
    people = count(result.people, "person", "people")
    print_table(f"{count(result.clips, 'clip')} of {people}", head, rows, whole="method")
    for name, spaces in numbered_spaces(result).items():
        for number, space in enumerate(spaces, 1):
            print_line(f"{name} {number}: {space}")
    _print_positives(result.positives)


def _benchmark_protocol(
    spec: str, folder: Path, config: Any, methods: Sequence[str], seeds: int, out: Path | None, as_json: bool
) -> None:
    from pipelines.association.protocol import benchmark_protocol, sources, tables

    result = benchmark_protocol(spec, folder, config, methods, seeds, out)
    if as_json:
        print_json(result)
        return
    for part in result.parts:
        for kind, (head, *rows) in tables(part):
            print_table(" ".join(filter(None, (result.protocol, part.part, kind))), head, rows)
        for number, source in enumerate(sources(part), 1):
            print_line(f"[{number}] published on the files of the protocol: {source}")


def _learning_curves(
    store: str,
    config: Any,
    methods: Sequence[str],
    folds: int,
    seeds: int,
    where: str | None,
    out: Path | None,
    as_json: bool,
    face_space: str | None,
    voice_space: str | None,
) -> None:
    from pipelines.association.curve import learning_curves, table

    result = learning_curves(store, config, methods, folds, seeds, where, out, face_space, voice_space)
    if as_json:
        print_json(result)
        return
    head, *rows = table(result)
    print_table(f"{count(result.clips, 'clip')} of {count(result.people, 'person', 'people')}", head, rows)
    for sentence in (sentence for of in result.methods for sentence in of.sentences()):
        print_line(sentence)


def _only(option: str, values: Sequence[str] | None) -> str | None:
    if values and len(values) > 1:
        raise InputError(f"benchmark-association --curve: found {len(values)} of {option}, expected one")
    return values[0] if values else None


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
    rows = [
        (name, interval(found["auc"]), interval(found["eer"]), f"{found['positives']:,}")
        for name, found in result.get("positives", {}).items()
    ]
    if rows:
        print_table("", ("same person, voice of the face's", "AUC", "EER", "trials"), rows)
    whole = next(iter(subgroups.values()))
    for kind, found in (("matching", whole["matching"]), ("retrieval", result["retrieval"])):
        if found:
            rows = [
                ("mAP" if name == "map" else name.upper(), *(interval(found[way][name]) for way in ("v2f", "f2v")))
                for name in found["v2f"]
            ]
            print_table("", (kind, "V2F", "F2V"), rows)
    for name, why in result.get("missing", {}).items():
        print_line(f"not measured, {name}: {why}")
    print_line(f"{_trials_of(result)} of {count(result['people'], 'person', 'people')}")
    print_line(f"below each figure: its 95 % interval, from {count(result['draws'], 'draw')} of people")
    _print_warning(result)


def _print_positives(positives: Mapping[str, int]) -> None:
    kinds = ", ".join(f"{trials:,} of {kind}" for kind, trials in positives.items() if trials)
    print_line(f"same-person trials, by the voice: {kinds}")


def _trials_of(result: Mapping[str, Any]) -> str:
    """Returns what is compared: trials of a list, clips, or groups of clips."""
    if "clips" not in result:
        return count(result["trials"], "trial")
    if result["views"] > 1:
        return (
            f"{count(result['clips'], 'group')} of up to {result['views']:,} of {count(result['of_clips'], 'clip')}"
        )
    drawn = f" (drawn from {result['of_clips']:,})" if result["of_clips"] > result["clips"] else ""
    return f"{count(result['clips'], 'clip')}{drawn}"


def _print_warning(result: Mapping[str, Any]) -> None:
    if result["warning"]:
        print_line(f"WARNING: {result['warning']}")
