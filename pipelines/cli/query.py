"""Rows of a store."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.app import StoreUri, Tag, Version, app, at_of
from pipelines.cli.output import check_format, print_line, print_table
from pipelines.wording import count

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("table", "json", "jsonl", "csv")


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
        check_format(format, FORMATS)
        with query_sql(store, sql, at_of(tag, version), raw) as reader:
            _print(reader, format)
        return
    check_format(format, FORMATS)
    _print(query(store, table, _names(select), where, _names(order) or (), limit, at_of(tag, version), raw), format)


def _names(text: str | None) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] if text else None


def _print(reader: "pa.RecordBatchReader", format: str) -> None:
    """Prints rows; JSON and CSV are streamed, a table is laid out as a whole."""
    from pipelines.analysis.query import plain_rows, write_csv

    rows = plain_rows(reader)
    if format == "json":
        lines = (json.dumps(row, ensure_ascii=False) for row in rows)
        print(f"[{next(lines, '')}", end="")
        for line in lines:
            print(f", {line}", end="")
        print("]")
    elif format == "jsonl":
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
    elif format == "csv":
        write_csv(sys.stdout, reader.schema.names, rows)
    else:
        cells = [[_short(row[name]) for name in reader.schema.names] for row in rows]
        print_table("", reader.schema.names, cells)
        print_line(count(len(cells), "row"))


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        shown = ", ".join(_short(v) for v in value[:4])
        return f"[{shown}{f', ... {len(value)}' if len(value) > 4 else ''}]"
    text = "" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
