"""Commands that correct a store by hand; every edit is recorded with who, when and why, and can be undone."""

import getpass
from typing import Annotated

import typer

import stores
from pipelines.cli.app import Json, StoreUri, edits
from pipelines.cli.output import print_json, print_line, print_table
from pipelines.wording import count

Clips = Annotated[list[str], typer.Argument(help="Ids of clips.")]
Why = Annotated[str, typer.Option("--why", help="Reason, recorded with the edit.")]
Who = Annotated[
    str, typer.Option("--who", default_factory=getpass.getuser, help="Who makes the edit, recorded with it.")
]


@edits.command()
def reject(clips: Clips, store: StoreUri, why: Why, who: Who, as_json: Json = False) -> None:
    """Reject clips: they are no longer read, searched or trained on. Nothing is deleted.

    Example: `vclip edit reject 1cebcedab2838e44252be05d --store work/store --why "two people talk"`
    """
    _print_edits(stores.Store.open(store).reject(clips, who, why), as_json)


@edits.command()
def label(
    clips: Clips,
    store: StoreUri,
    name: Annotated[str, typer.Option(help="identity, gender, age, nationality, language, licence or consent.")],
    value: Annotated[str, typer.Option(help="The correct value; empty if unknown.")],
    why: Why,
    who: Who,
    as_json: Json = False,
) -> None:
    """Correct the identity or another label of clips.

    Example: `vclip edit label 1cebcedab2838e44252be05d --store work/store --name gender --value f --why "seen"`
    """
    _print_edits(stores.Store.open(store).label(clips, name, value, who, why), as_json)


@edits.command()
def merge(
    gone: Annotated[str, typer.Argument(help="Identity to remove.")],
    kept: Annotated[str, typer.Argument(help="Identity to keep.")],
    store: StoreUri,
    why: Why,
    who: Who,
    as_json: Json = False,
) -> None:
    """Merge two identities: the clips of the first, also those ingested later, belong to the second.

    Example: `vclip edit merge person_17 person_4 --store work/store --why "the same face and voice"`
    """
    _print_edits([stores.Store.open(store).merge_people(gone, kept, who, why)], as_json)


@edits.command()
def undo(
    edit: Annotated[str, typer.Argument(help="Id of the edit, as `vclip edit list` shows it.")],
    store: StoreUri,
    why: Why,
    who: Who,
    as_json: Json = False,
) -> None:
    """Undo an edit, or an earlier undo. Both stay on record.

    Example: `vclip edit undo 20261123T051708962325-0cb306fa --store work/store --why "it was right"`
    """
    _print_edits([stores.Store.open(store).undo(edit, who, why)], as_json)


@edits.command("list")
def listed(store: StoreUri, as_json: Json = False) -> None:
    """List all edits, the newest first.

    Example: `vclip edit list --store work/store`
    """
    rows = stores.Store.open(store).edits()[::-1]
    if as_json:
        print_json(rows)
        return
    cells = [
        (
            row["edit_id"], row["action"], f"{row['subject']} {row['name']}".strip(), row["value"] or "",
            row["who"], row["why"], "" if row["in_force"] else "undone",
        )
        for row in rows
    ]  # fmt: skip
    print_table("", ("edit", "action", "of", "value", "who", "why", ""), cells)
    print_line(f"{count(len(rows), 'edit')}, {sum(row['in_force'] for row in rows)} in force")


def _print_edits(made: list[str], as_json: bool) -> None:
    if as_json:
        print_json({"edits": made})
    else:
        print_line("\n".join(made))
