"""Commands on association models: train, evaluate, compare."""

from pathlib import Path
from shlex import quote
from typing import Annotated

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
from pipelines.cli.evaluation_tables import print_evaluation, print_positives, print_warning
from pipelines.cli.output import interval, print_json, print_line, print_result, print_table, say_next
from pipelines.progress import say
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
    result = train(
        store,
        out,
        resolved,
        where=where,
        folds=folds,
        method=method,
        version=at,
        workers=workers,
        face_space=face_space,
        voice_space=voice_space,
    )
    print_result(result if as_json else training_in_words(result), as_json, f"model {out}")
    if not as_json:
        say_next(f"vclip evaluate --store STORE_OF_OTHER_PEOPLE --model {quote(str(out))}")


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
        int | None,
        typer.Option(
            min=1,
            help="Compare people instead of clips: each by one face and one voice, pooled over up to so many clips.",
        ),
    ] = None,
    centre: Annotated[
        bool,
        typer.Option("--centre", help="Centre on the mean face and voice of --store, if it is of another domain."),
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
    people, and within one gender, nationality, language and age band where the store has these labels; and for voices
    of a face's own clip, of the person's other clips and of other videos. The 95% intervals are bootstrapped over
    people.

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
    if trials and views:
        raise InputError("evaluate: found --views with --trials; a trial list says itself what is compared")
    if centre and store is None:
        raise InputError("evaluate: found --centre without --store; expected the store to centre on")
    if cohort is None and (cohort_where or cohort_top):
        raise InputError("evaluate: found --cohort-where or --cohort-top without --cohort; expected both")
    trial_files = TrialFiles(trials, trials_meta, face_features, voice_features, partial) if trials else None
    normalisation = Normalisation(cohort, cohort_where, cohort_top)
    result = evaluate(
        store, model, resolved, where=where, out=out, normalisation=normalisation, train_store=train_store, seen=seen,
        trial_files=trial_files, at=at_of(tag, version), views=views, centre=centre,
    ).to_json()  # fmt: skip
    if as_json:
        print_json(result)
    else:
        print_evaluation(result, f"model {model}{' centred' if centre else ''} on {trials or store}")
        if out:
            say(f"report: {out / 'report.html'}")


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

    Reports the difference of AUC and EER with its 95% interval and p-value, by a paired bootstrap over people.

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
    print_positives(result["positives"])
    print_warning(result)
