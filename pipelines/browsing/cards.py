"""Clips as the page shows them: labels, the best face and the longest speech of each; filters and their values.

A filter in SQL ends within FILTER_S, and its memory is bounded by what it may hold: these FUNCTIONS return no more
than they are given, unlike `repeat` and `range`, and the filter is short.
"""

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from stores import Snapshot
from stores.arrow import compute
from stores.best import best_rows
from stores.errors import StoreError, nearest
from stores.filters import parsed
from stores.schema import LABELS
from stores.sql import in_lists, quoted
from vclip.tables import nfc

COLUMNS = ("clip_id", "video_id", "video_uri", "start_s", "end_s", "speaking_score", "identity", "split", *LABELS)
# A filter by face quality reads 256 clips, then twice as many each time, and at most MOST_READ for one page; a page
# that is not full by then ends there, and the next page goes on.
FIRST_READ, LARGEST_READ, MOST_READ = 256, 1 << 13, 1 << 14
VALUES = 200  # that the page offers for one column
FILTER_S = 2.0  # for the clips of one page, and for their number
LONGEST_FILTER = 2000  # characters
FUNCTIONS = frozenset(
    {
        *("lower", "upper", "trim", "ltrim", "rtrim", "btrim", "length", "char_length", "character_length"),
        *("strpos", "starts_with", "ends_with", "contains", "array_length", "array_has", "coalesce", "nullif"),
        *("abs", "round", "floor", "ceil", "sqrt", "ln", "log10", "exp", "date_part", "isnan"),
    }
)

NUMBERS = ("min_s", "max_s", "min_quality", "low", "high")  # fields of Filters
TIMES = ("start_s", "end_s", "time_s")  # within a video: numbers that nobody filters or colours by

Card = dict[str, Any]


@dataclass(frozen=True)
class Filters:
    """Which clips to show; an empty field does not restrict."""

    identity: str = ""  # a part of the name
    labels: Mapping[str, str] | None = None  # column -> value; "?" for unknown
    min_s: float | None = None
    max_s: float | None = None
    min_quality: float | None = None  # of the clip's best face
    where: str = ""  # SQL over clips
    measure: str = ""  # the column of clips that `low` and `high` bound
    low: float | None = None
    high: float | None = None

    def sql(self, snapshot: Snapshot) -> str | None:
        """Returns the filter over clips, or None for all; the quality of faces is not in it.

        Raises:
            StoreError: `where` is not SQL, is too long, or calls a function that is not among FUNCTIONS; or `measure`
                is not a column of numbers.
        """
        parts = []
        if self.where.strip():
            columns = snapshot.schema("clips").names
            parts.append(f"({parsed(self.where, columns, 'clips', FUNCTIONS, LONGEST_FILTER)})")
        if self.identity:
            parts.append(f"strpos(lower(identity), {quoted(nfc(self.identity).lower())}) > 0")
        for name, value in (self.labels or {}).items():
            parts.append(f"{name} IS NULL" if value == "?" else f"{name} = {quoted(nfc(value))}")
        if self.min_s is not None:
            parts.append(f"end_s - start_s >= {self.min_s}")
        if self.max_s is not None:
            parts.append(f"end_s - start_s <= {self.max_s}")
        if self.measure and self.measure not in (known := numeric_columns(snapshot, "clips")):
            raise StoreError(f"clips: '{self.measure}' is not a number to filter by; {nearest(self.measure, known)}")
        for bound, compared in ((self.low, ">="), (self.high, "<=")):
            if self.measure and bound is not None:
                parts.append(f"{self.measure} {compared} {bound}")
        return " AND ".join(parts) or None


def page(
    snapshot: Snapshot,
    filters: Filters,
    after: str,
    limit: int,
    first_read: int = FIRST_READ,
    most_read: int = MOST_READ,
) -> dict[str, Any]:
    """Returns one page of clips: `cards` in the order of their ids, and `next`, the `after` of the next page or None.

    Pages go by key: the last page of a million clips costs as much as the first, and clips that are added or
    rejected meanwhile shift no other.

    Args:
        snapshot: the state to read.
        filters: which clips.
        after: the clip_id that the page comes after; empty for the first page.
        limit: cards, at most.
        first_read, most_read: clips to read at first and at most, with a filter by face quality.

    Raises:
        StoreError: the filter is not SQL, or takes longer than FILTER_S.
    """
    sql, found, read = filters.sql(snapshot), [], 0
    until_s = time.monotonic() + FILTER_S
    size = limit + 1 if filters.min_quality is None else first_read
    while True:
        here = f"clip_id > {quoted(after)}" + (f" AND ({sql})" if sql else "")
        left_s = max(until_s - time.monotonic(), 0.1) if filters.where.strip() else None
        rows = snapshot.query("clips", COLUMNS, here, size, "clip_id", left_s).to_pylist()
        cards = with_media(snapshot, rows)
        read += len(rows)
        for card in cards:
            if filters.min_quality is None or (card["quality"] or 0) >= filters.min_quality:
                if len(found) == limit:
                    return {"cards": found, "next": found[-1]["clip_id"]}
                found.append(card)
        if len(rows) < size:
            return {"cards": found, "next": None}
        after = rows[-1]["clip_id"]
        if read >= most_read:
            return {"cards": found, "next": after}
        size = min(2 * size, LARGEST_READ)


