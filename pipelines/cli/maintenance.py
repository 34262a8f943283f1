"""Commands that maintain a store: optimize, tag, embed, delete, check, merge, migrate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import stores
from pipelines.cli.app import ConfigFile, Json, Overrides, StoreUri, Version, Where, app, at_of, config_of, tags
from pipelines.cli.in_words import (
    dubbed_in_words,
    filled_in_words,
    index_in_words,
    merge_in_words,
    optimize_in_words,
)
from pipelines.cli.output import examples, print_json, print_line, print_result, print_table
from pipelines.wording import count
from vclip.errors import InputError

if TYPE_CHECKING:
    from pipelines.maintenance.columns import FillResult
    from pipelines.maintenance.delete import DeletionResult


@app.command()
def optimize(
    store: StoreUri,
    keep_days: Annotated[float, typer.Option(min=0, help="Versions younger than this stay readable.")] = 7.0,
    index: Annotated[
        bool, typer.Option("--index", help="Rebuild the vector indices, for tables that do not fit into memory.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Merge small fragments, and free the bytes of deleted rows and old versions.

    Tagged versions stay, whatever their age. Other jobs may read and write meanwhile; a reader of a version that is
    pruned must open a newer one. Rows of crashed commits are removed as well.

    Example: `vclip optimize --store work/store --keep-days 1`

    Example: `vclip optimize --store work/store --index`
    """
    from pipelines.maintenance.optimize import optimize

    result = optimize(store, keep_days, index)
    print_result(result if as_json else optimize_in_words(result), as_json, f"store {store}")
    if not as_json:
        for built in result.indices:
            print_result(index_in_words(built), False, f"index of {built.table}")


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
    tagged = stores.Store.open(store).tag(name, at_of(None, version))
    print_result({"tag": name, "version": tagged}, as_json, f"store {store}")


@tags.command("list")
def tag_list(store: StoreUri, as_json: Json = False) -> None:
    """List the tags of a store, with the version of each table.

    Example: `vclip tag list --store work/store`
    """
    found = stores.Store.open(store).tags()
    if as_json:
        print_json(found)
        return
    versions = {
        name: ", ".join(f"{table} {number}" for table, number in version.items()) for name, version in found.items()
    }
    print_table("", ("tag", "version"), list(versions.items()))
    print_line(count(len(found), "tag"))


@tags.command("remove")
def tag_remove(name: Annotated[str, typer.Argument(help="Name of the tag.")], store: StoreUri) -> None:
    """Remove a tag; the next `optimize` prunes the tagged version once it is old enough.

    Example: `vclip tag remove paper-v1 --store work/store`
    """
    stores.Store.open(store).remove_tag(name)
    print_line(f"removed tag {name}")


