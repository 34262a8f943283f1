"""Which voices suit which faces: train and evaluate."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.shared import ConfigFile, Json, Model, Overrides, StoreUri, app, config_of, show


@app.command()
def train(
    store: StoreUri,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the model to write.")],
    where: Annotated[str | None, typer.Option(help="SQL filter over clips, as in \"split = 'train'\".")] = None,
    folds: Annotated[
        int, typer.Option(min=0, help="Also cross-validate over people with so many folds (0: no).")
    ] = 0,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Train the association model on a store's face-voice pairs.

    The model kept is the one with the best verification AUC on held-out people.

    Example: `vclip train --store work/pairs --out work/model --set train.seed=1`
    """
    from pipelines.train import train

    show(train(store, out, config_of(config, set), where, folds), as_json, f"model {out}")


@app.command()
def evaluate(
    store: StoreUri,
    model: Model,
    where: Annotated[str | None, typer.Option(help="SQL filter over clips, as in \"split = 'test'\".")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for evaluation.json and roc.png.")] = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Measure a model on people that it was not trained on: AUC with its interval, EER, same-gender AUC.

    Example: `vclip evaluate --store work/test --model work/model --out work/evaluation`
    """
    from pipelines.evaluate import evaluate

    show(evaluate(store, model, config_of(config, set), where, out), as_json, f"model {model} on {store}")
