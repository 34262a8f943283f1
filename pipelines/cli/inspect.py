"""`vclip inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.app import ConfigFile, Json, Overrides, app, config_of
from pipelines.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from pipelines.inspection.job import Inspection


@app.command()
def inspect(
    video: Annotated[Path, typer.Argument(help="A video.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="MP4 to write: the video with an overlay and a timeline.")
    ] = None,
    sheet: Annotated[Path | None, typer.Option(help="JPEG to write: the whole video in one image.")] = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Draw the extraction onto a video: shots, faces, active speaker, clips, and why the rest was dropped.

    Without --out and --sheet both are written to the current folder, named after the video.

    Example: `vclip inspect interview.mp4 --out seen.mp4 --sheet seen.jpg`
    """
    from pipelines.inspection.job import inspect

    if not (out or sheet):
        out, sheet = Path(f"{video.stem}.inspected.mp4"), Path(f"{video.stem}.inspected.jpg")
    result = inspect(video, config_of(config, set, "extraction").extraction, out, sheet)
    if as_json:
        print_json(result.to_json())
    else:
        _show_candidates(result)


def _show_candidates(result: "Inspection") -> None:
    from pipelines.extraction.types import outcome_in_words

    extraction = result.extraction
    rows = [
        (f"{one.start_s:.2f}", f"{one.end_s:.2f}", f"#{one.track}", f"{one.score:.2f}", outcome_in_words(one.outcome))
        for one in extraction.candidates
    ]
    print_table("candidates", ("start", "end", "face", "score", "outcome"), rows)
    reason = f": {extraction.reason}" if extraction.reason else ""
    print_line(f"{result.video}: {extraction.state}{reason}")
    for path in (result.out, result.sheet):
        if path:
            print_line(str(path))
