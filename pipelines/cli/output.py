"""How commands print: results as JSON for scripts, tables and lines for people.

Whatever comes from a store or a file system is printed as it is: `Interview [dQw4w9WgXcQ].mp4` is no markup, and
control characters, which could drive the terminal, are shown as escapes.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, time
from typing import Any

from pipelines.progress import say
from pipelines.wording import number, seconds, size

EXAMPLES = 3  # ids shown of a list
_NUMBER = re.compile(r"[+-]?[\d,]*\.?\d+%?(\n.*)?|–|")  # a cell of a column that is aligned right
WITH_UNITS = {"s": seconds, "bytes": size}  # the end of a key -> its value for people
WORDS = {
    "dim": "size of the vector",
    "face_sha256": "hash of the photo",
    "known": "in the store already",
    "nearest_known_cosine": "cosine with the nearest known speaker",
    "out": "written to",
    "place": "kept in",
    "sha256": "hash",
    "tts": "TTS",
}
THREE_DECIMALS = ("cosine", "score")  # as in the tables that list them
UNITS = {"hz": "Hz", "px": "px", "mb": "MB", "db": "dB", "ms": "ms", "gb": "GB"}


def print_json(result: Any) -> None:
    """Prints a result as one JSON object on stdout; a dataclass by its `to_json()`, or else by its fields."""
    print(json.dumps(result, default=_plain))


def print_line(text: str) -> None:
    """Prints a line for people."""
    print("\n".join(map(printable, text.split("\n"))))


def say_next(*commands: str) -> None:
    """Says in a message what the user may run now, with what was just made.

    Args:
        commands: whole command lines; words in capitals are the user's to fill in.
    """
    say(f"next: {' or '.join(f'`{command}`' for command in commands)}")


def print_result(result: Any, as_json: bool, title: str) -> None:
    """Prints a result: JSON for scripts, else a table of names and values.

    Args:
        result: a mapping or a dataclass. Its lists are printed for scripts only.
        as_json: whether `--json` was given.
        title: of the table.
    """
    if as_json:
        print_json(result)
        return
    values = result if isinstance(result, Mapping) else _plain(result)
    rows = [(label(name), _cell(value, name)) for name, value in values.items() if not isinstance(value, list)]
    print_table(title, (), [row for row in rows if row[1]], box="ROUNDED")


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    whole: str = "",
    box: str = "SIMPLE_HEAD",
    one_line: bool = False,
) -> None:
    """Prints a table for people, numbers aligned right; nothing where it has no rows.

    Args:
        title: above the table; empty for none.
        columns: the head; empty for none, and then no cell is cut.
        rows: a cell for each column.
        whole: the column that is never cut, such as an id to copy.
        box: a name of `rich.box`.
        one_line: cells are cut at the end of their line instead of continued in the next.
    """
    rows = [[printable(str(cell), "\n") for cell in row] for row in rows]
    if not rows:
        return
    from rich import box as boxes
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = getattr(boxes, box)
    table = Table(title=printable(title) or None, title_justify="left", box=lines, padding=(0, 1, 0, 0))
    table.show_header = bool(columns)
    for name, cells in zip(columns or [""] * len(rows[0]), zip(*rows, strict=True), strict=True):
        own = name == whole != ""
        numbers = bool(columns) and not own and any(cells) and all(map(_NUMBER.fullmatch, cells))
        uncut = own or not columns  # a hash or a path to copy
        table.add_column(
            name, no_wrap=own, overflow="fold" if uncut else "ellipsis", justify="right" if numbers else "left"
        )
    for row in rows:
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in row) if one_line else row)
    Console(markup=False, highlight=False, emoji=False).print(table)


def printable(text: str, but: str = "") -> str:
    """The text with control characters, and what cannot be encoded, as escapes.

    Args:
        text: of any origin.
        but: characters to leave as they are.

    Example:
        >>> printable("Interview [dQw4w9WgXcQ].mp4")
        'Interview [dQw4w9WgXcQ].mp4'
        >>> printable("a\\x1b[31mb")
        'a\\\\x1b[31mb'
    """
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in ("Cc", "Cs") and c not in but else c
        for c in text
    )


def label(key: str) -> str:
    """The words of a result's key for people; other names stay as they are.

    Those that need more than their own words are in WORDS. A unit follows in parentheses, unless the value brings its
    own, as lengths of time and numbers of bytes do.

    Example:
        >>> label("spread_people"), label("rate_hz"), label("took_s"), label("open_clip/ViT-B-32"), label("out")
        ('spread people', 'rate (Hz)', 'took', 'open_clip/ViT-B-32', 'written to')
    """
    if key in WORDS:
        return WORDS[key]
    if not re.fullmatch(r"[a-z0-9_]+", key):
        return key
    words, _, unit = key.rpartition("_")
    if words and unit in WITH_UNITS:
        return words.replace("_", " ")
    named = f"{words} ({UNITS[unit]})" if words and unit in UNITS else key
    return named.replace("_", " ")


def examples(ids: Sequence[str]) -> str:
    """A list of ids for people: how many, and the first few; empty for none."""
    return f"{len(ids):,}: {', '.join(ids[:EXAMPLES])}{' ...' if len(ids) > EXAMPLES else ''}" if ids else ""


def interval(figure: Mapping[str, float | None] | None, digits: int = 3, sign: str = "") -> str:
    """A figure over its 95% interval, in two lines; a dash where it was not measured.

    Args:
        figure: `value`, `low` and `high`; None where not measured.
        digits: after the point.
        sign: "+" shows the sign of positive figures too, as of differences.
    """
    if figure is None or figure["value"] is None:
        return "–"
    value = f"{figure['value']:{sign}z.{digits}f}"
    if figure["low"] is None:
        return value
    to = " to " if sign or figure["low"] < 0 else "–"  # a dash is too like a minus sign beside one
    return f"{value}\n{figure['low']:{sign}z.{digits}f}{to}{figure['high']:{sign}z.{digits}f}"


def _cell(value: Any, key: str = "") -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        own = key.rpartition("_")[2] in WITH_UNITS  # as of {"bytes": {"before": 1, "after": 2}}
        return "\n".join(
            f"{label(str(name))}: {_cell(part, key if own else str(name))}" for name, part in value.items()
        )
    if type(value) in (int, float) and (words := WITH_UNITS.get(key.rpartition("_")[2])):
        return words(value)
    if isinstance(value, float) and key.rpartition("_")[2] in THREE_DECIMALS:
        return f"{value:.3f}"
    return number(value) if type(value) in (int, float) else str(value)


def _plain(value: Any) -> Any:
    if hasattr(value, "to_json"):
        return value.to_json()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.isoformat() if isinstance(value, date | time) else str(value)
