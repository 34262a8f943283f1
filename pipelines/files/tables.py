"""Tables from a user: .csv, .tsv, .json, .jsonl, .parquet and .txt, read one way by every job.

A row that cannot be used says why, and the other rows are read. See `vclip.tables` for what text may look like.
"""

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from vclip.errors import InputError
from vclip.tables import column_names, read_delimited, text_lines

SHOWN = 60  # characters of a row in a message


class TableRow(NamedTuple):
    """One row of a table."""

    number: int  # from 1, without the header and blank lines
    values: Mapping[str, Any]  # column -> value; text without surrounding spaces
    problem: str = ""  # why the row cannot be used


def is_table(name: str) -> bool:
    """Returns whether a file is read as a table, by its suffix."""
    return os.path.splitext(name)[1].lower() in _READERS


def read_table(path: str | Path, name: str = "", known: Collection[str] = ()) -> Iterator[TableRow]:
    """Yields the rows of a local table. A file with another suffix is read as CSV.

    Args:
        path: the table.
        name: its name in error messages; by default `table` and the path.
        known: names of columns; a column that is one of them but for case and surrounding spaces gets this name.

    Raises:
        InputError: the table cannot be read, has no rows, or names a column twice.
    """
    suffix, where, number = os.path.splitext(path)[1].lower(), name or f"table {path}", 0
    read, expected = _READERS.get(suffix, _READERS[".csv"])
    try:
        for row in read(Path(path), where, known):
            number = row.number
            yield row
    except (OSError, EOFError, ValueError, OverflowError, RecursionError, pa.ArrowException) as error:
        if isinstance(error, InputError):
            raise
        reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
        after = f", after row {number}" if number else ""
        raise InputError(f"{where}{after}: {reason}; expected {expected}") from None
    if not number:
        raise InputError(f"{where}: found no rows; expected {expected}")


def read_columns(
    path: str | Path, needed: Sequence[str], known: Collection[str] = (), may_be_empty: Collection[str] = ()
) -> list[TableRow]:
    """Returns the rows of a table that has all needed columns; a row without a value for one of them says so.

    Args:
        path: the table.
        needed: the columns that the table needs.
        may_be_empty: those of them for which a row needs no value.
        known: further names of columns, as of `read_table`.

    Raises:
        InputError: as `read_table`; or columns are missing, all of which are named.
    """
    rows = list(read_table(path, known=(*needed, *known)))
    if not any(row.values for row in rows):
        raise InputError(f"table {path}, row 1: {rows[0].problem}")
    found = dict.fromkeys(column for row in rows for column in row.values)
    if missing := [column for column in needed if column not in found]:
        columns = "column" if len(missing) == 1 else "columns"
        listed = ", ".join(f"'{column}'" for column in missing)
        raise InputError(
            f"table {path}: no {columns} {listed} (found {', '.join(found)}); expected {', '.join(needed)}"
        )
    filled = [column for column in needed if column not in may_be_empty]
    return [row._replace(problem=row.problem or _lacks(row, filled)) for row in rows]


def unusable_text(text: str) -> str:
    """Returns why a text cannot be stored, or "" if it can: NUL bytes and what is not Unicode."""
    if "\0" in text:
        return "found a NUL byte, expected text"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "found what is not Unicode (a lone surrogate, or bytes that are not UTF-8), expected text in UTF-8"
    return ""


def _lacks(row: TableRow, needed: Sequence[str]) -> str:
    without = next((column for column in needed if row.values.get(column) in (None, "")), "")
    return f"found no value for '{without}', expected one for each of {', '.join(needed)}" if without else ""


def _delimited(path: Path, where: str, known: Collection[str]) -> Iterator[TableRow]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ""
    return (TableRow(*row) for row in read_delimited(path, where, known, delimiter))


