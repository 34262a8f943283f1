"""SQL over a store: DuckDB reads the tables as views, a batch at a time, and no more columns and rows than it needs.

Notable:
- A view shows what `Snapshot.query` would: the rows that the ledger vouches for, as corrected by hand, without media.
  With them they are in two more views, as in `SELECT face_id, image FROM faces_media`.
- DuckDB may touch no file, no network and no object of Python's, and its settings are locked: a query that was pasted
  from somewhere can read the store, and nothing else. It works in memory and spills to a folder of its own.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from stores import Snapshot
from stores.corrections import Corrections
from stores.errors import nearest
from stores.schemas import MEDIA, TABLES, VOUCHED
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
        connection.execute("CREATE SCHEMA unvouched; SET TimeZone = 'UTC'")
        for table in TABLES:
            _show(connection, snapshot, table)
        connection.execute("SET lock_configuration = true")
        yield connection


def _show(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, table: str) -> None:
    rows = connection.from_arrow(snapshot.dataset(table))
    if table in VOUCHED and (outside := snapshot.unvouched(table)):
        pairs = [(run, video) for run, videos in outside.items() for video in videos]
        connection.execute(f"CREATE TABLE unvouched.{table} (run_id VARCHAR, video_id VARCHAR)")
        connection.executemany(f"INSERT INTO unvouched.{table} VALUES (?, ?)", pairs)
        rows = rows.filter(f"(run_id, video_id) NOT IN (SELECT (run_id, video_id) FROM unvouched.{table})")
    rows = _as_corrected(connection, snapshot.corrections, table, rows) if table in VOUCHED else rows
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
