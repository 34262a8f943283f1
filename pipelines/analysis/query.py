"""`vclip query`: rows of a store by table or by SQL, for people or for scripts.

SQL runs in DuckDB, in batches, and reads only the columns and rows that a query needs.
- A view shows what `Snapshot.query` returns: committed rows, with corrections, without media. `faces_media` and
  `voices_media` include the media, as in `SELECT face_id, image FROM faces_media`.
- DuckDB may reach no file, no network and no Python object, and its settings are locked: a query pasted from
  anywhere can read the store and nothing else. It works in memory and spills to a temporary folder.
"""

import base64
import csv
import json
import math
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
MEMORY = "3GB"  # above which it spills to disk
# What people are shown of a table where they do not choose.
COLUMNS = {
    "videos": ("video_id", "state", "n_clips", "duration_s", "reason", "uris"),
    "clips": ("clip_id", "identity", "gender", "start_s", "end_s", "video_uri"),
    "faces": ("face_id", "clip_id", "time_s", "size_px", "frontality", "quality"),
    "voices": ("voice_id", "clip_id", "start_s", "end_s", "speech_ratio", "snr_db"),
    "speakers": ("speaker_id", "name", "tts", "gender", "space", "created_at"),
    "generations": ("generation_id", "face", "text", "score", "tts", "audio_uri"),
    "edits": ("edit_id", "action", "subject", "value", "who", "created_at"),
    "runs": ("run_id", "started_at", "finished_at", "command"),
}
ROWS = 20
_READING = ("SELECT", "EXPLAIN", "MULTI")  # MULTI is PIVOT


@contextmanager
def sql_rows(snapshot: Snapshot, sql: str, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatchReader]:
    """Yields a reader of the rows of an SQL query; valid within the block.

    Of columns that share a name, as in a join, the second is `name_1`, the third `name_2`, as in DuckDB's subqueries.

    Args:
        snapshot: the state to read.
        sql: one query in DuckDB's dialect.
        batch_rows: rows per batch.

    Raises:
        InputError: not one query, or an error of DuckDB's, with its message.
    """
    with tempfile.TemporaryDirectory(prefix="vclip-sql-") as spill, open_duckdb(snapshot, spill) as connection:
        try:
            _check(connection, sql)
            reader = connection.sql(sql).to_arrow_reader(batch_rows)
            schema = _with_unique_names(reader.schema)
            batches = (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in reader)
            yield pa.RecordBatchReader.from_batches(schema, _with_plain_errors(batches))
        except duckdb.Error as error:
            raise InputError(f"query: {_message(error)}") from None


@contextmanager
def open_duckdb(snapshot: Snapshot, spill: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yields a DuckDB connection that sees only the store's tables; it spills to the folder `spill`."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "python_enable_replacements": "false",
        "memory_limit": MEMORY,
        "temp_directory": spill,
    }
    with duckdb.connect(config=settings) as connection:
        connection.execute("CREATE SCHEMA uncommitted; SET TimeZone = 'UTC'")
        for table in TABLES:
            _create_views(connection, snapshot, table)
        connection.execute("SET lock_configuration = true")
        yield connection


def _create_views(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, table: str) -> None:
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
    """The rows without those that corrections hide, and clips as corrected."""
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


def _with_unique_names(schema: pa.Schema) -> pa.Schema:
    """Returns a schema in which no two columns share a name, so that a row can be a mapping."""
    names: list[str] = []
    for name in schema.names:
        numbered = (f"{name}_{i}" for i in range(1, len(schema.names) + 1))
        names.append(next(one for one in (name, *numbered) if one not in names))
    return pa.schema([field.with_name(name) for field, name in zip(schema, names, strict=True)])


def _with_plain_errors(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yields the batches; an error of the query, which Arrow raises as an OSError, becomes an InputError."""
    try:
        yield from batches
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"query: {_message(error)}") from None


def _message(error: Exception) -> str:
    text = " ".join(str(error).partition("\n\nLINE ")[0].split())
    found = text.partition("Table with name ")[2].split(" does not exist")[0]
    if found:
        return f"unknown table '{found}'; {nearest(found, (*TABLES, *(f'{name}_media' for name in MEDIA)))}"
    if "file system operations are disabled" in text:
        return "a query may read no files, only the tables of the store"
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
    """A reader of the matching rows of one table, in batches of BATCH_ROWS rows.

    Args:
        store_uri: the store.
        table, columns, where, order, limit: as in `Store.query`.
        at: a tag or version of the store, as in `Store.snapshot`; the newest if None.
        raw: read rows as ingested, without manual corrections.

    Raises:
        StoreError: an unknown table or column, or an invalid filter.
    """
    rows = Store.open(store_uri).snapshot(at, raw).query(table, columns, where, limit, order)
    return rows.to_reader(BATCH_ROWS)


def query_some(
    store_uri: str,
    table: str,
    columns: Sequence[str] | None = None,
    where: str | None = None,
    order: Sequence[str] = (),
    limit: int | None = None,
    at: str | Mapping[str, int] | None = None,
    raw: bool = False,
) -> tuple[pa.Table, int]:
    """Returns the first rows of one table for people, and the number of all that match.

    Args and raises are those of `query`; without columns it takes COLUMNS, without a limit ROWS.
    """
    snapshot = Store.open(store_uri).snapshot(at, raw)
    rows = snapshot.query(table, columns or COLUMNS.get(table), where, limit or ROWS, order)
    return rows, snapshot.count(table, where)


@contextmanager
def query_sql(
    store_uri: str, sql: str, at: str | Mapping[str, int] | None = None, raw: bool = False
) -> Iterator[pa.RecordBatchReader]:
    """Yields a reader of the rows of an SQL query, as `sql_rows` does; `store_uri`, `at` and `raw` as in `query`."""
    with sql_rows(Store.open(store_uri).snapshot(at, raw), sql) as reader:
        yield reader


def plain_rows(batches: Iterable[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    """Yields rows that JSON can hold: bytes as base64, times in ISO 8601, NaN and infinity as None."""
    for batch in batches:
        for row in batch.to_pylist():
            yield {name: _plain(value) for name, value in row.items()}


def write_csv(file: TextIO, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes rows below a header; lists and structures as JSON, bytes as base64."""
    writer = csv.DictWriter(file, columns)
    writer.writeheader()
    writer.writerows({k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in r.items()} for r in rows)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):  # DuckDB's sums of integers
        return int(value) if value == int(value) else float(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
