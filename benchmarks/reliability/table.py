"""The table of results, which is noted in a file after every trial, and goes on from there."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Row:
    """A row of the table."""

    operation: str
    place: str
    calls: int = 0
    kills: dict[str, str] = field(default_factory=dict)  # the call -> what a user saw; "" where it held
    fulls: dict[str, str] = field(default_factory=dict)  # the space left, or the first call refused -> the same

    @property
    def seen(self) -> list[str]:
        """What did not hold."""
        told = [f"killed at call {call}: {wrong}" for call, wrong in self.kills.items() if wrong]
        return told + [f"full at {level}: {wrong}" for level, wrong in self.fulls.items() if wrong]


class Rows:
    """The rows of the table, in a file if there is one, and when to end."""

    def __init__(self, path: Path | None, minutes: float):
        self.path, self.until_s = path, time.monotonic() + 60 * minutes
        known = json.loads(path.read_text()) if path and path.exists() else []
        self.rows = {(row["operation"], row["place"]): Row(**row) for row in known}

    def row(self, operation: str, place: str) -> Row:
        """Returns the row of an operation in a place."""
        return self.rows.setdefault((operation, place), Row(operation, place))

    def left(self, results: dict[str, str], trials: Iterable[str]) -> Iterator[str]:
        """Yields the trials of a row that have not held yet, until the time is over."""
        for trial in trials:
            if results.get(trial) != "" and not self.over:
                yield trial

    def note(self, results: dict[str, str], trial: str, wrong: str) -> None:
        """Notes the result of a trial."""
        results[trial] = wrong
        if self.path:
            self.path.write_text(json.dumps([vars(row) for row in self.rows.values()], indent=1))

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self.until_s


def table(rows: list[Row]) -> str:
    """Returns the table, and what did not hold."""
    lines = ["| operation | place | calls that change files | kills tried | held | full disks tried | held |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for row in rows:
        counts = [f"{len(of)} | {list(of.values()).count('')}" if of else "- | -" for of in (row.kills, row.fulls)]
        lines.append(f"| {row.operation} | {row.place} | {row.calls} | {' | '.join(counts)} |")
    failed = [f"- **{row.operation}, {row.place}**: {text}" for row in rows for text in row.seen]
    return "\n".join(lines) + ("\n\n## What did not hold\n\n" + "\n".join(failed) if failed else "")
