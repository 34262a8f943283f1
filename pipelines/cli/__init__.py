"""The command line, `vclip`.

`main` answers `--version` by itself and says what to install where the extra `pipelines` is missing; everything else
is in `commands`.
"""

import sys

from pipelines.cli.extra import missing_extra


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
