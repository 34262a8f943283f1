"""What a search answers: hits, with what shows and plays them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stores import Snapshot
from stores.schema import KEYS
from stores.sql import quoted

CLIP = ("video_id", "video_uri", "start_s", "end_s", "identity", "gender")
BEST = {"faces": "quality", "voices": "end_s - start_s"}  # by which a clip's face and voice are chosen
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
    by: str  # memory | index | stream
    across: bool  # whether faces and voices were compared, through a model
    prior: float | None  # of the probabilities; None where hits have none
    matches: tuple[Match, ...]  # one a probe

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Found:
    """A hit, bare."""

    cosine: float
    clip_id: str
    id: str | None = None  # of the face or voice itself; None where clips were compared
    probability: float | None = None


def matched(
    snapshot: Snapshot, find: str, probes: Sequence[str], found: Sequence[Sequence[Found]]
) -> tuple[Match, ...]:
    """Returns the hits of each probe with what shows and plays them.

    Args:
        snapshot: where they were found.
        find: faces or voices.
        probes: m names.
        found: the hits of each.
    """
    ids = sorted({hit.clip_id for hits in found for hit in hits})
    clips = {row["clip_id"]: row for row in _of_clips(snapshot, "clips", {n: n for n in ("clip_id", *CLIP)}, ids)}
    best = {table: _best(snapshot, table, ids) for table in BEST}

    def hit_of(hit: Found) -> Hit:
        named = {table: of.get(hit.clip_id) for table, of in best.items()} | ({find: hit.id} if hit.id else {})
        row = {name: clips[hit.clip_id][name] for name in CLIP}
        return Hit(hit.cosine, hit.probability, hit.clip_id, named["faces"], named["voices"], **row)

    return tuple(Match(probe, tuple(map(hit_of, hits))) for probe, hits in zip(probes, found, strict=True))


def _best(snapshot: Snapshot, table: str, ids: Sequence[str]) -> dict[str, str]:
    """Returns clip_id -> the id of the best row of each clip."""
    rows = _of_clips(snapshot, table, {"id": KEYS[table], "clip_id": "clip_id", "worth": BEST[table]}, ids)
    return {row["clip_id"]: row["id"] for row in sorted(rows, key=lambda row: (row["worth"], row["id"]))}


def _of_clips(snapshot: Snapshot, table: str, columns: dict[str, str], ids: Sequence[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for start in range(0, len(ids), IDS):
        where = f"clip_id IN ({', '.join(map(quoted, ids[start : start + IDS]))})"
        rows += snapshot.query(table, columns, where).to_pylist()
    return rows
