"""Progress of long work on stderr: a bar on a terminal, a plain line every few seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TextIO

PLAIN_EVERY_S = 10.0

_shown: list[Any] = []  # the display on the terminal, once for each step in progress


@dataclass
class Step:
    """One piece of work in progress; call `advance` as it proceeds."""

    title: str
    total: float
    unit: str
    clock: Callable[[], float] = time.monotonic  # seconds
    done: float = field(default=0.0, init=False)
    note: str = field(default="", init=False)
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

    def _eta(self) -> str:
        if self.done < 0.05 * self.total or not self.total:
            return ""  # the first few include the start, and do not predict the rest
        left_s = (self.clock() - self.started_s) * (self.total - self.done) / self.done
        return f"{left_s:.0f} s left" if left_s < 90 else f"{left_s / 60:.0f} min left"


@dataclass
class PlainStep(Step):
    """A line at most every PLAIN_EVERY_S."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    shown_s: float = 0.0

    def _show(self) -> None:
        now = self.clock()
        if now - max(self.shown_s, self.started_s) >= PLAIN_EVERY_S:
            self.shown_s = now
            parts = [f"{self.done:g}/{self.total:g} {self.unit}", self._eta(), self.note]
            print(f"{self.title}: " + ", ".join(p for p in parts if p), file=self.stream, flush=True)


@contextmanager
def step(title: str, total: float, unit: str = "") -> Iterator[Step]:
    """Shows the progress of `total` units of work until the block ends, and then the time that it took."""
    if not sys.stderr.isatty():
        plain = PlainStep(title, total, unit)
        yield plain
        took_s = plain.clock() - plain.started_s
        counted = f" {plain.done:g} {unit}" if unit else ""
        print(f"{title}:{counted} in {took_s:.1f} s {plain.note}".rstrip(), file=sys.stderr, flush=True)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        # Titles and notes contain names of files, in which rich would interpret markup.
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}", markup=False), TimeElapsedColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )  # fmt: skip
    # The bar of a step within a step is below the other's until the inner step ends.
    bars = _shown[-1] if _shown else Progress(*columns, console=Console(stderr=True))
    with bars if not _shown else nullcontext():
        task = bars.add_task(title, total=total, note="", unit=unit)

        class BarStep(Step):
            def _show(self) -> None:
                bars.update(task, completed=self.done, total=self.total, note=self.note)

        _shown.append(bars)
        try:
            yield BarStep(title, total, unit)
        finally:
            _shown.pop()
            if _shown:
                bars.remove_task(task)


def say(text: str) -> None:
    """Prints a message to the user, on stderr."""
    print(text, file=sys.stderr, flush=True)
