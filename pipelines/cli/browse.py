"""The web page of a store."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.app import ConfigFile, Overrides, StoreUri, app, config_of


@app.command()
def browse(
    store: StoreUri,
    model: Annotated[
        Path | None,
        typer.Option("--model", "-m", help="Folder of an association model, to find voices that suit a face."),
    ] = None,
    speakers: Annotated[
        Path | None, typer.Option("--speakers", "-g", help="Folder made by `fit-speakers`, to speak in new voices.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; anything but 127.0.0.1 opens the page to the network.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8765,
    config: ConfigFile = None,
    set: Overrides = None,
) -> None:
    """Browse a store in a web page: play clips, find neighbours, see a map, match voices to a photo, correct labels.

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