def count(snapshot: Snapshot, filters: Filters) -> int:
    """Returns the number of clips that match, whatever the quality of their faces; raises as `page` does."""
    if not filters.where.strip():
        return snapshot.count("clips", filters.sql(snapshot))
    return len(snapshot.query("clips", ["clip_id"], filters.sql(snapshot), limit_s=FILTER_S))


def ids(snapshot: Snapshot, filters: Filters, most: int) -> list[str]:
    """Returns the ids of all clips that match.

    Raises:
        StoreError: as `page`, or there are more than `most`.
    """
    limit_s = FILTER_S if filters.where.strip() else None
    found = snapshot.query("clips", ["clip_id"], filters.sql(snapshot), limit_s=limit_s)["clip_id"]
    if filters.min_quality is not None:
        good = snapshot.query("faces", ["clip_id"], f"quality >= {filters.min_quality}")["clip_id"]
        found = found.filter(compute.is_in(found, good.combine_chunks()))
    if len(found) > most:
        raise StoreError(
            f"clips: {len(found):,} match, at most {most:,} can be selected at once; filter by more, or use "
            "vclip edit reject --where"
        )
    return sorted(found.to_pylist())


def people_of(snapshot: Snapshot, clip_ids: Sequence[str]) -> dict[str, Any]:
    """Returns the number of `clips` that exist, how many are `unnamed`, and `people`: the identity of the others, how
    many clips of each are among them, and how many it has; the most frequent first."""
    parts = [snapshot.query("clips", ["identity"], f"clip_id IN ({names})") for names in in_lists(clip_ids)]
    counts = Counter(name or "" for part in parts for name in part["identity"].to_pylist())
    unnamed, all_clips = counts.pop("", 0), Counter[str]()
    for names in in_lists(counts):
        all_clips.update(snapshot.query("clips", ["identity"], f"identity IN ({names})")["identity"].to_pylist())
    people = [{"identity": name, "selected": n, "clips": all_clips[name]} for name, n in counts.most_common()]
    return {"clips": counts.total() + unnamed, "unnamed": unnamed, "people": people}


def numeric_columns(snapshot: Snapshot, table: str) -> list[str]:
    """Returns the columns of a table that hold a number for each row, without times within a video."""
    schema = snapshot.schema(table)
    return [field.name for field in schema if pa.types.is_floating(field.type) and field.name not in TIMES]


def cards_of(snapshot: Snapshot, clip_ids: Sequence[str]) -> dict[str, Card]:
    """Returns clip_id -> card of the clips that exist and are not rejected."""
    parts = (snapshot.query("clips", COLUMNS, f"clip_id IN ({names})") for names in in_lists(clip_ids))
    rows = [row for part in parts for row in part.to_pylist()]
    return {card["clip_id"]: card for card in with_media(snapshot, rows)}


def with_media(snapshot: Snapshot, clips: Sequence[Card]) -> list[Card]:
    """Returns the clips with `face_id`, `quality`, `voice_id`, `speech_s` and `snr_db`, None where missing."""
    ids = [clip["clip_id"] for clip in clips]
    best, longest = best_rows(snapshot, "faces", ids), best_rows(snapshot, "voices", ids, ["snr_db"])
    longest = {clip: {**row, "speech_s": row["end_s"] - row["start_s"]} for clip, row in longest.items()}
    return [
        {
            **clip,
            **_of(best.get(clip["clip_id"]), "face_id", "quality"),
            **_of(longest.get(clip["clip_id"]), "voice_id", "speech_s", "snr_db"),
        }
        for clip in clips
    ]


class FilterValues:
    """The values of the columns that clips are filtered by, counted once for each version of the store."""

    def __init__(self) -> None:
        self._version: dict[str, int] = {}
        self._counts: dict[str, Counter] = {}
        self._lock = threading.Lock()

    def of(self, snapshot: Snapshot, column: str) -> list[tuple[str, int]]:
        """Returns the most frequent values of a text column, each with its number of clips; "?" is unknown."""
        with self._lock:
            if snapshot.version != self._version:
                self._version, self._counts = snapshot.version, {}
            if column not in self._counts:
                counts: Counter = Counter()
                for batch in snapshot.batches("clips", [column]):
                    for entry in batch[column].value_counts().to_pylist():
                        counts[entry["values"] or "?"] += entry["counts"]
                self._counts[column] = counts
            return self._counts[column].most_common(VALUES)


def _of(row: Mapping[str, Any] | None, *names: str) -> Card:
    return {name: row and row[name] for name in names}
