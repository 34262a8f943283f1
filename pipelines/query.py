"""`vclip query`: rows of a store, for people or for scripts."""

import base64
import csv
import json
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

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
) -> None:
    """Prints the rows that match, on stdout.

    Args:
        store_uri: the store.
        table, where, limit: as `Store.query` takes them.
        select, order: comma-separated columns.
        at: a tag or version of the store, as `Store.snapshot` takes it; the newest if None.
        format: table, json (one list), jsonl (an object a line) or csv; bytes are base64 in all of them.

    Raises:
        InputError, StoreError: unknown format, table or column, or not SQL.
    """
    if format not in FORMATS:
        raise InputError(f"format '{format}': expected one of {', '.join(FORMATS)}")
    store = Store.open(store_uri)
    rows = store.snapshot(at).query(table, _names(select), where, limit, _names(order) or ())
    columns = rows.column_names
    values = ({name: _plain(value) for name, value in row.items()} for row in rows.to_pylist())
    if format == "json":
        print(json.dumps(list(values), ensure_ascii=False))
    elif format == "jsonl":
        for row in values:
            print(json.dumps(row, ensure_ascii=False))
    elif format == "csv":
        writer = csv.DictWriter(sys.stdout, columns)
        writer.writeheader()
        writer.writerows(
            {k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in r.items()} for r in values
        )
    else:
        _print_table(columns, values)


def _names(text: str | None) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] if text else None


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat()
    return value


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
