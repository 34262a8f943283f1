"""Clips with their best face and their longest speech, in the order of the store, a few at a time."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import compute

from stores import Snapshot, schema
from stores.sql import quoted

AT_A_TIME = 64  # clips whose media are in memory
UNSPLIT = "unsplit"


@dataclass(frozen=True)
class ClipMedia:
    """One clip, whole."""

    clip: dict[str, Any]  # its row in `clips`, plain
    face: dict[str, Any]  # of the face of the highest quality: its id, measures and image (JPEG)
    voice: dict[str, Any]  # of the longest speech: its id, times, measures and audio (FLAC)
    n_faces: int
    n_voices: int

    @property
    def split(self) -> str:
        """Its split as file names have it."""
        return re.sub(r"\W+", "_", self.clip["split"] or UNSPLIT)


def clip_media(snapshot: Snapshot, where: str | None = None) -> tuple[int, Iterator[ClipMedia]]:
    """Returns how many clips have both a face and a voice, and gives them; others are left out.

    Args:
        snapshot: the state to read.
        where: an SQL filter over clips.
    """
    clips = snapshot.row_ids("clips", ["clip_id"], where).rename_columns(["clip_id", "clip_row"])
    faces = snapshot.row_ids("faces", ["clip_id", "quality", "face_id"])
    faces = _best(faces.append_column("rank", compute.negate(faces["quality"])), "face")
    voices = snapshot.row_ids("voices", ["clip_id", "start_s", "end_s", "voice_id"])
    voices = _best(voices.append_column("rank", compute.subtract(voices["start_s"], voices["end_s"])), "voice")
    # In the order of the faces' rows: media lie together as they were committed, so each read is of neighbours.
    plan = clips.join(faces, "clip_id", join_type="inner").join(voices, "clip_id", join_type="inner")
    return len(plan), _read(snapshot, plan.sort_by("face_row"))


def media_of(snapshot: Snapshot, clip_ids: Iterable[str]) -> Iterator[ClipMedia]:
    """Yields the clips of these ids; for a page, of which there are few."""
    ids = ", ".join(map(quoted, clip_ids))
    yield from clip_media(snapshot, f"clip_id IN ({ids})")[1] if ids else ()


def _best(rows: pa.Table, name: str) -> pa.Table:
    """Returns clip_id, `name`_row of its first row by rank and id, and n_`name`s."""
    key = f"{name}_id"
    count = rows.group_by("clip_id").aggregate([([], "count_all")]).rename_columns(["clip_id", f"n_{name}s"])
    ordered = rows.sort_by([("rank", "ascending"), (key, "ascending")])
    first = ordered.group_by("clip_id", use_threads=False).aggregate([("_rowid", "first")])
    return first.rename_columns(["clip_id", f"{name}_row"]).join(count, "clip_id")


def _read(snapshot: Snapshot, plan: pa.Table) -> Iterator[ClipMedia]:
    columns = snapshot.schema("clips").names
    for start in range(0, len(plan), AT_A_TIME):
        part = plan.slice(start, AT_A_TIME)
        clips = snapshot.take("clips", part["clip_row"].to_pylist(), columns).to_pylist()
        faces = snapshot.take("faces", part["face_row"].to_pylist(), _columns(snapshot, "faces")).to_pylist()
        voices = snapshot.take("voices", part["voice_row"].to_pylist(), _columns(snapshot, "voices")).to_pylist()
        counts = part.select(["n_faces", "n_voices"]).to_pylist()
        for clip, face, voice, count in zip(clips, faces, voices, counts, strict=True):
            yield ClipMedia(clip, face, voice, **count)


def _columns(snapshot: Snapshot, table: str) -> list[str]:
    """Returns the columns that belong to the medium: all but ids of others, and vectors."""
    vectors = map(schema.vector_column, schema.spaces_of(snapshot.schema(table)))
    left_out = {"clip_id", "video_id", "run_id", *vectors}
    return [name for name in snapshot.schema(table).names if name not in left_out]
