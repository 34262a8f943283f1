"""Numbers for people, on pages and on the command line: with units, three significant digits and agreeing plurals."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime

MINUTE_S, HOUR_S = 60, 3600
FILTER_SHOWN = 200  # characters


def plural(number: float, noun: str, several: str = "") -> str:
    """The noun in the form that agrees with the number.

    Example:
        >>> plural(1, "clip"), plural(0, "clip"), plural(2, "identity", "identities")
        ('clip', 'clips', 'identities')
    """
    return noun if number == 1 else several or noun + "s"


def count(number: int, noun: str, several: str = "") -> str:
    """A number with its noun.

    Example:
        >>> count(1, "clip"), count(1220, "clip"), count(2, "identity", "identities")
        ('1 clip', '1,220 clips', '2 identities')
    """
    return f"{number:,} {plural(number, noun, several)}"


def none_usable(number: int, noun: str) -> str:
    """That nothing of a kind can be used, as the start of an error.

    Example:
        >>> none_usable(3, "row"), none_usable(1, "row")
        ('none of 3 rows can be used', 'its only row cannot be used')
    """
    return f"its only {noun} cannot be used" if number == 1 else f"none of {count(number, noun)} can be used"


def number(value: float) -> str:
    """A number with three significant digits, or with all digits before the point; integers are exact.

    Example:
        >>> number(0.8234), number(12.345), number(1234.5), number(7), number(1220)
        ('0.823', '12.3', '1,234', '7', '1,220')
    """
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 100 else f"{value:z.3g}"


def resolved(value: float, edges: Sequence[float]) -> float:
    """A quantile of a histogram, rounded to the digits that its bins resolve: a tenth of a bin, or a little finer.

    Args:
        value: interpolated within its bin.
        edges: (n + 1,) ascending edges of the bins.

    Example:
        >>> resolved(-0.0213, [-5.0, 0.0, 5.0]), resolved(0.94731, [0.92, 0.96, 1.0]), resolved(7759.2, [7500, 8000])
        (0.0, 0.947, 7760.0)
    """
    above = min(max(bisect_right(edges, value), 1), len(edges) - 1)
    digits = 1 - math.floor(math.log10(edges[above] - edges[above - 1]))
    return round(value, digits) + 0.0  # not -0.0


def filtered(where: str | None) -> str:
    """The end of a message about rows that a filter leaves, which may be a list of thousands of ids; "" without one.

    Example:
        >>> filtered("gender = 'f'"), filtered(None), len(filtered("x" * 10**6)) < 250
        (" where gender = 'f'", '', True)
    """
    line = " ".join((where or "").split())
    return f" where {line if len(line) <= FILTER_SHOWN else f'{line[:FILTER_SHOWN]}...'}" if line else ""


def percent(share: float) -> str:
    """A share (0..1) in percent; small shares keep two digits, and what is less than the whole is not "100%".

    Example:
        >>> percent(0.123), percent(0.0123), percent(0.9958), percent(1.0), percent(0.0)
        ('12%', '1.2%', '99.6%', '100%', '0%')
    """
    if 0.99 < share < 1:
        return f"{100 * share:.{math.ceil(-math.log10(1 - share)) - 2}f}%"
    return f"{100 * share:.2g}%" if 0 < share < 0.1 else f"{100 * share:.0f}%"


def seconds(time_s: float) -> str:
    """A duration in the units that suit its length.

    Example:
        >>> seconds(3.42), seconds(34.2), seconds(250), seconds(1234), seconds(4800), seconds(1.9e6)
        ('3.4 s', '34 s', '4 min 10 s', '21 min', '1 h 20 min', '528 h')
    """
    if time_s < 9.95:
        return f"{time_s:.1f} s"
    if round(time_s) < MINUTE_S:
        return f"{time_s:.0f} s"
    if round(time_s) < 10 * MINUTE_S:
        return _two_units(round(time_s), MINUTE_S, "min", "s")
    minutes = round(time_s / MINUTE_S)
    if minutes < MINUTE_S:
        return f"{minutes} min"
    if minutes < 10 * MINUTE_S:
        return _two_units(minutes, MINUTE_S, "h", "min")
    return f"{time_s / HOUR_S:,.0f} h"


def moment(iso: str) -> str:
    """A time to the second, with its time zone if it has one.

    Example:
        >>> moment("2026-11-29T07:25:30.123+00:00"), moment("2026-11-29T07:25:30")
        ('2026-11-29 07:25:30 UTC', '2026-11-29 07:25:30')
    """
    time = datetime.fromisoformat(iso)
    return f"{time:%Y-%m-%d %H:%M:%S} {time.tzname() or ''}".strip()


def size(size_bytes: float) -> str:
    """A number of bytes in decimal units.

    Example:
        >>> size(812), size(2_534_000), size(1.23e12)
        ('812 bytes', '2.53 MB', '1.23 TB')
    """
    if size_bytes < 999.5:
        return count(round(size_bytes), "byte")
    units = ("kB", "MB", "GB", "TB", "PB")
    power = 1
    while size_bytes >= 999.5 * 1000**power and power < len(units):
        power += 1
    return f"{size_bytes / 1000**power:.3g} {units[power - 1]}"


def _two_units(value: int, per: int, large: str, small: str) -> str:
    whole, rest = divmod(value, per)
    return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"