def _objects(path: Path, where: str, known: Collection[str]) -> Iterator[TableRow]:
    """Yields the objects of a JSON file: of a list, one alone, or one per line."""
    text = "".join(text_lines(path))
    try:
        found = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        if text.lstrip().startswith("["):
            raise
        return _json_lines(path, where, known)
    return _of_objects(found if isinstance(found, list) and not isinstance(found, _Pairs) else [found], known)


def _json_lines(path: Path, where: str, known: Collection[str]) -> Iterator[TableRow]:
    return _of_objects(map(_parsed, filter(str.strip, text_lines(path))), known)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return line.strip()


class _Pairs(list):
    """The names and values of a JSON object, in which a name may be there twice."""


def _of_objects(found: Iterable[Any], known: Collection[str]) -> Iterator[TableRow]:
    spelt: dict[tuple[str, ...], list[str]] = {}
    for number, one in enumerate(found, start=1):
        try:
            yield TableRow(number, _of_object(one, spelt, known))
        except (InputError, RecursionError) as error:
            yield TableRow(number, {}, str(error))


def _of_object(one: Any, spelt: dict[tuple[str, ...], list[str]], known: Collection[str]) -> dict[str, Any]:
    if not isinstance(one, _Pairs):
        raise InputError(f"found {repr(_plain(one))[:SHOWN]}; expected a JSON object")
    given = tuple(name for name, _ in one)
    if given not in spelt:
        spelt[given] = column_names(given, "the object", known)
    values = (_stripped(_plain(value)) for _, value in one)
    return {name: value for name, value in zip(spelt[given], values, strict=True) if name}


def _plain(value: Any) -> Any:
    if isinstance(value, _Pairs):
        return {name: _plain(part) for name, part in value}
    return [_plain(part) for part in value] if isinstance(value, list) else value


def _parquet(path: Path, where: str, known: Collection[str]) -> Iterator[TableRow]:
    with pq.ParquetFile(path) as file:
        names, number = column_names(file.schema_arrow.names, where, known), 0
        for batch in file.iter_batches(batch_size=4096):
            for values in zip(*map(_values, batch.columns), strict=True):
                number += 1
                row = {name: value for name, value in zip(names, values, strict=True) if name}
                wrong = [f"{name}: {value.reason}" for name, value in row.items() if isinstance(value, _Unreadable)]
                yield TableRow(number, {}, wrong[0]) if wrong else TableRow(number, row)


class _Unreadable(NamedTuple):
    """A value that Python cannot hold, such as a date of the year 3,000,000."""

    reason: str


def _values(column: pa.Array) -> list[Any]:
    """Returns the values of a column; of text, bytes that are not UTF-8 become lone surrogates."""
    column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        data = column.cast(pa.large_binary()).to_pylist()
        return [None if one is None else one.decode("utf-8", "surrogateescape").strip() for one in data]
    try:
        return [_stripped(value) for value in column.to_pylist()]
    except (ValueError, OverflowError):
        return list(map(_value, column))


def _value(scalar: pa.Scalar) -> Any:
    try:
        return _stripped(scalar.as_py())
    except (ValueError, OverflowError) as error:
        return _Unreadable(f"cannot be read ({error})")


def _lines(path: Path, where: str, known: Collection[str]) -> Iterator[TableRow]:
    lines = (line.strip() for line in text_lines(path))
    yield from (TableRow(n, {"file": line}) for n, line in enumerate(filter(None, lines), start=1))


def _stripped(value: Any) -> Any:
    """A value without surrounding spaces if it is text, also as bytes in UTF-8."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            return value
    return value.strip() if isinstance(value, str) else value


Reader = Callable[[Path, str, Collection[str]], Iterator[TableRow]]
# Suffix -> its reader, and what the file should be.
_READERS: dict[str, tuple[Reader, str]] = {
    ".csv": (_delimited, "a CSV file with a header"),
    ".tsv": (_delimited, "a TSV file with a header"),
    ".json": (_objects, "a list of JSON objects"),
    ".jsonl": (_json_lines, "a JSON object per line"),
    ".parquet": (_parquet, "a Parquet file"),
    ".txt": (_lines, "a name per line"),
}
