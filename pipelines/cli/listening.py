"""Commands of the listening test: make it, read its answers."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.app import ConfigFile, Json, Overrides, Where, config_of, listening
from pipelines.cli.output import interval, print_json, print_line, print_result, print_table
from pipelines.wording import count
from vclip.errors import InputError

if TYPE_CHECKING:
    from pipelines.listening.read import Opinions


@listening.command()
def make(
    speech: Annotated[
        list[str],
        typer.Argument(
            help="A system's name and its speech, as informed=work/speech: a folder that `generate` wrote, or a "
            "batch's results.jsonl."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for test.html and key.json; new or empty.")],
    store: Annotated[
        str | None,
        typer.Option("--store", help="Store whose people are shown with their own and other voices."),
    ] = None,
    where: Where = None,
    items: Annotated[int, typer.Option(min=1, help="Maximum number of items per system.")] = 10,
    pairs: Annotated[int, typer.Option(min=2, help="Maximum number of true pairs, and of random pairs.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the draw of items and pairs.")] = 0,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Make a page on which people rate the naturalness of speech and how well the voices suit the faces.

    Hand out OUT/test.html: one file, which needs no network and does not reveal which system made which audio. Each
    listener gets the items in a different order. Keep OUT/key.json, which says which system made each item. Faces and
    texts that all systems have spoken are preferred. With --store, true and random pairs are added.

    Example: `vclip listening-test make informed=work/speech naive=work/naive --store work/pairs --out work/listening`
    """
    from pipelines.listening.make import make

    resolved = config_of(config, set, "extraction.tracks.detector", "remote", "marks")
    result = make(_systems(speech), out, resolved, store, where, items, pairs, seed)
    print_result(result, as_json, f"listening test {out}")


@listening.command()
def read(
    answers: Annotated[list[Path], typer.Argument(help="Files that listeners downloaded from the page.")],
    test: Annotated[Path, typer.Option("--test", help="Folder of the test, with its key.json.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for opinions.json, opinions.png and ratings.csv.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draws of listeners and faces, for the intervals.")] = 0,
    as_json: Json = False,
) -> None:
    """Turn the answers to a listening test into mean opinion scores, with 95% intervals.

    The intervals come from a bootstrap that draws listeners and faces, so they hold for other listeners and faces of
    the same kind. A damaged or incomplete file is an error; nothing is left out silently.

    Example: `vclip listening-test read work/answers/*.json --test work/listening --out work/opinions`
    """
    from pipelines.listening.read import read

    result = read(answers, test, out, seed)
    if as_json:
        print_json(result)
    else:
        _print(result)


def _systems(speech: list[str]) -> dict[str, Path]:
    systems: dict[str, Path] = {}
    for given in speech:
        name, _, path = given.partition("=")
        if not (name and path):
            raise InputError(f"'{given}': expected a system's name and its speech, as informed=work/speech")
        if name in systems:
            raise InputError(f"system '{name}': given twice, expected names that differ")
        systems[name] = Path(path)
    return systems


def _print(result: "Opinions") -> None:
    questions, values = ("matching", "naturalness"), asdict(result)
    rows = [
        (row["system"], *(interval(row[name], 2) for name in questions), str(row["items"]), str(row["faces"]))
        for row in values["systems"]
    ]
    title = f"Mean opinion scores, 1 to 5, by {count(result.listeners, 'listener')}"
    print_table(title, ("", *questions, "items", "faces"), rows)
    differences = [
        (name, *(interval(difference[question], 2, "+") for question in questions))
        for name, difference in values["differences"].items()
    ]
    print_table("", ("difference", *questions), differences)
    print_line(f"below each figure: its 95% interval, from {count(result.draws, 'draw')} of listeners and faces")
    if any(row[name]["low"] is None for row in values["systems"] for name in questions):
        print_line("no interval where there is only one listener or one face: it would say nothing about others")
