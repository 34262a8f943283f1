"""The command `verify`, which reads the marks of speech files."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.app import Json, app
from pipelines.cli.in_words import models_in_words
from pipelines.cli.output import print_json, print_result
from vclip.errors import InputError


@app.command()
def verify(
    files: Annotated[list[Path], typer.Argument(help="WAV files that `generate` wrote, or other audio files.")],
    trust: Annotated[
        Path | None, typer.Option(help="PEM file of certificates: the issuers of signatures that you trust.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the marks that speech files carry, and check that their audio still matches them.

    Three layers are read: the provenance label, the C2PA signature (with `vclip[c2pa]`) and the watermark that the
    label names, or any installed one if there is no label. The exit code is 2 if a file carries neither label nor
    signature, or was changed. The label is not a signature: anybody can remove it or write a false one. A signature
    by a self-made certificate shows that a file is unchanged, not who made it.

    Example: `vclip verify work/speech/photo_voice1_0a1b2c3d.wav`
    """
    from vclip.marking.verify import verify

    verified, problems = [], []
    for file in files:
        try:
            found = verify(file, trust)
        except InputError as error:
            problems.append(str(error))
            continue
        problems += [f"speech file {file}: {problem}" for problem in found.problems]
        layers = {name: asdict(getattr(found, name)) for name in ("label", "signature", "watermark")}
        own = {"file": str(file), "holds": not found.problems, "problems": found.problems, "layers": layers}
        verified.append(found.provenance | own)
    if as_json:
        print_json({"files": verified})
    else:
        for row in verified:
            print_result(_summary(row), False, row["file"])
    if problems:
        raise InputError(problems[0] + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""))


def _summary(row: dict[str, Any]) -> dict[str, Any]:
    """The entries of a file's provenance that are printed for people."""
    names = ("synthetic", "notice", "text", "voice_name", "prompt", "face", "face_sha256", "voice", "score", "seed",
             "nearest_known_cosine")  # fmt: skip
    check = {name: f"{found['state'].upper()}: {found['says']}" for name, found in row["layers"].items()}
    unsaid = [problem for problem in row["problems"] if not any(problem in words for words in check.values())]
    if unsaid:
        check["problems"] = "; ".join(unsaid)
    return check | {name: row[name] for name in names if name in row} | {"models": models_in_words(row.get("models"))}
