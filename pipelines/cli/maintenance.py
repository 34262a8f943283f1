"""Keeping a store in order: smaller, checked, embedded again, without those who do not want to be in it."""

import json
from typing import Annotated, Any

import typer

from pipelines.cli.app import ConfigFile, Json, Overrides, StoreUri, Version, app, at_of, config_of, tags
from pipelines.cli.output import print_json, print_line, print_result, print_table
from pipelines.wording import count


@app.command()
def optimize(
    store: StoreUri,
    keep_days: Annotated[float, typer.Option(min=0, help="Versions younger than this stay readable.")] = 7.0,
    index: Annotated[
        bool, typer.Option("--index", help="Build the vector indices anew, for tables that do not fit memory.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Merge small fragments, and free the bytes of deleted rows and old versions.

    Tagged versions stay, whatever their age. Others may write and read meanwhile; who reads a version that is pruned
    must read a newer one. What crashed commits have left is swept as well.

    Example: `vclip optimize --store work/store --keep-days 1`

    Example: `vclip optimize --store work/store --index`
    """
    from pipelines.maintenance.check import optimize

    result = optimize(store, keep_days, index)
    print_result(result, as_json, f"store {store}")
    if not as_json:
        for built in result["indices"]:
            print_result(built, False, "index")


@tags.command("add")
def tag_add(
    name: Annotated[str, typer.Argument(help="Letters, digits, '.', '_' and '-'.")],
    store: StoreUri,
    version: Version = None,
    as_json: Json = False,
) -> None:
    """Name the newest version of a store, or the one that a model was trained on.

    Example: `vclip tag add paper-v1 --store work/store`

    Example: `vclip tag add paper-v1 --store work/store --version work/model`
    """
    from stores import Store

    print_result(
        {"tag": name, "version": Store.open(store).tag(name, at_of(None, version))}, as_json, f"store {store}"
    )


@tags.command("list")
def tag_list(store: StoreUri, as_json: Json = False) -> None:
    """List the tags of a store, with the version of each table.

    Example: `vclip tag list --store work/store`
    """
    from stores import Store

    found = Store.open(store).tags()
    if as_json:
        print_json(found)
        return
    print_table("", ("tag", "version"), [(name, json.dumps(version)) for name, version in found.items()])
    print_line(count(len(found), "tag"))


@tags.command("remove")
def tag_remove(name: Annotated[str, typer.Argument(help="Of the tag.")], store: StoreUri) -> None:
    """Remove a tag; the version that it named goes with the next `optimize`, once it is old enough.

    Example: `vclip tag remove paper-v1 --store work/store`
    """
    from stores import Store

    Store.open(store).remove_tag(name)
    print_line(f"removed tag {name}")


@app.command()
def embed(
    store: StoreUri,
    only: Annotated[str | None, typer.Option(help="faces or voices; both where left out.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Drop the vectors of other spaces afterwards.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Embed anew what is in this space already.")] = False,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Embed the media of a store with other encoders; it gains their spaces.

    Runs on Ray. Killed, it goes on where it stopped; until all rows have their vectors, readers see none of them. No
    other job may write meanwhile. A store of several spaces takes no ingest, and training must be told which to use,
    so `--replace` is the usual way.

    Example: `vclip embed --store work/store --only faces --replace --set encoders.face=dlib`
    """
    from pipelines.maintenance.reembed import embed, tables_of

    print_result(
        embed(store, config_of(config, set, "encoders", "batch.task_cpus"), tables_of(only), replace, again),
        as_json,
        f"store {store}",
    )


@app.command()
def delete(
    store: StoreUri,
    person: Annotated[list[str] | None, typer.Option(help="Identity of a person; may be repeated.")] = None,
    video: Annotated[list[str] | None, typer.Option(help="Id of a video; may be repeated.")] = None,
    clip: Annotated[list[str] | None, typer.Option(help="Id of a clip; may be repeated.")] = None,
    where: Annotated[str | None, typer.Option(help="SQL filter over clips, as in \"consent = 'no'\".")] = None,
    generated: Annotated[
        list[str] | None,
        typer.Option(help="Folder or prefix of generated speech, whose provenance is searched; may be repeated."),
    ] = None,
    prove: Annotated[bool, typer.Option(help="Search all files of the store for them, before and after.")] = True,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it only what would be is told.")] = False,
    as_json: Json = False,
) -> None:
    """Remove people, videos or clips from a store: every row, and every byte of them.

    Old versions of the store go, and tags of those that held them. Their videos leave tombstones without personal
    data, by which later ingests pass them over. Files that were generated from their faces are listed, not deleted;
    neither are models changed that were trained on them.

    Example: `vclip delete --store work/store --person id10270 --generated work/speech`

    Example: `vclip delete --store work/store --where "consent = 'withdrawn'" --yes`
    """
    from pipelines.maintenance.delete import delete

    result = delete(store, person or (), video or (), clip or (), where, generated or (), prove, yes)
    _show_deletion(result, as_json)
    if result.get("found_after"):
        raise typer.Exit(1)


@app.command()
def check(
    store: StoreUri,
    media: Annotated[bool, typer.Option(help="Decode every picture and every sound.")] = True,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what is wrong; see docs/store.md for what goes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look for what is wrong in a store: ids twice, rows without theirs, torn media, vectors that are none.

    Exit code 1 if something is, and is not repaired.

    Example: `vclip check --store work/store`

    Example: `vclip check --store work/store --repair`
    """
    from pipelines.maintenance.check import check

    result = check(store, media, repair)
    if as_json:
        print_json(result)
    else:
        lines = [(p["kind"], p["table"], f"{p['count']:,}", "\n".join(p["examples"][:2]), p["meaning"])
                 for p in result["problems"]]  # fmt: skip
        print_table(f"store {store}", ("what", "table", "rows", "as", ""), lines)
        print_line(f"{sum(result['rows'].values()):,} rows: " + ("sound" if not result["problems"] else "see above"))
        if result["repaired"] is not None:
            mended = ", ".join(f"{what}: {count}" for what, count in result["repaired"].items())
            print_line(f"repaired: {mended or 'nothing'}; {'sound now' if result['sound'] else 'some is left'}")
    if not result["sound"]:
        raise typer.Exit(1)


@app.command()
def merge(
    others: Annotated[list[str], typer.Argument(help="Stores to read.")],
    store: StoreUri,
    as_json: Json = False,
) -> None:
    """Merge stores into one, which is made if there is none. All must hold vectors of the same spaces.

    Of a video that both have, the one in --store stays, unless it failed there. Run it again to go on where it
    stopped.

    Example: `vclip merge work/monday s3://bucket/tuesday --store work/all`
    """
    from pipelines.maintenance.merge import merge

    result = merge(others, store)
    if as_json:
        print_json(result)
        return
    for uri, done in result["merged"].items():
        print_result({name: _counted(value) for name, value in done.items()}, False, f"{uri} into {store}")


@app.command()
def migrate(store: StoreUri, as_json: Json = False) -> None:
    """Bring a store of an older schema to the one that this vclip reads.

    Example: `vclip migrate --store work/store`
    """
    from stores import Store

    passed = Store.migrate(store)
    if as_json:
        print_json({"store": store, "versions": passed})
    elif len(passed) == 1:
        print_line(f"nothing to do: store {store} is of schema version {passed[0]}")
    else:
        print_line(f"store {store}: schema version {' -> '.join(map(str, passed))}")


def _counted(value: Any) -> Any:
    """Returns a list of ids as people want it: how many, and the first few."""
    if not isinstance(value, list):
        return value
    return f"{len(value)}: {', '.join(value[:3])}{' ...' if len(value) > 3 else ''}" if value else None


def _show_deletion(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    rows = {table: count for table, count in result["rows"].items() if count}
    if result["unfinished"]:
        how = "freed now" if result["deleted"] else "free them with --yes"
        print_line(f"an earlier deletion was killed before all bytes had gone: {how}")
    if not rows:
        print_line(f"store {result['store']}: nothing of theirs is there")
        return
    told: dict[str, Any] = {"deleted" if result["deleted"] else "would be deleted": rows}
    told |= {name.replace("_", " "): _counted(result[name]) for name in ("videos", "shared_videos")}
    if result["deleted"]:
        told |= {"tags removed": _counted(result["tags"]), "indices dropped": _counted(result["indices"])}
        for name in ("found_before", "found_after"):
            if (found := result[name]) is not None:
                counts = {kind: f"{sum(files.values())} in {len(files)} files" for kind, files in found.items()}
                told[name.replace("_", " ")] = counts or "nothing"
    print_result(told, False, f"store {result['store']}")
    for file in result["files"]:
        print_line(f"generated from them: {file}")
    if result.get("found_after"):
        where = sorted({file for files in result["found_after"].values() for file in files})
        print_line(f"NOT gone from: {', '.join(where)}; run it again, and see that nobody writes")
    if not result["deleted"]:
        print_line("nothing was written; add --yes to delete")
