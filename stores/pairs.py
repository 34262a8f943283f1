"""All face-voice pairs of a store as arrays, which training reads once."""

import numpy as np
import pyarrow as pa

from stores import schema
from stores.arrow import compute
from stores.errors import StoreError
from stores.snapshot import Snapshot

Arrays = dict[str, np.ndarray]


def pairs(
    snapshot: Snapshot, face_space: str | None = None, voice_space: str | None = None, where: str | None = None
) -> Arrays:
    """Returns the arrays of the clips with a face and a voice; arguments, arrays and errors as in `Store.pairs`."""
    columns = ["clip_id", "video_id", "identity", "gender", "nationality", "language", "age", "split"]
    clips = snapshot.query("clips", columns, where)
    faces = _rows(snapshot, "faces", face_space, ["quality"])
    voices = _rows(snapshot, "voices", voice_space, [])
    both = compute.and_(
        compute.is_in(clips["clip_id"], faces["clip_id"]), compute.is_in(clips["clip_id"], voices["clip_id"])
    )
    # Everything is sorted by id, so the arrays are the same after every compaction.
    clips = clips.filter(both).sort_by("clip_id")
    face_rows, face_clip = _joined(faces, clips)
    voice_rows, voice_clip = _joined(voices, clips)
    return {
        "faces": matrix(faces["vector"])[face_rows],
        "face_clip": face_clip,
        "face_quality": faces["quality"].to_numpy()[face_rows],
        "voices": matrix(voices["vector"])[voice_rows],
        "voice_clip": voice_clip,
    } | {name: clips[name].fill_null("").to_numpy().astype(str) for name in columns}


def matrix(column: pa.ChunkedArray) -> np.ndarray:
    """Returns a fixed-size-list column as an array.

    Args:
        column: (n,) of dim values each, none null.

    Returns:
        (n, dim) float32; a view of the column's memory where that is one chunk.
    """
    dim = column.type.list_size
    chunks = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    flat = chunks[0] if len(chunks) == 1 else np.concatenate([np.empty(0, np.float32), *chunks])
    return flat.reshape(-1, dim)


def space_column(snapshot: Snapshot, table: str, space: str | None) -> str:
    """Returns the vector column of a space, which may be left out where the table has only one.

    Raises:
        StoreError: the table has no vectors, none of that space, or several to choose from.
    """
    known = schema.spaces_of(snapshot.schema(table))
    if space is None and len(known) == 1:
        (space,) = known
    if space not in known:
        wanted = f"expected '{space}'" if space else "several to choose from" if known else "expected faces or voices"
        raise StoreError(
            f"{table}: found vectors of {', '.join(map(repr, known)) or 'no space'}, {wanted}; {name_one(table)}"
        )
    return schema.vector_column(space)


def name_one(table: str) -> str:
    """Returns the end of a message about a table of several spaces: how to choose one."""
    return f"choose one of these with --{table.removesuffix('s')}-space"


def _rows(snapshot: Snapshot, table: str, space: str | None, columns: list[str]) -> pa.Table:
    column = space_column(snapshot, table, space)
    names = {"id": schema.KEYS[table], "clip_id": "clip_id", "vector": column} | {name: name for name in columns}
    return snapshot.query(table, names)


def _joined(rows: pa.Table, clips: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows whose clip is in `clips`, sorted by id, and the index of the clip; both (m,) int64."""
    order = compute.sort_indices(rows["id"]).to_numpy()
    index = compute.index_in(rows["clip_id"], clips["clip_id"].combine_chunks()).fill_null(-1).to_numpy()[order]
    return order[index >= 0].astype(np.int64), index[index >= 0].astype(np.int64)
