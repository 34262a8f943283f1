"""Reading a store."""

from typing import Annotated

import typer

from pipelines.commands.shared import StoreUri, Tag, Version, app, at_of


@app.command()
def query(
    store: StoreUri,
    table: Annotated[str, typer.Option(help="videos, clips, faces, voices, speakers, generations, runs.")] = "clips",
    select: Annotated[
        str | None, typer.Option(help="Columns, comma-separated; all but media where left out.")
    ] = None,
    where: Annotated[str | None, typer.Option(help='SQL filter, as in "end_s - start_s > 2".')] = None,
    order: Annotated[str | None, typer.Option(help="Columns to sort by, comma-separated; -column descends.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many rows.")] = None,
    tag: Tag = None,
    version: Version = None,
    format: Annotated[str, typer.Option(help="table, json, jsonl or csv.")] = "table",
) -> None:
    """Read rows of a store.

    Example: `vclip query --store work/store --table clips --select clip_id,box --where "end_s - start_s > 2"
    --format json`

    Example: `vclip query --store work/store --tag paper-v1 --table clips`
    """
    from pipelines.query import query

    query(store, table, select, where, order, limit, format, at_of(tag, version))
