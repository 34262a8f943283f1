"""What the commands share: the app with its groups and errors, and the options that several commands have."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from pipelines.cli.extra import missing_extra
from pipelines.cli.output import printable
from pipelines.progress import quiet, say
from stores.errors import REMOVED, StoreError, is_file_gone
from vclip.errors import InputError

if TYPE_CHECKING:
    from pipelines.config import Config


# The commands in the order of the work; help shows them so.
GROUPS = {
    "Start here": ("quickstart", "import", "ingest"),
    "Look": ("inspect", "query", "search", "browse", "stats", "map", "clusters", "outliers", "card", "export"),
    "Learn": ("train", "evaluate", "compare", "benchmark-association"),
    "Speak": ("fit-speakers", "distill", "generate", "voices", "evaluate-generation", "listening-test", "verify"),
    "Keep": (
        "optimize",
        "check",
        "embed",
        "edit",
        "tag",
        "runs",
        "merge",
        "delete",
        "migrate",
        "push",
        "pull",
        "plugins",
    ),
}


QUIET = "--quiet"


class _OneLineErrors(TyperGroup):
    """An error that the user can correct is one line on stderr and exit code 2, not a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            say(missing_extra(error), "ERROR")
            raise SystemExit(2) from None
        except (InputError, StoreError) as error:
            say(f"vclip: {printable(str(error))}", "ERROR")
            raise SystemExit(2) from None
        except Exception as error:
            if not is_file_gone(error):
                raise
            say(f"vclip: {REMOVED}", "ERROR")
            raise SystemExit(2) from None


class _Grouped(_OneLineErrors):
    """The commands in groups, each with its own heading in help. --quiet may stand before or after the command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        own = [arg for arg in args[:end] if arg == QUIET]
        return super().parse_args(ctx, own[:1] + [arg for arg in args[:end] if arg != QUIET] + args[end:])

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        finally:
            quiet(False)  # the next command of this process is another's

    def list_commands(self, ctx: Any) -> list[str]:
        names = [name for group in GROUPS.values() for name in group if name in self.commands]
        return names + [name for name in self.commands if name not in names]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if isinstance(command, TyperCommand | TyperGroup):
            headings = (heading for heading, names in GROUPS.items() if cmd_name in names)
            command.rich_help_panel = next(headings, "More")
            command.epilog = f"`{QUIET}` leaves out progress and messages."
        return command


app = typer.Typer(
    cls=_Grouped,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from vclip import __version__

        print(f"vclip {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    quietly: Annotated[
        bool, typer.Option(QUIET, help="Print no progress and no messages, of any command; only warnings and errors.")
    ] = False,
) -> None:
    """Face-based speaker generation: from noisy video to speech in voices that suit a face.

    The usual order: `ingest` videos or `import` existing data, then `train`, `evaluate`, `fit-speakers`, `distill`,
    `generate`.
    """
    quiet(quietly)


class _Listed(_OneLineErrors):
    """A group that without a command lists what it is about."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        lists = bool(args) and args[0].startswith("-") and args[0] != "--help"
        return super().parse_args(ctx, ["list", *args] if lists else args)


def _group(name: str, help: str, cls: type[_OneLineErrors] = _OneLineErrors) -> typer.Typer:
    group = typer.Typer(cls=cls, no_args_is_help=True, help=help)
    app.add_typer(group, name=name)
    return group


imports = _group("import", "Import existing data: face-voice pairs, VoxCeleb, vectors.")
listening = _group("listening-test", "Run a blind listening test on generated speech.")
voices = _group("voices", "Keep generated voices under names, to speak with them again.")
edits = _group("edit", "Correct labels and reject clips by hand; every edit can be undone.")
runs = _group("runs", "List the jobs that wrote to a store, and show what failed in them.", _Listed)
tags = _group("tag", "Name versions of a store so that they stay readable.")

ConfigFile = Annotated[
    str | None,
    typer.Option(
        "--config", "-c", metavar="PRESET|FILE", help="A preset, such as offline, or a YAML file over the defaults."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="Override a configuration key: section.key=value; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
StoreUri = Annotated[str, typer.Option("--store", help="Folder or object-store URI of the store.")]
Tag = Annotated[str | None, typer.Option("--tag", help="Read the store at this tag.")]
Version = Annotated[
    str | None,
    typer.Option(
        "--version", help="Version of the store: as JSON, or the folder of a model that was trained on that version."
    ),
]
Where = Annotated[str | None, typer.Option(help="SQL filter over clips, as in \"gender = 'f'\".")]
FaceSpace = Annotated[str | None, typer.Option(help="Space of the face vectors, if the store has several.")]
VoiceSpace = Annotated[str | None, typer.Option(help="Space of the voice vectors, if the store has several.")]
FaceIndex = Annotated[
    int | None,
    typer.Option(
        min=0, help="Which face of a photo with several, counted from the left from 0 (default: the largest)."
    ),
]
VoicesFrom = Annotated[
    str | None,
    typer.Option("--voices-from", help="Folder of kept voices, where names are looked up; generate.voices_from."),
]
NewFolder = Annotated[Path, typer.Option("--out", "-o", help="Folder to write; new or empty.")]
Model = Annotated[Path, typer.Option("--model", "-m", help="Folder of an association model, made by `train`.")]
Speakers = Annotated[Path, typer.Option("--speakers", "-g", help="Folder made by `fit-speakers`.")]


def config_of(given: str | None, overrides: list[str] | None, *keys: str) -> "Config":
    """The configuration of a command that uses `keys`; see `pipelines.config.resolve`."""
    from pipelines.config import resolve

    return resolve(given, overrides or (), keys)


def with_voices_from(config: "Config", folder: str | None) -> "Config":
    """The configuration with the folder of kept voices that --voices-from names, if it was given."""
    if not folder:
        return config
    return config.model_copy(update={"generate": config.generate.model_copy(update={"voices_from": folder})})


def at_of(tag: str | None, version: str | None) -> "str | dict[str, int] | None":
    """The version of a store that --tag and --version name, as `Store.snapshot` takes it; None for the newest.

    Raises:
        InputError: both are given, or the version is neither a version nor a model's folder.
    """
    if tag and version:
        raise InputError(f"--tag {tag} and --version {version}: expected one of them")
    if not version:
        return tag
    config = Path(version) / "config.json"
    try:
        values = json.loads(config.read_text() if os.path.isfile(config) else version)
        found = values.get("store_version", values)
        if found and all(isinstance(number, int) for number in found.values()):
            return found
    except (ValueError, AttributeError):
        pass
    raise InputError(f'--version {version}: expected the folder of a model, or JSON as {{"videos": 12, "clips": 8}}')


def names_of(text: str | None) -> list[str] | None:
    """The names in a comma-separated option; None where it was not given."""
    return [name.strip() for name in text.split(",") if name.strip()] if text else None
