"""Progress and messages of a job, all on stderr.

On a terminal, work shows a bar with its rate and what is left, and messages are plain text. Elsewhere, as in the log
of a job on a cluster, everything is lines of one format: the time in UTC, the level, the text.

    2026-11-30T03:12:05Z INFO ingest: 1,220 videos to do; run 20261130T031205000000-0cb306fa

`quiet` leaves warnings and errors.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from pipelines.wording import number, seconds

PLAIN_EVERY_S = 10.0

Level = Literal["INFO", "WARNING", "ERROR"]

_shown: list[Any] = []  # the display on the terminal, once for each step in progress
_levels: set[Level] = {"INFO", "WARNING", "ERROR"}  # that are shown


def quiet(asked: bool) -> None:
    """Shows only warnings and errors from now on, or everything again."""
    (_levels.discard if asked else _levels.add)("INFO")


def say(text: str, level: Level = "INFO") -> None:
    """Prints a message to the user, on stderr."""
    _print(text, level, sys.stderr)


def warn(text: str) -> None:
    """Prints what the user should not miss: a result is less, or the work slower, than was asked for."""
    say(text, "WARNING")


def _print(text: str, level: Level, stream: TextIO) -> None:
    if level not in _levels:
        return
    if stream.isatty():
        prefix = "warning: " if level == "WARNING" else ""  # an error begins with "vclip: "
    else:
        prefix = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {level} "
        text = text.strip()
    print(f"{prefix}{text}", file=stream, flush=True)


@dataclass
class Step:
    """One piece of work in progress; call `advance` as it proceeds."""

    title: str
    total: float
    unit: str
    clock: Callable[[], float] = time.monotonic  # seconds
    note: str = ""
    done: float = field(default=0.0, init=False)
    started_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.started_s = self.clock()

    def advance(self, amount: float = 1.0, note: str | None = None) -> None:
        """Counts `amount` more as done; `note` is shown beside the count."""
        self.set(self.done + amount, note)

    def set(self, done: float, note: str | None = None) -> None:
        """Sets how much is done."""
        self.done = done
        if note is not None:
            self.note = note
        self._show()

    def _show(self) -> None:
        """Overridden by the two kinds of display."""

    def _count(self) -> str:
        if self.unit:
            return f"{self.done:,.0f}/{self.total:,.0f} {self.unit}"
        return f"{self.done / self.total:.0%}" if self.total else ""

    def _rate(self) -> str:
        took_s = self.clock() - self.started_s
        if not self.unit or not self.done or took_s <= 0:
            return ""
        rate = self.done / took_s
        return f"{number(rate)}/s" if rate >= 1 else f"{60 * rate:.2g}/min"

    def _eta(self) -> str:
        if not min(0.1 * self.total, 1000.0) <= self.done < self.total:
            return ""  # the first few include the start, and do not predict the rest
        return f"{seconds((self.clock() - self.started_s) * (self.total - self.done) / self.done)} left"


@dataclass
class PlainStep(Step):
    """A line at most every PLAIN_EVERY_S."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    shown_s: float = 0.0

    def _show(self) -> None:
        now = self.clock()
        if 0 < self.total <= self.done:
            return  # the line at the end says so
        if now - max(self.shown_s, self.started_s) >= PLAIN_EVERY_S:
            self.shown_s = now
            parts = (self._count(), self._rate(), self._eta(), self.note)
            _print(f"{self.title}: " + ", ".join(part for part in parts if part), "INFO", self.stream)


def _counted(amount: float, unit: str) -> str:
    one = {"people": "person"}.get(unit, unit.removesuffix("s"))
    return f"{amount:,.0f} {one if amount == 1 else unit}"


@contextmanager
def step(title: str, total: float, unit: str = "", note: str = "") -> Iterator[Step]:
    """Shows the progress of `total` units of work until the block ends, and then the time that it took.

    Args:
        title: what is done.
        total: how much there is to do.
        unit: of the total, as a noun in the plural; empty for a share.
        note: shown beside the count until there is another.
    """
    if "INFO" not in _levels:
        yield Step(title, total, unit, note=note)
        return
    if unit:
        say(f"{title}: {_counted(total, unit)} to do" + (f"; {note}" if note else ""))
    if not sys.stderr.isatty():
        plain = PlainStep(title, total, unit, note=note)
        yield plain
        counted = f" {_counted(plain.done, unit)}" if unit else ""
        noted = f"; {plain.note}" if plain.note else ""
        say(f"{title}:{counted} in {seconds(plain.clock() - plain.started_s)}{noted}")
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    # Titles and notes contain names of files, in which rich would interpret markup.
    texts = (TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in ("count", "rate", "left", "note"))
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn(), *texts)
    # The bar of a step within a step is below the other's until the inner step ends.
    bars = _shown[-1] if _shown else Progress(*columns, console=Console(stderr=True))
    with bars if not _shown else nullcontext():
        task = bars.add_task(title, total=total, count="", rate="", left="", note=note)

        class BarStep(Step):
            def _show(self) -> None:
                bars.update(
                    task, completed=self.done, total=self.total,
                    count=self._count(), rate=self._rate(), left=self._eta(), note=self.note,
                )  # fmt: skip

        _shown.append(bars)
        try:
            shown = BarStep(title, total, unit, note=note)
            shown.set(0.0)
            yield shown
        finally:
            _shown.pop()
            if _shown:
                bars.remove_task(task)
