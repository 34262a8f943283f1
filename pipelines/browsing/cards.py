"""Clips as the page shows them: who and what, with the best face and the longest speech of each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stores import Snapshot
from stores.schema import LABELS
from stores.sql import quoted

COLUMNS = ("clip_id", "video_id", "video_uri", "start_s", "end_s", "speaking_score", "identity", "split", *LABELS)
READ = 256  # clips at first, and then twice as many each time, where the quality of their faces decides
MOST = 1 << 13
LOOKED_AT = 1 << 14  # clips at most for one page; where it is not full by then, the next goes on there

Card = dict[str, Any]


@dataclass(frozen=True)
class Filters:
    """Which clips; what is empty does not restrict."""

    identity: str = ""  # a part of the name
    labels: Mapping[str, str] | None = None  # column -> value; "?" for not known
    min_s: float | None = None
    max_s: float | None = None
    min_quality: float | None = None  # of the clip's best face
    where: str = ""  # SQL over clips

    def sql(self) -> str | None:
        """Returns the filter over clips, or None for all; the quality of faces is not in it."""
        parts = [f"({self.where})"] if self.where.strip() else []
        if self.identity:
            parts.append(f"strpos(lower(identity), {quoted(self.identity.lower())}) > 0")
        for name, value in (self.labels or {}).items():
            parts.append(f"{name} IS NULL" if value == "?" else f"{name} = {quoted(value)}")
        if self.min_s is not None:
            parts.append(f"end_s - start_s >= {self.min_s}")
        if self.max_s is not None:
            parts.append(f"end_s - start_s <= {self.max_s}")
        return " AND ".join(parts) or None


def page(snapshot: Snapshot, filters: Filters, after: str, limit: int) -> dict[str, Any]:
    """Returns `cards`, at most `limit`, in the order of clip_ids after `after`; and `next`, None at the end.

    Pages go by key: the last one of a million clips costs what the first does, and clips that come or go meanwhile
    shift none.

    Raises:
        StoreError: the filter is not SQL.
    """
    sql, found, looked_at = filters.sql(), [], 0
    size = limit + 1 if filters.min_quality is None else READ
    while True:
        here = f"clip_id > {quoted(after)}" + (f" AND ({sql})" if sql else "")
        rows = snapshot.query("clips", COLUMNS, here, size, "clip_id").to_pylist()
        cards = with_media(snapshot, rows)
        looked_at += len(rows)
        for card in cards:
            if filters.min_quality is None or (card["quality"] or 0) >= filters.min_quality:
                if len(found) == limit:
                    return {"cards": found, "next": found[-1]["clip_id"]}
                found.append(card)
        if len(rows) < size:
            return {"cards": found, "next": None}
        after = rows[-1]["clip_id"]
        if looked_at >= LOOKED_AT:
            return {"cards": found, "next": after}
        size = min(2 * size, MOST)


def cards_of(snapshot: Snapshot, clip_ids: Sequence[str]) -> dict[str, Card]:
    """Returns clip_id -> card of those that are there."""
    rows = snapshot.query("clips", COLUMNS, _among("clip_id", clip_ids)).to_pylist() if clip_ids else []
    return {card["clip_id"]: card for card in with_media(snapshot, rows)}


def with_media(snapshot: Snapshot, clips: Sequence[Card]) -> list[Card]:
    """Returns the clips with `face_id`, `quality`, `voice_id`, `speech_s` and `snr_db`; None where there is none."""
    if not clips:
        return []
    where = _among("clip_id", [clip["clip_id"] for clip in clips])
    faces = snapshot.query("faces", ["clip_id", "face_id", "quality"], where).to_pylist()
    voices = snapshot.query("voices", ["clip_id", "voice_id", "start_s", "end_s", "snr_db"], where).to_pylist()
    voices = [{**voice, "speech_s": voice["end_s"] - voice["start_s"]} for voice in voices]
    best = {row["clip_id"]: row for row in sorted(faces, key=lambda row: (row["quality"], row["face_id"]))}
    longest = {row["clip_id"]: row for row in sorted(voices, key=lambda row: (row["speech_s"], row["voice_id"]))}
    return [
        {
            **clip,
            **_of(best.get(clip["clip_id"]), "face_id", "quality"),
            **_of(longest.get(clip["clip_id"]), "voice_id", "speech_s", "snr_db"),
        }
        for clip in clips
    ]


def _of(row: Mapping[str, Any] | None, *names: str) -> Card:
    return {name: row and row[name] for name in names}


def _among(column: str, values: Iterable[str]) -> str:
    return f"{column} IN ({', '.join(map(quoted, values))})"
