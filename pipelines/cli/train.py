"""Training of association models, and all methods side by side: train and benchmark-association."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.app import ConfigFile, Json, Overrides, StoreUri, Tag, Version, app, at_of, config_of
from pipelines.cli.output import print_json, print_result, print_table
from pipelines.wording import count


@app.command()
def train(
    store: StoreUri,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the model to write.")],
    where: Annotated[str | None, typer.Option(help="SQL filter over clips, as in \"split = 'train'\".")] = None,
    folds: Annotated[
        int, typer.Option(min=0, help="Number of folds of a cross-validation over people, made first (0: none).")
    ] = 0,
    method: Annotated[
        str, typer.Option(help="Method: vclip; to compare with it paper, sge2e, ridge, cca, pins, self-lifting, fop.")
    ] = "vclip",
    workers: Annotated[
        int,
        typer.Option(min=1, help="Processes that train one model through Ray, each on a GPU if there are any."),
    ] = 1,
    face_space: Annotated[
        str | None, typer.Option(help="Space of the face vectors, if the store has several.")
    ] = None,
    voice_space: Annotated[
        str | None, typer.Option(help="Space of the voice vectors, if the store has several.")
    ] = None,
    tag: Tag = None,
    version: Version = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Train the association model on a store's face-voice pairs.

    Training stops early by the AUC on people held out; with few people, folds find when to stop, and the model is
    then trained on everybody. An interrupted run resumes when it is started again.

    Example: `vclip train --store work/pairs --out work/model --set train.seed=1`
    """
    from pipelines.association.train import train

    result = train(
        store,
        out,
        config_of(config, set, "train"),
        where,
        folds,
        method,
        at_of(tag, version),
        workers,
        face_space,
        voice_space,
    )
    print_result(result.to_json(), as_json, f"model {out}")


@app.command("benchmark-association")
def benchmark_association(
    store: StoreUri,
    methods: Annotated[
        list[str] | None, typer.Option("--method", help="Method to train; may be repeated. Default: all.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Number of folds of people.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Number of times that the folds are drawn anew.")] = 1,
    where: Annotated[str | None, typer.Option(help='SQL filter over clips, as in "age > 17".')] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for association.json and association.png.")
    ] = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Compare the methods on a store by cross-validation, with the same people held out of each.

    Figures are means and standard deviations over the folds. Scores are normalised with the training people.

    Example: `vclip benchmark-association --store work/pairs --seeds 3 --out work/methods`
    """
    from pipelines.association.benchmark import benchmark, table

    result = benchmark(store, config_of(config, set, "train"), methods or (), folds, seeds, where, out)
    if as_json:
        print_json(result.to_json())
        return
    head, *rows = table(result)
    print_table(f"{count(result.clips, 'clip')} of {count(result.people, 'person', 'people')}", head, rows)
