"""What extraction saw in a video."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.app import ConfigFile, Json, Overrides, app, config_of
from pipelines.cli.output import print_json, print_line, print_table


@app.command()
def inspect(
    video: Annotated[Path, typer.Argument(help="A video.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="MP4 to write: the video, drawn on, with its timeline.")
    ] = None,
    sheet: Annotated[Path | None, typer.Option(help="JPEG to write: the whole video in one picture.")] = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Draw onto a video what extraction saw: shots, faces, who is heard, what was kept, and why the rest was not.

    Without --out and --sheet both are written to the current folder, named after the video.

    Example: `vclip inspect interview.mp4 --out seen.mp4 --sheet seen.jpg`
    """
    from pipelines.inspection.job import inspect

    if not (out or sheet):
        out, sheet = Path(f"{video.stem}.inspected.mp4"), Path(f"{video.stem}.inspected.jpg")
    result = inspect(video, config_of(config, set, "extraction").extraction, out, sheet)
    if as_json:
        print_json(result)
    else:
        _show_candidates(result)


def _show_candidates(result: dict[str, Any]) -> None:
    rows = [
        (f"{row['start_s']:.2f}", f"{row['end_s']:.2f}", f"#{row['track']}", f"{row['score']:.2f}", row["why"])
        for row in result["candidates"]
    ]
    print_table("candidates", ("start", "end", "face", "score", "outcome"), rows)
    reason = f": {result['reason']}" if result["reason"] else ""
    print_line(f"{result['video']}: {result['state']}{reason}")
    for path in (result["out"], result["sheet"]):
        if path:
            print_line(str(path))
