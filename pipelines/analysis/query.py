"""`vclip query`: rows of a store, for people or for scripts."""

import base64
import csv
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TextIO

import duckdb
import pyarrow as pa

from stores import Snapshot, Store
from stores.corrections import Corrections
from stores.errors import nearest
from stores.schema import MEDIA, TABLES, VIDEO_TABLES
from vclip.errors import InputError

BATCH_ROWS = 1 << 12
MEMORY = "3GB"  # beyond that it spills
_READING = ("SELECT", "EXPLAIN", "MULTI")  # MULTI is PIVOT


@contextmanager
def answered(snapshot: Snapshot, sql: str, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatchReader]:
    """Gives the rows that an SQL query finds, while the block lasts.

    Args:
        snapshot: the state to read.
        sql: one query in DuckDB's dialect.
        batch_rows: rows to a batch.

    Raises:
        InputError: not one query, or DuckDB does not understand it; with DuckDB's own words.
    """
    with tempfile.TemporaryDirectory(prefix="vclip-sql-") as spill, connected(snapshot, spill) as connection:
        try:
            _check(connection, sql)
            reader = connection.sql(sql).to_arrow_reader(batch_rows)
            yield pa.RecordBatchReader.from_batches(reader.schema, _explained(reader))
        except duckdb.Error as error:
            raise InputError(f"query: {_told(error)}") from None


@contextmanager
def connected(snapshot: Snapshot, spill: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Gives a DuckDB that sees the store's tables and no more; `spill` is a folder for what memory cannot hold."""
    settings = {
        "enable_external_access": "false",
        "python_enable_replacements": "false",
        "memory_limit": MEMORY,
        "temp_directory": spill,
    }
    with duckdb.connect(config=settings) as connection:
        connection.execute("CREATE SCHEMA uncommitted; SET TimeZone = 'UTC'")
        for table in TABLES:
            _show_types(connection, snapshot, table)
        connection.execute("SET lock_configuration = true")
        yield connection


def _show_types(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, table: str) -> None:
    rows = connection.from_arrow(snapshot.dataset(table))
    if table in VIDEO_TABLES and (outside := snapshot.uncommitted(table)):
        pairs = [(run, video) for run, videos in outside.items() for video in videos]
        connection.execute(f"CREATE TABLE uncommitted.{table} (run_id VARCHAR, video_id VARCHAR)")
        connection.executemany(f"INSERT INTO uncommitted.{table} VALUES (?, ?)", pairs)
        rows = rows.filter(f"(run_id, video_id) NOT IN (SELECT (run_id, video_id) FROM uncommitted.{table})")
    rows = _as_corrected(connection, snapshot.corrections, table, rows) if table in VIDEO_TABLES else rows
    if media := MEDIA.get(table):
        rows.create_view(f"{table}_media")
        rows = rows.project(f"* EXCLUDE {media}")
    rows.create_view(table)


def _as_corrected(
    connection: duckdb.DuckDBPyConnection, edits: Corrections, table: str, rows: duckdb.DuckDBPyRelation
) -> duckdb.DuckDBPyRelation:
    """Takes out the rows that do not stand as they are stored, and for clips puts the corrected ones in."""
    if table != "clips":
        return rows.filter(f"NOT ({edits.hides})") if edits.hides else rows
    rows = rows.filter(f"NOT ({edits.touches})") if edits.touches else rows
    return rows if edits.rows is None else rows.union(connection.from_arrow(edits.rows.select(rows.columns)))


def _check(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise InputError(f"query: found {len(statements)} statements, expected one")
    kind = statements[0].type.name
    if kind not in _READING:
        raise InputError(f"query: found {kind}, expected SELECT; a query reads the store and changes nothing")


def _explained(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Yields the batches; what fails on the way reaches arrow as an OSError, and is the query's fault."""
    try:
        yield from reader
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"query: {_told(error)}") from None


def _told(error: Exception) -> str:
    text = " ".join(str(error).partition("\n\nLINE ")[0].split())
    found = text.partition("Table with name ")[2].split(" does not exist")[0]
    if found:
        return f"unknown table '{found}'; {nearest(found, (*TABLES, *(f'{name}_media' for name in MEDIA)))}"
    if "file system operations are disabled" in text:
        return "a query may read no files; only the store's tables"
    return text


FORMATS = ("table", "json", "jsonl", "csv")


def query(
    store_uri: str,
    table: str,
    select: str | None,
    where: str | None,
    order: str | None,
    limit: int | None,
    format: str,
    at: str | Mapping[str, int] | None = None,
    raw: bool = False,
) -> None:
    """Prints the rows that match, on stdout.

    Args:
        store_uri: the store.
        table, where, limit: as `Store.query` takes them.
        select, order: comma-separated columns.
        at: a tag or version of the store, as `Store.snapshot` takes it; the newest if None.
        format: table, json (one list), jsonl (an object a line) or csv; bytes are base64 in all of them.
        raw: shows what was ingested, without corrections by hand.

    Raises:
        InputError, StoreError: unknown format, table or column, or not SQL.
    """
    _check_format(format)
    rows = Store.open(store_uri).snapshot(at, raw).query(table, _names(select), where, limit, _names(order) or ())
    _show(rows.schema, rows.to_batches(1 << 12), format)


def query_sql(
    store_uri: str, sql: str, format: str, at: str | Mapping[str, int] | None = None, raw: bool = False
) -> None:
    """Prints what an SQL query finds, as `query` does; raises InputError where it is not one."""
    _check_format(format)
    with answered(Store.open(store_uri).snapshot(at, raw), sql) as reader:
        _show(reader.schema, reader, format)


def plain_rows(batches: Iterable[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    """Yields rows as JSON takes them; bytes as base64, times in ISO 8601."""
    for batch in batches:
        for row in batch.to_pylist():
            yield {name: _plain(value) for name, value in row.items()}


def write_csv(file: TextIO, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes rows with a head line; lists and structures as JSON, bytes as base64."""
    writer = csv.DictWriter(file, columns)
    writer.writeheader()
    writer.writerows({k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in r.items()} for r in rows)


def _check_format(format: str) -> None:
    if format not in FORMATS:
        raise InputError(f"format '{format}': expected one of {', '.join(FORMATS)}")


def _show(schema: pa.Schema, batches: Iterable[pa.RecordBatch], format: str) -> None:
    values = plain_rows(batches)
    if format == "json":
        lines = (json.dumps(row, ensure_ascii=False) for row in values)
        print(f"[{next(lines, '')}", end="")
        for line in lines:
            print(f", {line}", end="")
        print("]")
    elif format == "jsonl":
        for row in values:
            print(json.dumps(row, ensure_ascii=False))
    elif format == "csv":
        write_csv(sys.stdout, schema.names, values)
    else:
        _print_table(schema.names, values)


def _names(text: str | None) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] if text else None


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):  # of DuckDB's sums of whole numbers
        return int(value) if value == int(value) else float(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _print_table(columns: list[str], rows: Iterable[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns)
    count = 0
    for row in rows:
        table.add_row(*(_short(row[name]) for name in columns))
        count += 1
    Console().print(table)
    print(f"{count} rows")


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        shown = ", ".join(_short(v) for v in value[:4])
        return f"[{shown}{f', ... {len(value)}' if len(value) > 4 else ''}]"
    text = "" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
