"""Which voices suit which faces: training."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.shared import ConfigFile, Json, Overrides, StoreUri, app, config_of, show


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
