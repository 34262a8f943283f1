"""What the commands share: the app they belong to, its errors, options that several have, how results are shown."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pipelines.config import Config


class _OneLineErrors(typer.core.TyperGroup):
    """What the user can mend is one line on stderr and exit code 2, not a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ValueError as error:
            # By name: importing the stores for this would cost every command a second.
            names = {f"{cls.__module__}.{cls.__name__}" for cls in type(error).__mro__}
            if names & {"vclip.errors.InputError", "stores.errors.StoreError"}:
                print(f"vclip: {error}", file=sys.stderr)
                raise SystemExit(2) from None
            raise


app = typer.Typer(
    cls=_OneLineErrors,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Face-based speaker generation: from noisy video to speech in voices that suit a face.\n\n"
    "The usual way: `ingest` videos (or `import` data of others), `train`, `evaluate`, `fit-speakers`, `distill`, "
    "`generate`.",
)
tags = typer.Typer(
    cls=_OneLineErrors, no_args_is_help=True, help="Name versions of a store, which then stay readable."
)
app.add_typer(tags, name="tag")
imports = typer.Typer(cls=_OneLineErrors, no_args_is_help=True, help="Bring data of others into a store.")
app.add_typer(imports, name="import")
edits = typer.Typer(cls=_OneLineErrors, no_args_is_help=True, help="Correct a store by hand, undoably.")
app.add_typer(edits, name="edit")
listening = typer.Typer(cls=_OneLineErrors, no_args_is_help=True, help="Let people rate generated speech, blind.")
app.add_typer(listening, name="listening-test")

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML file over the defaults, as configs/offline.yaml.")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", "-s", help="Override one key: section.key=value; may be repeated.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")]
StoreUri = Annotated[str, typer.Option("--store", help="Folder or object-store URI of the store.")]
Tag = Annotated[str | None, typer.Option("--tag", help="Read the store as it was when this tag was given.")]
Version = Annotated[
    str | None,
    typer.Option("--version", help="Read it as a model was trained on it: the model's folder, or a version as JSON."),
]
Model = Annotated[Path, typer.Option("--model", "-m", help="Folder of an association model, made by `train`.")]
Speakers = Annotated[Path, typer.Option("--speakers", "-g", help="Folder made by `fit-speakers`.")]


def config_of(path: Path | None, overrides: list[str] | None) -> "Config":
    """Returns the defaults with a YAML file and overrides over them."""
    from pipelines.config import Config
    from vclip.config import load

    return load(Config, path, overrides or ())


def at_of(tag: str | None, version: str | None) -> "str | dict[str, int] | None":
    """Returns the state of a store that --tag and --version ask for, as `Store.snapshot` takes it; None: the newest.

    Raises:
        InputError: both are given, or the version is neither a version nor a model's folder.
    """
    from vclip.errors import InputError

    if tag and version:
        raise InputError(f"--tag {tag} and --version {version}: expected one of them")
    if not version:
        return tag
    config = Path(version) / "config.json"
    try:
        said = json.loads(config.read_text() if config.is_file() else version)
        found = said.get("store_version", said)
        if found and all(isinstance(number, int) for number in found.values()):
            return found
    except (ValueError, AttributeError):
        pass
    raise InputError(f'--version {version}: expected the folder of a model, or JSON as {{"videos": 12, "clips": 8}}')


def show(result: dict[str, Any], as_json: bool, title: str) -> None:
    """Prints a result: JSON for scripts, a table for people. Lists (curves) are for scripts only."""
    if as_json:
        print(json.dumps(result))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, show_header=False, title_justify="left")
    for key, value in result.items():
        if isinstance(value, dict):
            value = "\n".join(f"{name}: {count}" for name, count in value.items())
        if not isinstance(value, list) and value not in (None, ""):
            table.add_row(key, f"{value:.4g}" if isinstance(value, float) else str(value))
    Console().print(table)


def print_table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Prints a table for people; nothing where it has no rows."""
    if not rows:
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, title=title or None, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def show_ingest(summary: Any, as_json: bool) -> None:
    """Prints what a job did that brings inputs into a store; a `pipelines.ingest.job.Summary`."""
    if not as_json and not summary.videos:
        gone = f"; {summary.deleted} more were deleted from it on request" if summary.deleted else ""
        known = f"the store {summary.store} knows all {summary.known} inputs under this configuration"
        print(f"nothing to do: {known}{gone}")
        return
    result = summary.to_json()
    if not as_json:
        # The configuration is a page long; it is in the JSON.
        result = {key: value for key, value in result.items() if value and key != "config"}
    show(result, as_json, "ingest")
