"""Clips as analyses read them (rows, mean directions, best face and speech) and list them in CSV files."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.progress import Step, step
from pipelines.wording import filtered
from stores import Snapshot, schema
from stores.arrow import compute
from stores.best import MEASURES, best_of_each
from stores.pairs import matrix, space_column
from stores.ranking import unit
from stores.sql import quoted
from vclip.errors import InputError

MEDIA_AT_A_TIME = 64  # clips whose media are in memory
UNSPLIT = "unsplit"

Embed = Callable[[np.ndarray], np.ndarray]  # (n, dim) -> (n, any)


@dataclass(frozen=True)
class ClipMedia:
    """A clip with its face of the highest quality and its longest speech segment."""

    clip: dict[str, Any]  # row of `clips`
    face: dict[str, Any]  # id, measures and image (JPEG)
    voice: dict[str, Any]  # id, times, measures and audio (FLAC)
    n_faces: int
    n_voices: int

    @property
    def split(self) -> str:
        """The clip's split, fit for a file name."""
        return re.sub(r"\W+", "_", self.clip["split"] or UNSPLIT)


def clips_with(
    snapshot: Snapshot, tables: Sequence[str], columns: Sequence[str], where: str | None = None
) -> pa.Table:
    """The clips that have a row in each of the tables, sorted by id.

    Args:
        snapshot: the state to read.
        tables: faces, voices or both.
        columns: columns of the clips, in addition to clip_id.
        where: SQL filter over clips.

    Raises:
        InputError: no clip is left.
    """
    clips = snapshot.query("clips", list(dict.fromkeys(["clip_id", *columns])), where)
    for table in tables:
        clips = clips.filter(compute.is_in(clips["clip_id"], snapshot.query(table, ["clip_id"])["clip_id"].unique()))
    if not len(clips):
        raise InputError(
            f"store: found no clip with {' and '.join(tables)}{filtered(where)}; ingest or import some first"
        )
    return clips.sort_by("clip_id")


def directions(
    snapshot: Snapshot, table: str, space: str | None, clips: pa.Table, embed: Embed | None = None
) -> np.ndarray:
    """The normalised mean (C, d) float32 of the vectors of each clip; (C, 1) zeros if no clip has a vector.

    Args:
        snapshot: the state to read.
        table: faces or voices.
        space: of the vectors; None if the table has only one.
        clips: C clips with a column clip_id.
        embed: maps the vectors before they are averaged.

    Raises:
        StoreError: the table has no such space.
    """
    clip_ids = clips["clip_id"].combine_chunks()
    with step(f"reading {table}", snapshot.count(table), "vectors") as reading:
        return directions_of(snapshot, table, space, clip_ids, embed, reading=reading)


def directions_of(
    snapshot: Snapshot,
    table: str,
    space: str | None,
    clip_ids: pa.Array,
    embed: Embed | None = None,
    where: str | None = None,
    reading: Step | None = None,
) -> np.ndarray:
    """The `directions` of the clips with these ids (C,), from the rows of the table that match a filter.

    Args:
        snapshot, table, space, embed: as for `directions`.
        clip_ids: the ids of the clips.
        where: SQL filter over the table.
        reading: step that shows the progress; None shows none.
    """
    column = space_column(snapshot, table, space)
    sums = np.zeros((len(clip_ids), 1), np.float32)
    for batch in snapshot.batches(table, ["clip_id", column], where):
        rows = pa.Table.from_batches([batch])
        row = compute.index_in(rows["clip_id"], clip_ids).fill_null(-1).to_numpy()
        vectors = matrix(rows[column])[row >= 0]
        vectors = embed(vectors) if embed and len(vectors) else vectors
        if len(vectors):
            if sums.shape[1] != vectors.shape[1]:
                sums = np.zeros((len(clip_ids), vectors.shape[1]), np.float32)
            np.add.at(sums, row[row >= 0], vectors)
        if reading:
            reading.advance(len(row))
    return unit(sums, out=sums)


def clip_media(
    snapshot: Snapshot, where: str | None = None, at_a_time: int = MEDIA_AT_A_TIME
) -> tuple[int, Iterator[ClipMedia]]:
    """The number of clips that have both a face and a voice, and an iterator over them; other clips are left out.

    Args:
        snapshot: the state to read.
        where: SQL filter over clips.
        at_a_time: clips whose media are in memory.
    """
    clips = snapshot.row_ids("clips", ["clip_id"], where).rename_columns(["clip_id", "clip_row"])
    faces, voices = (_best(snapshot, table) for table in ("faces", "voices"))
    # In the order of the faces' rows: media lie together as they were committed, so each read is of neighbours.
    plan = clips.join(faces, "clip_id", join_type="inner").join(voices, "clip_id", join_type="inner")
    return len(plan), _read(snapshot, plan.sort_by("face_row"), at_a_time)


def media_of(snapshot: Snapshot, clip_ids: Iterable[str]) -> Iterator[ClipMedia]:
    """Yields the media of a few clips, such as those that a page shows."""
    ids = ", ".join(map(quoted, clip_ids))
    yield from clip_media(snapshot, f"clip_id IN ({ids})")[1] if ids else ()


def write_columns(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Writes a CSV file with a header; `columns` are equally long."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _best(snapshot: Snapshot, table: str) -> pa.Table:
    """For each clip_id: face_row or voice_row, the best row, and n_faces or n_voices, the number of rows."""
    rows = snapshot.row_ids(table, ["clip_id", schema.KEYS[table], *MEASURES[table]])
    count = rows.group_by("clip_id").aggregate([([], "count_all")]).rename_columns(["clip_id", f"n_{table}"])
    best = best_of_each(rows, table).select(["clip_id", "_rowid"])
    return best.rename_columns(["clip_id", f"{table[:-1]}_row"]).join(count, "clip_id")


def _read(snapshot: Snapshot, plan: pa.Table, at_a_time: int) -> Iterator[ClipMedia]:
    columns = snapshot.schema("clips").names
    for start in range(0, len(plan), at_a_time):
        part = plan.slice(start, at_a_time)
        clips = snapshot.take("clips", part["clip_row"].to_pylist(), columns).to_pylist()
        faces = snapshot.take("faces", part["face_row"].to_pylist(), _columns(snapshot, "faces")).to_pylist()
        voices = snapshot.take("voices", part["voice_row"].to_pylist(), _columns(snapshot, "voices")).to_pylist()
        counts = part.select(["n_faces", "n_voices"]).to_pylist()
        for clip, face, voice, count in zip(clips, faces, voices, counts, strict=True):
            yield ClipMedia(clip, face, voice, **count)


def _columns(snapshot: Snapshot, table: str) -> list[str]:
    """All columns but vectors and the ids of other tables."""
    vectors = map(schema.vector_column, schema.spaces_of(snapshot.schema(table)))
    left_out = {"clip_id", "video_id", "run_id", *vectors}
    return [name for name in snapshot.schema(table).names if name not in left_out]
