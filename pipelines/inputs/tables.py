"""CSV tables with a header: of pairs, of speech."""

import csv
from collections.abc import Sequence
from pathlib import Path

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
