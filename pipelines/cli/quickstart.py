"""Every job once."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.app import ConfigFile, Overrides, app, config_of
from pipelines.cli.output import print_line, print_table
from pipelines.wording import seconds


@app.command()
def quickstart(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for all results.")] = Path("quickstart"),
    videos: Annotated[Path | None, typer.Option(help="Your own folder of videos instead of the sample.")] = None,
    face: Annotated[Path | None, typer.Option(help="Your own photo.")] = None,
    config: ConfigFile = None,
    set: Overrides = None,
) -> None:
    """Run every job once on a small synthetic sample, or on your own videos, and write a page of the results.

    Example: `vclip quickstart --out quickstart`, then open quickstart/index.html.
    """
    from pipelines.config import Config
    from pipelines.quickstart.job import quickstart

    result = quickstart(out, videos, face, config_of(config or "offline", set, *Config.model_fields))
    rows = [(step.step, step.result, seconds(step.seconds)) for step in result.steps]
    print_table("quickstart", ("step", "result", "time"), rows)
    if result.synthetic:
        print_line("The sample is synthetic: its people, their voices and the relation between them are made up.")
    print_line(f"Open {result.page} to see the faces and hear the voices.")
