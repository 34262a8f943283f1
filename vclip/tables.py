"""Tables and lists as text, from any editor: UTF-8 with or without a byte order mark, UTF-16 with one, any line ends.

Column names are compared without case and surrounding spaces, and text in Unicode's NFC: a name with an accent may be
one code point or two.
"""

import csv
import gzip
import unicodedata
import zipfile
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from vclip.errors import InputError

UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def nfc(text: str) -> str:
    """Returns a text in Unicode's NFC, without surrounding white space: equal for names that look the same.

    Example:
        >>> nfc(" Jose\\u0301") == "Jos\\xe9"
        True
    """
    return unicodedata.normalize("NFC", text).strip()


def text_lines(path: str | Path | zipfile.Path) -> Iterator[str]:
    """Yields the lines of a text file with their ends; bytes that are not UTF-8 become lone surrogates.

    Args:
        path: the file or a member of a zip archive, gzipped if its name ends in .gz.

    Raises:
        OSError, EOFError, zlib.error: the file cannot be read.
        UnicodeDecodeError: it begins with the mark of UTF-16 and is not UTF-16.
    """
    packed = str(path).lower().endswith(".gz")
    if isinstance(path, zipfile.Path):
        opened: Any = partial(_of_packed_member, path) if packed else path.open
    else:
        opened = partial(gzip.open if packed else open, path)
    with opened("rb") as file:
        wide = file.read(2) in UTF_16
    encoding, errors = ("utf-16", "strict") if wide else ("utf-8-sig", "surrogateescape")
    with opened("rt", encoding=encoding, errors=errors, newline="") as file:
        yield from file


@contextmanager
def _of_packed_member(path: zipfile.Path, mode: Any, **how: Any) -> Iterator[Any]:
    with path.open("rb") as packed, gzip.open(packed, mode, **how) as file:
        yield file


class TextRow(NamedTuple):
    """One row of a table."""

    number: int  # from 1, without the header and blank lines
    values: dict[str, str]  # column -> value, without surrounding spaces
    problem: str = ""  # why the row cannot be used; it has no values then


def read_delimited(
    path: str | Path, where: str, known: Collection[str] = (), delimiter: str = ""
) -> Iterator[TextRow]:
    """Yields the rows of a table with a header. A row that cannot be split into the columns says why.

    Args:
        path: the table.
        where: its name in error messages.
        known: names of columns; a column that is one of them but for case and surrounding spaces gets this name.
        delimiter: by default the tab, comma or semicolon that the header has.

    Raises:
        InputError: two columns have one name.
        OSError, UnicodeDecodeError: as `text_lines`.
    """
    lines = text_lines(path)
    first = next((line for line in lines if line.strip()), "")
    comma_or_semicolon = ";" if ";" in first and "," not in first else ","
    rows = _rows(chain([first], lines), delimiter or ("\t" if "\t" in first else comma_or_semicolon))
    header = next(rows, [])
    if isinstance(header, str):
        raise InputError(f"{where}: its header {header}; expected the names of the columns")
    names, number = column_names(header, where, known), 0
    for row in rows:
        if isinstance(row, str):
            number += 1
            yield TextRow(number, {}, row)
            continue
        values = [value.strip() for value in row]
        if not any(values):
            continue
        number += 1
        while len(values) > len(names) and not values[-1]:
            values.pop()
        if len(values) > len(names) or any(names[len(values) :]):
            listed = f"{len(names)} ({', '.join(filter(None, names))})"
            yield TextRow(number, {}, f"found {len(values)} fields; expected {listed}")
        else:
            yield TextRow(number, {name: value for name, value in zip(names, values, strict=False) if name})


def column_names(found: Sequence[str], where: str, known: Collection[str] = ()) -> list[str]:
    """Returns the names of columns, without surrounding spaces, in NFC and spelt as the known ones.

    A column without a name has the name "", and its values are to be ignored.

    Raises:
        InputError: two columns have one name, case and surrounding spaces aside.
    """
    spelling = {nfc(name).casefold(): name for name in known}
    names = [spelling.get(nfc(name).casefold(), nfc(name)) for name in found]
    first: dict[str, int] = {}
    for place, name in enumerate(names, start=1):
        before = first.setdefault(name.casefold(), place) if name else place
        if before != place:
            raise InputError(
                f"{where}: columns {before} and {place} are both '{name}'; expected each name once, without regard "
                "to case and surrounding spaces"
            )
    return names


def _rows(lines: Iterator[str], delimiter: str) -> Iterator[list[str] | str]:
    """Yields rows, or why one is none: a quotation mark without its end must not swallow the rows after it."""
    source = _Lines(lines)
    reader = csv.reader(source, delimiter=delimiter, skipinitialspace=True, strict=True)
    while True:
        source.begin()
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            source.go_back()
            yield f"cannot be split into fields ({error})"


class _Lines(Iterator[str]):
    """Lines, of which those after the first of a row can be read again."""

    def __init__(self, lines: Iterator[str]):
        self._lines, self._row = lines, list[str]()
        self._again: deque[str] = deque()

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self._row.append(line)
        return line

    def begin(self) -> None:
        self._row.clear()

    def go_back(self) -> None:
        self._again.extendleft(reversed(self._row[1:]))