@app.command()
def embed(
    store: StoreUri,
    only: Annotated[str | None, typer.Option(help="faces or voices; both by default.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Drop the vectors of other spaces afterwards.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also do rows that already have vectors of this space, or values.")
    ] = False,
    column: Annotated[
        str | None,
        typer.Option(help="Fill columns instead: dubbed, dnsmos, transcript, or python:package.module:Function."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="Association model, as further evidence for --column dubbed.")
    ] = None,
    drop: Annotated[
        bool, typer.Option("--drop", help="With --column, a function or a column that it filled: drop its columns.")
    ] = False,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Embed the media of a store with other encoders, or fill columns with values computed from them.

    Runs on Ray. A killed run continues where it stopped. Readers see the new vectors or values once all rows have
    them. No other job may write meanwhile.

    With other encoders, the store gains a space. `--replace` is the usual choice: a store with several spaces accepts
    no ingest, and training on it needs `--face-space` or `--voice-space`.

    With `--column`, faces or voices gain columns: `dnsmos` (quality of the speech), `transcript` (its text, and
    `spoken_language`; needs `vclip[transcripts]` and weights), or those of your own function (docs/extending.md).
    Rows of later ingests are null until the same command fills them too; a new version of the function fills all rows
    again. A row on which the function fails is null, and is reported. `--column NAME --drop` drops the columns; the
    next `optimize` frees their bytes.

    `--column dubbed` fills `clips.dubbed_combined`: the probability that a clip is dubbed, by its lips (the column
    `dubbed`), by the voices of the same person in other videos, and by the association model that `--model` names.

    Example: `vclip embed --store work/store --only faces --replace --set encoders.face=dlib`

    Example: `vclip embed --store work/store --column dnsmos`

    Example: `vclip embed --store work/store --column transcript --set transcript.model=small`

    Example: `vclip embed --store work/store --column dubbed --model work/model`

    Example: `vclip embed --store work/store --column dnsmos --drop`
    """
    if drop:
        from stores.maintenance.columns import drop_filled

        if column is None or only or replace or again or model:
            raise InputError("--drop: expected --column beside it, and no other option")
        dropped = drop_filled(stores.Store.open(store), column)
        if as_json:
            print_json({"store": store, "dropped": dropped})
        else:
            print_line(f"dropped {' and '.join(dropped)}; the next `vclip optimize` frees their bytes")
        return
    jobs = ("ingest.embed_actors", "ingest.embed_gpus", "batch.task_cpus")
    if column is not None and (only or replace):
        raise InputError(f"--column with {'--only' if only else '--replace'}: that is for encoders; leave it out")
    if model is not None and column != "dubbed":
        raise InputError(f"--model {model}: is for --column dubbed; leave it out")
    if column == "dubbed":
        from pipelines.maintenance.dubbed import fill_dubbed

        result = fill_dubbed(store, config_of(config, set, "train.seed", "train.device"), model)
        print_result(result if as_json else dubbed_in_words(result), as_json, f"store {store}: {result.column}")
        return
    if column is not None:
        from pipelines.maintenance.columns import fill

        _show_filled(fill(store, column, config_of(config, set, "transcript", *jobs), again), as_json)
        return
    from pipelines.maintenance.reembed import embed, tables_of

    resolved = config_of(config, set, "encoders", *jobs)
    print_result(embed(store, resolved, tables_of(only), replace, again), as_json, f"store {store}")


@app.command()
def delete(
    store: StoreUri,
    person: Annotated[list[str] | None, typer.Option(help="Identity of a person; may be repeated.")] = None,
    video: Annotated[list[str] | None, typer.Option(help="Id of a video; may be repeated.")] = None,
    clip: Annotated[list[str] | None, typer.Option(help="Id of a clip; may be repeated.")] = None,
    where: Where = None,
    generated: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder or prefix of generated speech or of voices, whose provenance is searched; repeatable."
        ),
    ] = None,
    prove: Annotated[
        bool | None,
        typer.Option(
            help="Search every file of the store, before and afterwards; --no-prove searches none.",
            show_default="the files that may have held the deleted rows",
        ),
    ] = None,
    full_scan: Annotated[bool, typer.Option("--full-scan", hidden=True, help="Former name of --prove.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete. Without it, only show what would be deleted.")] = False,
    as_json: Json = False,
) -> None:
    """Remove people, videos or clips from a store: every row, and every byte.

    Old versions of the store are pruned, and tags of versions that held deleted rows are removed. Deleted videos
    leave tombstones without personal data, so that later ingests skip them. Reports beside the store are rewritten
    without names and images. Files elsewhere (speech that was generated from deleted faces or photos, exports, pages,
    models) are listed, not deleted. A deletion that was killed is finished by the next one, whatever that selects.

    Example: `vclip delete --store work/store --person id10270 --generated work/speech`

    Example: `vclip delete --store work/store --where "consent = 'withdrawn'" --yes`
    """
    from pipelines.maintenance.delete import delete

    some, whole = prove is not False or full_scan, bool(prove or full_scan)
    result = delete(
        store,
        people=person or (),
        videos=video or (),
        clips=clip or (),
        where=where,
        generated=generated or (),
        prove=some,
        full_scan=whole,
        carry_out=yes,
    )
    _show_deletion(result, as_json)
    if result.found_after:
        raise typer.Exit(1)


@app.command()
def check(
    store: StoreUri,
    media: Annotated[bool, typer.Option(help="Decode every image and all audio.")] = True,
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair the store; docs/store.md says which rows are deleted.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check a store: duplicate ids, rows without their clip, media that cannot be decoded, invalid vectors.

    The exit code is 1 if a problem is left.

    Example: `vclip check --store work/store`

    Example: `vclip check --store work/store --repair`
    """
    from pipelines.maintenance.check import check

    result = check(store, media, repair)
    if as_json:
        print_json(result)
    else:
        rows = [(p.kind, p.table, f"{p.count:,}", "\n".join(p.examples[:2]), p.meaning) for p in result.problems]
        print_table(f"store {store}", ("problem", "table", "rows", "examples", "meaning"), rows)
        print_line(f"{count(sum(result.rows.values()), 'row')}: {'see above' if result.problems else 'valid'}")
        if result.repaired is not None:
            repaired = ", ".join(f"{table}: {number:,}" for table, number in result.repaired.items())
            print_line(f"repaired: {repaired or 'nothing'}; {'now valid' if result.valid else 'problems are left'}")
    if not result.valid:
        raise typer.Exit(1)


@app.command()
def merge(
    others: Annotated[list[str], typer.Argument(help="Stores to read.")],
    store: StoreUri,
    as_json: Json = False,
) -> None:
    """Merge stores into one, which is created if it does not exist. All must hold vectors of the same spaces.

    Where two stores hold the same video, the one in --store stays, unless it failed there. Run the command again to
    continue after an interruption.

    Example: `vclip merge work/monday s3://bucket/tuesday --store work/all`
    """
    from pipelines.maintenance.merge import merge

    result = merge(others, store)
    if as_json:
        print_json(result)
        return
    for uri, merged in result.merged.items():
        print_result(merge_in_words(merged), False, f"{uri} into {store}")


@app.command()
def migrate(store: StoreUri, as_json: Json = False) -> None:
    """Migrate a store of an older schema version to the one that this vclip reads.

    Example: `vclip migrate --store work/store`
    """
    passed = stores.Store.migrate(store)
    if as_json:
        print_json({"store": store, "versions": passed})
    elif len(passed) == 1:
        print_line(f"nothing to do: store {store} has schema version {passed[0]}")
    else:
        print_line(f"store {store}: schema version {' -> '.join(map(str, passed))}")


def _show_filled(result: "FillResult", as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    print_result(filled_in_words(result), False, f"store {result.store}: {' and '.join(result.columns)}")
    rows = [(failure.reason, f"{failure.rows:,}", failure.example) for failure in result.failures]
    print_table("null, because the function failed", ("reason", "rows", "example"), rows)


def _show_deletion(result: "DeletionResult", as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    rows = {table: number for table, number in result.rows.items() if number}
    if result.unfinished:
        how = "it was finished now" if result.deleted else "finish it with --yes"
        print_line(f"an earlier deletion did not end; {how}")
    if not rows and not result.deleted:
        print_line(f"store {result.store}: nothing to delete")
        return
    shown: dict[str, Any] = {"deleted" if result.deleted else "would be deleted": rows}
    shown |= {"videos": examples(result.videos), "shared videos": examples(result.shared_videos)}
    if result.deleted:
        shown |= {"tags removed": examples(result.tags), "indices dropped": examples(result.indices)}
        before, after = ("found in the files searched, before", result.found_before), result.found_after
        for name, found in (before, ("found in the files searched, afterwards", after)):
            if found is not None:
                counts = {
                    kind: f"{sum(files.values()):,} in {count(len(files), 'file')}" for kind, files in found.items()
                }
                shown[name] = counts or "nothing"
    print_result(shown, False, f"store {result.store}")
    rewritten = "rewritten without names and images" if result.deleted else "would be rewritten"
    for file in result.reports:
        print_line(f"{rewritten}: {file}")
    for file in result.files:
        print_line(f"generated from deleted faces, not deleted: {file}")
    gone = "deleted with its row" if result.deleted else "would be deleted with its row"
    for voice in result.voices:
        print_line(f"kept voice, made for a deleted face, {gone}: {voice}")
    for made in result.derived:
        print_line(f"made from this store, not searched: {made.path} ({made.job} of {made.written[:10]})")
    for photo in result.photos_gone:
        print_line(
            "this photo is there no more; speech made from it is found by its name, and by its content where the "
            f"store and the speech record it: {photo}"
        )
    if result.found_after:
        where = sorted({file for files in result.found_after.values() for file in files})
        print_line(f"still found in: {', '.join(where)}; run the command again while no other job writes")
    for place in result.searched:
        print_line(f"searched: {place}")
    for place in result.not_searched[: -len(result.derived) or None]:
        print_line(f"not searched: {place}")
    if not result.deleted:
        print_line("Dry run: nothing was written; add --yes to delete")
