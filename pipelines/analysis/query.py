"""`vclip query`: rows of a store, for people or for scripts."""

import base64
import csv
import json
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
    settings: dict[str, str | bool | int | float | list[str]] = {
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


def query(
    store_uri: str,
    table: str,
    columns: Sequence[str] | None = None,
    where: str | None = None,
    order: Sequence[str] = (),
    limit: int | None = None,
    at: str | Mapping[str, int] | None = None,
    raw: bool = False,
) -> pa.RecordBatchReader:
    """Returns a reader of the matching rows of one table: their schema, and batches of BATCH_ROWS rows.

    Args:
        store_uri: the store.
        table, columns, where, order, limit: as in `Store.query`.
        at: a tag or version of the store, as in `Store.snapshot`; the newest if None.
        raw: read rows as ingested, without corrections by hand.

    Raises:
        StoreError: an unknown table or column, or a filter that is not SQL.
    """
    rows = Store.open(store_uri).snapshot(at, raw).query(table, columns, where, limit, order)
    return rows.to_reader(BATCH_ROWS)


@contextmanager
def query_sql(
    store_uri: str, sql: str, at: str | Mapping[str, int] | None = None, raw: bool = False
) -> Iterator[pa.RecordBatchReader]:
    """Yields a reader of the rows of an SQL query, as `answered` does; `store_uri`, `at` and `raw` as in `query`."""
    with answered(Store.open(store_uri).snapshot(at, raw), sql) as reader:
        yield reader


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
