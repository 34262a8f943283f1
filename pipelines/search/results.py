"""The answer of a search: for each probe the hits, each with its clip and the media to show and play."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stores import Snapshot
from stores.best import best_rows
from stores.schema import KEYS
from stores.sql import in_lists

CLIP = ("video_id", "video_uri", "start_s", "end_s", "identity", "gender")
TABLES = ("faces", "voices")


@dataclass(frozen=True)
class Hit:
    """One face, voice or clip, with its clip."""

    cosine: float
    probability: float | None  # of a match; None without a calibration and within one modality
    clip_id: str
    face_id: str | None  # the hit itself, or else the best face of the clip; None where the clip has none
    voice_id: str | None  # the hit itself, or else the longest speech of the clip
    video_id: str
    video_uri: str
    start_s: float  # of the clip in its video
    end_s: float
    identity: str | None
    gender: str | None


@dataclass(frozen=True)
class Match:
    """The hits of one probe, the best first."""

    probe: str
    hits: tuple[Hit, ...]


@dataclass(frozen=True)
class Answer:
    """The hits of all probes, and how they were found."""

    find: str  # faces | voices
    by: str  # memory, index or stream, see `stores.search`
    across: bool  # whether faces were compared with voices, through a model
    prior: float | None  # of a match, for the probabilities; None where hits have none
    matches: tuple[Match, ...]  # one per probe
    centred: bool = False  # whether the model was centred on the store

    def to_json(self) -> dict[str, Any]:
        """Returns the answer as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class BareHit:
    """A hit before its clip is looked up."""

    cosine: float
    clip_id: str
    id: str | None = None  # of the face or voice itself; None where clips were compared
    probability: float | None = None


def matches_of(
    snapshot: Snapshot, find: str, probes: Sequence[str], hits: Sequence[Sequence[BareHit]]
) -> tuple[Match, ...]:
    """Returns the hits of each probe with the columns of their clips and the media to show and play.

    Args:
        snapshot: the state that was searched.
        find: faces or voices.
        probes: m names.
        hits: m sequences.
    """
    ids = sorted({hit.clip_id for some in hits for hit in some})
    parts = (snapshot.query("clips", ["clip_id", *CLIP], f"clip_id IN ({names})") for names in in_lists(ids))
    clips = {row["clip_id"]: row for part in parts for row in part.to_pylist()}
    best = {table: best_rows(snapshot, table, ids) for table in TABLES}

    def whole(hit: BareHit) -> Hit:
        media = {table: of.get(hit.clip_id, {}).get(KEYS[table]) for table, of in best.items()}
        media |= {find: hit.id} if hit.id else {}
        row = {name: clips[hit.clip_id][name] for name in CLIP}
        return Hit(hit.cosine, hit.probability, hit.clip_id, media["faces"], media["voices"], **row)

    return tuple(Match(probe, tuple(map(whole, some))) for probe, some in zip(probes, hits, strict=True))
