"""A page to look at a store."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.app import ConfigFile, Overrides, StoreUri, app, config_of


@app.command()
def browse(
    store: StoreUri,
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="Folder of an association model: which voices suit a face.")
    ] = None,
    speakers: Annotated[
        Path | None, typer.Option("--speakers", "-g", help="Folder made by `fit-speakers`: speaks in new voices.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; others than this machine's open it to all.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8765,
    config: ConfigFile = None,
    set: Overrides = None,
) -> None:
    """Look at a store in the browser: faces to play, neighbours, a map, voices for a photo, corrections by hand.

    Example: `vclip browse --store work/store --model work/model --speakers work/speakers`
    """
    from pipelines.browsing.server import browse

    browse(
        store,
        model,
        speakers,
        host,
        port,
        config_of(config, set, "encoders", "extraction.tracks.detector", "generate"),
    )
