"""Manifests: tables that name one video per row, with labels in the other columns.

    videos.csv      file,identity,language,licence      a header, then the rows; also .tsv
    videos.jsonl    {"file": "a.mp4", "identity": "Ann"}
    videos.json     a list of such objects
    videos.parquet  columns of any plain type
    videos.txt      one name per line, no labels

The column is `file`, else `uri`, else `path`: relative to the manifest's folder, absolute, or an address.
"""

import json
import math
import os
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from pipelines.files.addresses import WEB, is_remote, scheme_of, storable
from pipelines.files.tables import TableRow, read_table, unusable_text
from stores.schema import LABELS
from vclip.errors import InputError
from vclip.tables import nfc

NAMES = ("file", "uri", "path")
KNOWN = (*NAMES, *LABELS, "identity", "split")


class Row(NamedTuple):
    """One row; small, for there may be a million: rows share their columns' names and equal values."""

    number: int  # from 1, the header not counted
    file: str  # "" where the row names none
    columns: tuple[str, ...]  # of the labels
    values: tuple[str, ...]  # "" where there is none
    problem: str = ""  # why the row cannot be used

    @property
    def labels(self) -> dict[str, str]:
        """Label -> value, of those that have one."""
        return {column: value for column, value in zip(self.columns, self.values, strict=True) if value}


class RowLabels(dict[str, str]):
    """The labels that one row of a table gives, label -> value."""

    number = 0  # of the row
    problem = ""  # why the row cannot be used


def read_manifest(path: str | Path, name: str = "") -> Iterator[Row]:
    """Yields the rows of a local manifest; a row that cannot be used says why.

    Args:
        path: the local file.
        name: its name in error messages; by default the path.

    Raises:
        InputError: it cannot be read, has no rows, or names a column twice.
    """
    shared: dict[Any, Any] = {}
    for row in read_table(path, f"manifest {name or path}", KNOWN):
        yield _row(row, shared)


def read_labels(path: str | Path) -> dict[str, RowLabels]:
    """Returns file -> labels of a table, which is read like a manifest: its column `file` names the videos.

    `identity`, `split`, `gender`, `age`, `nationality`, `language`, `licence`, `consent` have columns in the store.
    A row without a usable name has one that names no video.

    Raises:
        InputError: as `read_manifest`; no row can be used, or two rows give one video different labels.
    """
    found: dict[str, RowLabels] = {}
    rows = list(read_manifest(path))
    if all(row.problem for row in rows):
        raise InputError(f"manifest {path}, row 1: {rows[0].problem}")
    first: dict[str, str] = {}
    for row in rows:
        labels = RowLabels(row.labels)
        labels.number, labels.problem = row.number, row.problem and f"labels {path}, row {row.number}: {row.problem}"
        name = row.file or f"{path}, row {row.number}: {row.problem}"
        before = found.get(first.setdefault(nfc(name), name))
        if before is not None and before != labels:
            raise InputError(
                f"labels {path}, rows {before.number} and {row.number}: different labels for {storable(row.file)}; "
                "expected one row per video"
            )
        found.setdefault(name, labels)
    return found


def resolved(file: str, folder: str) -> str:
    """Returns the path or address that a manifest in `folder` means by `file`.

    Raises:
        InputError: an address of a kind that cannot be read, or what cannot be a name.
    """
    _check_name(file)
    scheme = scheme_of(file)
    if scheme == "file":
        path = unquote(file.partition("://")[2])
        _check_name(path)
        return os.path.abspath(path)
    if is_remote(file) or (os.path.isabs(file) and not is_remote(folder)):
        return file if scheme else os.path.abspath(file)
    if scheme:
        raise InputError(f"{file}: found {scheme}://, expected a path, s3://, gs://, http:// or https://")
    if is_remote(folder):
        root, path = folder.split("/")[:3], "/".join(folder.split("/")[3:])
        inside = posixpath.normpath(posixpath.join("/", path, quote(file) if scheme_of(folder) in WEB else file))
        return "/".join(root) + inside
    return os.path.abspath(os.path.join(folder, file))


def _check_name(file: str) -> None:
    if "\0" in file:
        raise InputError(f"{storable(file)}: found a NUL byte, expected a name without one")
    try:
        os.fsencode(file)
        if scheme_of(file) in WEB:
            urlsplit(file).port  # noqa: B018, it raises
    except UnicodeEncodeError:
        raise InputError(f"{storable(file)}: found a lone surrogate, expected a name in Unicode") from None
    except ValueError as error:
        raise InputError(f"{storable(file)}: no address ({error})") from None


def _row(row: TableRow, shared: dict[Any, Any]) -> Row:
    if row.problem:
        return Row(row.number, "", (), (), row.problem)
    name = next((name for name in NAMES if name in row.values), None)
    if name is None:
        listed = ", ".join(map(str, row.values)) or "nothing"
        return Row(row.number, "", (), (), f"found {listed}; expected a column 'file' ('uri', 'path')")
    file = row.values[name]
    if not isinstance(file, str) or not file:
        return Row(row.number, "", (), (), f"found {repr(file)[:80]} for '{name}'; expected the name of a video")
    columns, problem = tuple(column for column in row.values if column != name), ""
    try:
        values = tuple(nfc(label_text(row.values[column])) for column in columns)
    except (ValueError, RecursionError) as error:
        return Row(row.number, file, (), (), f"a label cannot be read ({error})")
    for column, value in zip(columns, values, strict=True):
        why = unusable_text(column) or unusable_text(value)
        problem = problem or (f"{storable(column)}: {why}" if why else "")
    columns = shared.setdefault(columns, columns)
    return Row(row.number, file, columns, tuple(shared.setdefault(value, value) for value in values), problem)


def label_text(value: Any) -> str:
    """Returns a label as text: whole numbers without a point, nested values as JSON, missing values as ""."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str).strip('"')
