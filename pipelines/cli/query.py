"""Rows of a store."""

from typing import Annotated

import typer

from pipelines.cli.app import StoreUri, Tag, Version, app, at_of


@app.command()
def query(
    store: StoreUri,
    sql: Annotated[
        str | None,
        typer.Option(help="A query in DuckDB's SQL over all tables, instead of --table and its options."),
    ] = None,
    table: Annotated[
        str, typer.Option(help="videos, clips, faces, voices, speakers, generations, edits, runs.")
    ] = "clips",
    select: Annotated[str | None, typer.Option(help="Columns, comma-separated (default: all but media).")] = None,
    where: Annotated[str | None, typer.Option(help='SQL filter, as in "end_s - start_s > 2".')] = None,
    order: Annotated[
        str | None, typer.Option(help="Columns to sort by, comma-separated; -column sorts descending.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most rows to print.")] = None,
    tag: Tag = None,
    version: Version = None,
    format: Annotated[str, typer.Option(help="table, json, jsonl or csv.")] = "table",
    raw: Annotated[bool, typer.Option("--raw", help="Show rows as ingested, without corrections by hand.")] = False,
) -> None:
    """Read rows of a store.

    Example: `vclip query --store work/store --table clips --select clip_id,box --where "end_s - start_s > 2"
    --format json`

    In SQL, each table has its name and no media columns; faces_media and voices_media have them. SQL can join and
    aggregate; it cannot write, nor read files.

    Example: `vclip query --store work/store --sql "SELECT identity, count(*) AS clips, sum(end_s - start_s) AS
    seconds FROM clips GROUP BY identity ORDER BY clips DESC LIMIT 10"`

    Example: `vclip query --store work/store --tag paper-v1 --table clips`
    """
    from pipelines.analysis.query import query, query_sql
    from vclip.errors import InputError

    if sql is not None:
        if select or where or order or limit or table != "clips":
            raise InputError(
                "query: found --sql beside --table, --select, --where, --order or --limit; expected it alone"
            )
        query_sql(store, sql, format, at_of(tag, version), raw)
        return
    query(store, table, select, where, order, limit, format, at_of(tag, version), raw)
