"""Manifests: tables that name one video per row, with labels in the other columns.

    videos.csv      file,identity,language,licence      a header, then the rows
    videos.jsonl    {"file": "a.mp4", "identity": "Ann"}
    videos.parquet  columns of any plain type
    videos.txt      one name per line, no labels

The column is `file`, else `uri`, else `path`: relative to the manifest's folder, absolute, or an address.
"""

import csv
import json
import math
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.files.addresses import WEB, is_remote, scheme_of
from vclip.errors import InputError


def read_csv(path: str | Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """Returns the rows of a CSV with a header.

    Raises:
        InputError: unreadable, empty, or without one of the needed columns.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, names = list(reader), reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"table {path}: {reason}; expected a CSV file with a header") from None
    missing = [name for name in needed if name not in names]
    if missing:
        found = ", ".join(names) or "no header"
        raise InputError(f"table {path}: no column '{missing[0]}' (found {found}); expected {', '.join(needed)}")
    if not rows:
        raise InputError(f"table {path}: found a header and no rows")
    for number, row in enumerate(rows, start=1):
        short = [name for name in needed if row[name] is None]
        if short:
            raise InputError(
                f"table {path}, row {number}: found no value for '{short[0]}', expected {', '.join(names)}"
            )
    return rows


NAMES = ("file", "uri", "path")


class Row(NamedTuple):
    """One row; small, for there may be a million: rows share their columns' names and equal values."""

    number: int  # from 1, the header not counted
    file: str
    columns: tuple[str, ...]  # of the labels
    values: tuple[str, ...]  # "" where there is none

    @property
    def labels(self) -> dict[str, str]:
        """Label -> value, of those that have one."""
        return {column: value for column, value in zip(self.columns, self.values, strict=True) if column and value}


def is_manifest(name: str) -> bool:
    """Returns whether a file is read as a manifest, by its suffix."""
    return os.path.splitext(name)[1].lower() in _READERS


def read_manifest(path: str | Path, name: str = "") -> Iterator[Row]:
    """Yields the rows of a local manifest.

    Args:
        path: the local file.
        name: its name in error messages; by default the path.

    Raises:
        InputError: it cannot be read, or a row is not as expected; the message names the row.
    """
    where = f"manifest {name or path}"
    shared: dict[Any, Any] = {}
    for number, found in read_rows(path, name):
        yield _row(number, found, where, shared)


def read_labels(path: str | Path) -> dict[str, dict[str, str]]:
    """Returns file -> labels of a table, which is read like a manifest: its column `file` names the videos.

    `identity`, `split`, `gender`, `age`, `nationality`, `language`, `licence`, `consent` have columns in the store.

    Raises:
        InputError: as `read_manifest`.
    """
    return {row.file: row.labels for row in read_manifest(path)}


def read_rows(path: str | Path, name: str = "") -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the rows of a local manifest with their numbers, column -> value; raises InputError as `read_manifest`.

    Args:
        path: the local file.
        name: its name in error messages; by default the path.
    """
    suffix = os.path.splitext(path)[1].lower()
    where = f"manifest {name or path}"
    number = 0
    try:
        for number, found in enumerate(_READERS.get(suffix, _csv)(Path(path), where), start=1):
            yield number, found
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        reason = (getattr(error, "strerror", None) or str(error)).splitlines()[0]
        after = f", after row {number}" if number else ""
        raise InputError(f"{where}{after}: {reason}; expected {_EXPECTED.get(suffix, _EXPECTED['.csv'])}") from None
    if not number:
        raise InputError(f"{where}: found no rows; expected {_EXPECTED.get(suffix, _EXPECTED['.csv'])}")


def resolved(file: str, folder: str) -> str:
    """Returns the path or address that a manifest in `folder` means by `file`.

    Raises:
        InputError: an address of a kind that cannot be read.
    """
    scheme = scheme_of(file)
    if scheme == "file":
        return os.path.abspath(unquote(file.partition("://")[2]))
    if is_remote(file) or (os.path.isabs(file) and not is_remote(folder)):
        return file if scheme else os.path.abspath(file)
    if scheme:
        raise InputError(f"{file}: found {scheme}://, expected a path, s3://, gs://, http:// or https://")
    if is_remote(folder):
        root, path = folder.split("/")[:3], "/".join(folder.split("/")[3:])
        inside = posixpath.normpath(posixpath.join("/", path, quote(file) if scheme_of(folder) in WEB else file))
        return "/".join(root) + inside
    return os.path.abspath(os.path.join(folder, file))


def _row(number: int, found: Mapping[str, Any], where: str, shared: dict[Any, Any]) -> Row:
    name = next((name for name in NAMES if name in found), None)
    if name is None:
        listed = ", ".join(map(str, found)) or "nothing"
        raise InputError(f"{where}, row {number}: found {listed}; expected a column 'file' ('uri', 'path')")
    file = found[name]
    if not isinstance(file, str) or not file:
        raise InputError(f"{where}, row {number}: found {file!r} for '{name}'; expected the name of a video")
    columns = tuple(column for column in found if column != name)
    values = tuple(_text(found[column]) for column in columns)
    columns = shared.setdefault(columns, columns)
    return Row(number, file, columns, tuple(shared.setdefault(value, value) for value in values))


def _text(value: Any) -> str:
    """Returns a label as text: whole numbers without a point, nested values as JSON, missing values as ""."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str).strip('"')


def _csv(path: Path, where: str) -> Iterator[dict[str, Any]]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        for number, row in enumerate((row for row in rows if row), start=1):
            if len(row) != len(header):
                expected = f"{len(header)} ({', '.join(header)})"
                raise InputError(f"{where}, row {number}: found {len(row)} fields; expected {expected}")
            yield dict(zip(header, row, strict=True))


def _jsonl(path: Path, where: str) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate((line for line in file if line.strip()), start=1):
            try:
                found = json.loads(line)
            except ValueError:
                found = line.strip()[:40]
            if not isinstance(found, dict):
                raise InputError(f"{where}, row {number}: found {found!r}; expected a JSON object")
            yield found


def _parquet(path: Path, where: str) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=4096):
            yield from batch.to_pylist()


def _lines(path: Path, where: str) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        yield from ({"file": line.rstrip("\n")} for line in file if line.strip())


_READERS: dict[str, Callable[[Path, str], Iterator[dict[str, Any]]]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
    ".txt": _lines,
}
_EXPECTED = {
    ".csv": "a CSV file with a header",
    ".jsonl": "a JSON object per line",
    ".parquet": "a Parquet file",
    ".txt": "a name per line",
}
