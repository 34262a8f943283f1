"""All face-voice pairs as arrays: what training reads, once."""

import numpy as np
import pyarrow as pa

from stores import schemas
from stores.errors import StoreError
from stores.snapshot import Snapshot

Arrays = dict[str, np.ndarray]


def pairs(
    snapshot: Snapshot, face_space: str | None = None, voice_space: str | None = None, where: str | None = None
) -> Arrays:
    """Returns the arrays of the clips that have at least one face and one voice; as `Store.pairs` says."""
    columns = ["clip_id", "video_id", "identity", "gender", "split"]
    clips = snapshot.query("clips", columns, where)
    faces, face_vectors = _vectors(snapshot, "faces", face_space, ["clip_id", "quality"])
    voices, voice_vectors = _vectors(snapshot, "voices", voice_space, ["clip_id"])

    order = clips.sort_by("clip_id")  # the same arrays after every compaction
    ids = _strings(order["clip_id"])
    keep = np.isin(ids, _strings(faces["clip_id"])) & np.isin(ids, _strings(voices["clip_id"]))
    order, ids = order.filter(pa.array(keep)), ids[keep]
    face_rows, face_clip = _joined(faces["clip_id"], ids)
    voice_rows, voice_clip = _joined(voices["clip_id"], ids)
    return {
        "faces": face_vectors[face_rows],
        "face_clip": face_clip,
        "face_quality": faces["quality"].to_numpy()[face_rows],
        "voices": voice_vectors[voice_rows],
        "voice_clip": voice_clip,
    } | {name: _strings(order[name]) for name in columns}


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
    """Returns the vector column of a space, which may be left out where the table has but one.

    Raises:
        StoreError: the table has no vectors, none of that space, or several to choose from.
    """
    known = schemas.spaces_of(snapshot.schema(table))
    if space is None and len(known) == 1:
        (space,) = known
    if space not in known:
        asked = f"asked for '{space}'" if space else "asked for no space in particular"
        raise StoreError(
            f"{table}: vectors of {', '.join(map(repr, known)) or 'no space'}, {asked}; name one of these"
        )
    return schemas.vector_column(space)


def _vectors(snapshot: Snapshot, table: str, space: str | None, columns: list[str]) -> tuple[pa.Table, np.ndarray]:
    column, key = space_column(snapshot, table, space), schemas.KEYS[table]
    rows = snapshot.query(table, [key, *columns, column], f"{column} IS NOT NULL")
    order = np.argsort(_strings(rows[key]), kind="stable")
    # Rows stand in the order of their ids, whatever the order of the commits.
    return rows.drop_columns(column).take(pa.array(order)), matrix(rows[column])[order]


def _joined(clip_id: pa.ChunkedArray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows whose clip is among the sorted ids, and the index of that clip; both (m,) int64."""
    found = _strings(clip_id)
    if not len(ids):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    index = np.minimum(np.searchsorted(ids, found), len(ids) - 1)
    rows = np.flatnonzero(ids[index] == found)
    return rows, index[rows].astype(np.int64)


def _strings(column: pa.ChunkedArray) -> np.ndarray:
    return np.array([value or "" for value in column.to_pylist()], dtype=str)
