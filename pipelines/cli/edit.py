"""Commands that correct a store by hand; every edit is recorded with who, when and why, and can be undone."""

import getpass
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

import stores
from pipelines.cli.app import Json, StoreUri, Where, edits
from pipelines.cli.output import print_json, print_line, print_table
from pipelines.wording import count, filtered
from vclip.errors import InputError

SHOWN = 10  # ids of edits

Clips = Annotated[list[str] | None, typer.Argument(help="Ids of clips; or give --where.")]
Why = Annotated[str, typer.Option("--why", help="Reason, recorded with the edit.")]
Who = Annotated[
    str, typer.Option("--who", default_factory=getpass.getuser, help="Who makes the edit, recorded with it.")
]


@edits.command()
def reject(
    store: StoreUri, why: Why, who: Who, clips: Clips = None, where: Where = None, as_json: Json = False
) -> None:
    """Reject clips: they are no longer read, searched or trained on. Nothing is deleted.

    Example: `vclip edit reject 1cebcedab2838e44252be05d --store work/store --why "two people talk"`

    Example: `vclip edit reject --where "end_s - start_s < 1.5" --store work/store --why "too short"`
    """
    opened = stores.Store.open(store)
    _print_edits(opened.reject(_chosen(opened, clips, where), who, why), as_json, store)


@edits.command()
def label(
    store: StoreUri,
    name: Annotated[str, typer.Option(help="identity, gender, age, nationality, language, licence or consent.")],
    value: Annotated[str, typer.Option(help="The correct value; empty if unknown.")],
    why: Why,
    who: Who,
    clips: Clips = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Correct the identity or another label of clips.

    Example: `vclip edit label 1cebcedab2838e44252be05d --store work/store --name gender --value f --why "seen"`

    Example: `vclip edit label --where "video_uri LIKE '%/lessons/%'" --store work/store --name language --value de
    --why "a German course"`
    """
    opened = stores.Store.open(store)
    _print_edits(opened.label(_chosen(opened, clips, where), name, value, who, why), as_json, store)


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
    _print_edits([stores.Store.open(store).merge_people(gone, kept, who, why)], as_json, store)


@edits.command()
def undo(
    edit: Annotated[str, typer.Argument(help="Id of the edit, as `vclip edit list` shows it.")],
    store: StoreUri,
    why: Why,
    who: Who,
    together: Annotated[
        bool, typer.Option("--together", help="Undo all edits made by the same command or click.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Undo an edit, or an earlier undo. Both stay on record.

    Example: `vclip edit undo edit-000000000017-0cb306fa --store work/store --why "it was right"`

    Example: `vclip edit undo edit-000000000017-0cb306fa --together --store work/store --why "the filter was wrong"`
    """
    opened = stores.Store.open(store)
    made = opened.undo_together(edit, who, why) if together else [opened.undo(edit, who, why)]
    _print_edits(made, as_json, store)


@edits.command("list")
def listed(store: StoreUri, as_json: Json = False) -> None:
    """List all edits, newest first; the edits of one command share a line, with the id of the first.

    Example: `vclip edit list --store work/store`
    """
    from stores.edits import together

    rows = stores.Store.open(store).edits()[::-1]
    if as_json:
        print_json(rows)
        return
    cells = [_cells(made) for made in together(rows[::-1])[::-1]]
    print_table("", ("edit", "action", "of", "value", "who", "why", ""), cells, whole="edit")
    in_force = sum(row["in_force"] and row["action"] != "undo" for row in rows)
    print_line(f"{count(len(rows), 'edit')}, {in_force} in force")


def _cells(made: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Returns the line of edits that were made together."""
    row, standing = made[0], sum(row["in_force"] for row in made)
    nouns = {"merge": ("person", "people"), "undo": ("edit", "edits")}
    counts = Counter(one["action"] for one in made)  # a merge may also label clips that had no identity
    some = ", ".join(count(number, *nouns.get(action, ("clip", "clips"))) for action, number in counts.items())
    of = row["subject"] if len(made) == 1 else some
    state = "" if standing == len(made) else "undone" if not standing else f"{len(made) - standing:,} undone"
    return (
        row["edit_id"],
        row["action"],
        f"{of} {row['name']}".strip(),
        row["value"] or "",
        row["who"],
        row["why"],
        state,
    )


def _chosen(store: "stores.Store", clips: Sequence[str] | None, where: str | None) -> Sequence[str]:
    """Returns the clips that are named, or that a filter finds."""
    if bool(clips) == bool(where):
        raise InputError(f"edit: found {'both clips and' if clips else 'neither clips nor'} --where, expected one")
    if not where:
        return clips or ()
    found = store.snapshot().query("clips", ["clip_id"], where)["clip_id"].to_pylist()
    if not found:
        raise InputError(f"edit: found no clip{filtered(where)}")
    return found


def _print_edits(made: Sequence[str], as_json: bool, store: str) -> None:
    if as_json:
        print_json({"edits": made})
        return
    if len(made) <= SHOWN:
        print_line("\n".join(made))
    if len(made) > 1:
        undo = f"vclip edit undo {made[0]} --together --store {store} --why REASON"
        print_line(f"{count(len(made), 'edit')}; undo them by: {undo}")
