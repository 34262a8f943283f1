"""`vclip query`: rows of a store, for people or for scripts."""

import base64
import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TextIO

import pyarrow as pa

from pipelines.analysis.sql import answered
from stores import Store
from vclip.errors import InputError

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
