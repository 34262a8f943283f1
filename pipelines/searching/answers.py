"""What a search answers: hits, with what shows and plays them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stores import Snapshot
from stores.snapshot import quoted

CLIP = ("video_id", "video_uri", "start_s", "end_s", "identity", "gender")
IDS = 1000  # to one query


@dataclass(frozen=True)
class Hit:
    """One face, voice or clip that was found."""

    cosine: float
    probability: float | None  # of a match; None where nothing was calibrated, and within one modality
    clip_id: str
    face_id: str | None  # the face that was found; else the best of the clip, None where it has none
    voice_id: str | None  # the voice that was found; else the longest of the clip
    video_id: str
    video_uri: str
    start_s: float  # of the clip in its video
    end_s: float
    identity: str | None
    gender: str | None


@dataclass(frozen=True)
class Match:
    """What was found for one probe, the best first."""

    probe: str
    hits: tuple[Hit, ...]


@dataclass(frozen=True)
class Answer:
    """What was found, and how."""

    find: str  # faces | voices
    by: str  # resident | index | stream
    across: bool  # whether faces and voices were compared, through a model
    calibrated: bool  # whether hits have probabilities
    prior: float | None  # of these
    matches: tuple[Match, ...]  # one a probe

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Found:
    """A hit, bare."""

    cosine: float
    clip_id: str
    id: str | None = None  # of the face or voice itself; None where clips were compared


def hits_of(snapshot: Snapshot, find: str, found: Sequence[Found], probabilities: np.ndarray | None) -> list[Hit]:
    """Returns the hits with what shows and plays them.

    Args:
        snapshot: where they were found.
        find: faces or voices.
        found: n hits.
        probabilities: (n,) of a match.
    """
    clips = {row["clip_id"]: row for row in _of_clips(snapshot, "clips", [*CLIP], found)}
    media = {
        "faces": _best(snapshot, "faces", "quality", found),
        "voices": _best(snapshot, "voices", "length_s", found),
    }
    hits = []
    for number, hit in enumerate(found):
        ids = {table: best.get(hit.clip_id) for table, best in media.items()} | ({find: hit.id} if hit.id else {})
        probability = None if probabilities is None else float(probabilities[number])
        row = {name: clips[hit.clip_id][name] for name in CLIP}
        hits.append(Hit(hit.cosine, probability, hit.clip_id, ids["faces"], ids["voices"], **row))
    return hits


def _best(snapshot: Snapshot, table: str, by: str, found: Sequence[Found]) -> dict[str, str]:
    """Returns clip_id -> the id of the best row of each clip."""
    key, value = {"faces": ("face_id", "quality"), "voices": ("voice_id", "end_s - start_s")}[table]
    rows = _of_clips(snapshot, table, {"id": key, "clip_id": "clip_id", by: value}, found)
    return {row["clip_id"]: row["id"] for row in sorted(rows, key=lambda row: (row[by], row["id"]))}


def _of_clips(
    snapshot: Snapshot, table: str, columns: Sequence[str] | dict[str, str], found: Sequence[Found]
) -> list[dict[str, Any]]:
    ids = sorted({hit.clip_id for hit in found})
    if not isinstance(columns, dict):
        columns = ["clip_id", *columns]
    rows: list[dict[str, Any]] = []
    for start in range(0, len(ids), IDS):
        where = f"clip_id IN ({', '.join(map(quoted, ids[start : start + IDS]))})"
        rows += snapshot.query(table, columns, where).to_pylist()
    return rows
