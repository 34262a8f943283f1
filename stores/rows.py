"""The rows of one video, and their conversion to Arrow tables of the store's schema.

All values are checked here, before anything is written.
"""

import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from stores import ids
from stores import schema as schemas
from stores.errors import StoreError, nearest
from stores.schema import EMBEDDED, KEYS, LABELS, VIDEO_TABLES

STATES = ("done", "empty", "failed")
_JSON = ("funnel", "labels", "scores", "models", "command", "config", "summary", "provenance")
_COUNTS = ("n_clips", "n_faces", "n_voices")

Row = Mapping[str, Any]
Filled = Mapping[str, Sequence[pa.Field]]  # table -> columns of column functions, see `stores.maintenance.columns`
NO_COLUMNS: Filled = {}


@dataclass(frozen=True)
class VideoRows:
    """One video: its ledger row, and the rows of its clips, faces and voices as dicts of column -> value.

    Only `video` needs `video_id` and `run_id`; counts and times are filled in. Faces and voices carry
    `vectors`: space -> (dim,) float32, one for every space of the store. `labels` of a clip and `funnel` of a video
    are dicts; labels with a column of their own are stored there.
    """

    video: Row
    clips: Sequence[Row] = ()
    faces: Sequence[Row] = ()
    voices: Sequence[Row] = ()


def tables_of(batch: Sequence[VideoRows], spaces: schemas.Spaces, filled: Filled = NO_COLUMNS) -> dict[str, pa.Table]:
    """Returns table -> rows of all videos of the batch, in the types of the store's schema.

    Args:
        batch: the videos, each once.
        spaces: table -> space -> dimension.
        filled: table -> the columns of column functions, of which the rows may have values.

    Raises:
        StoreError: a column is unknown, missing or mistyped, an id is duplicate or dangling, a vector has another
            dimension or is not finite; the message names the row.
    """
    rows: dict[str, list[dict]] = {"videos": [], **{table: [] for table in VIDEO_TABLES}}
    for item in batch:
        for table, own in _rows(item).items():
            rows[table] += own
    for table, found in rows.items():
        _check_unique(table, [row.get(KEYS[table]) for row in found])
    return {table: typed(table, found, spaces.get(table), filled.get(table, ())) for table, found in rows.items()}


def pieces_of(item: VideoRows, spaces: schemas.Spaces) -> Iterator[tuple[str, pa.Table]]:
    """Yields the rows of a video, or of a part of its clips, by table, the ledger left out.

    Raises:
        StoreError: as `tables_of`, but for ids that are in several parts.
    """
    tables = tables_of([item], spaces)
    yield from ((name, tables[name]) for name in VIDEO_TABLES if tables[name].num_rows)


def ledger_row(item: VideoRows) -> dict[str, Any]:
    """Returns the ledger row of a video whose other rows were given to `pieces_of` in parts.

    Args:
        item: the whole video; its rows need no media and no vectors.

    Raises:
        StoreError: an id is there twice, or the row is not one of the ledger.
    """
    for table in VIDEO_TABLES:
        _check_unique(table, [row[KEYS[table]] for row in getattr(item, table)])
    (row,) = typed("videos", [_ledger_row(item)]).to_pylist()
    return row


def _rows(item: VideoRows) -> dict[str, list[dict[str, Any]]]:
    video = _ledger_row(item)
    own = {"video_id": video["video_id"], "run_id": video["run_id"]}
    _check_references(item, video["video_id"])
    return {
        "videos": [video],
        "clips": [_clip_row(clip) | own for clip in item.clips],
        "faces": [dict(face) | own for face in item.faces],
        "voices": [dict(voice) | own for voice in item.voices],
    }


def typed(
    table: str, rows: Sequence[Row], spaces: Mapping[str, int] | None = None, filled: Sequence[pa.Field] = ()
) -> pa.Table:
    """Returns dict rows as a table of the store's schema and `filled`; raises StoreError as `tables_of` does."""
    schema = schemas.schema(table, spaces)
    schema = pa.schema([*schema, *filled], metadata=schema.metadata)
    vectors = {schemas.vector_column(space): space for space in spaces or {}}
    known = [name for name in schema.names if name not in vectors] + (["vectors"] if table in EMBEDDED else [])
    for row in rows:
        for name in row:
            if name not in known:
                raise StoreError(f"{table} {row.get(KEYS[table])}: unknown column '{name}'; {nearest(name, known)}")
        if strange := set(row.get("vectors", ())) - set(spaces or ()):
            raise StoreError(
                f"{table} {row.get(KEYS[table])}: vectors of {_list(strange)}, the store has {_list(spaces or ())}; "
                "use the encoders that it was made with"
            )
    columns = [
        _vectors(table, rows, vectors[field.name], field) if field.name in vectors else _column(table, rows, field)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def uri_row(uri: str | Row) -> dict[str, Any]:
    """Returns one entry of `videos.uris`: {uri, size_bytes, mtime_s, etag}; what is not known is None."""
    found = {"uri": uri} if isinstance(uri, str) else dict(uri)
    known = ("uri", "size_bytes", "mtime_s", "etag")
    for name in found:
        if name not in known:
            raise StoreError(f"videos.uris: unknown key '{name}'; {nearest(name, known)}")
    if not found.get("uri"):
        raise StoreError(f"videos.uris: found {found}, expected at least a uri")
    return {name: found.get(name) for name in known} | {"uri": storable(found["uri"])}


def _ledger_row(item: VideoRows) -> dict[str, Any]:
    video = dict(item.video)
    for name in ("video_id", "run_id", "state", "config_hash"):
        if not video.get(name):
            raise StoreError(f"videos {video.get('video_id')}: no {name}; every video needs one")
    ids.run_time(video["run_id"])
    if video["state"] not in STATES:
        raise StoreError(f"videos {video['video_id']}: state '{video['state']}', expected one of {', '.join(STATES)}")
    if (video["state"] == "done") != bool(item.clips):
        raise StoreError(
            f"videos {video['video_id']}: state '{video['state']}' with {len(item.clips)} clips; "
            "'done' means at least one, the others none"
        )
    counts = dict(zip(_COUNTS, (len(item.clips), len(item.faces), len(item.voices)), strict=True))
    defaults = {"reason": "", "funnel": {}, "created_at": datetime.now(UTC), "revision": 1}
    return defaults | video | counts | {"uris": [uri_row(uri) for uri in video.get("uris", ())]}


def _clip_row(clip: Row) -> dict[str, Any]:
    row = dict(clip)
    labels = {name: _normal(value) for name, value in (row.get("labels") or {}).items()}
    for name in LABELS:
        row.setdefault(name, labels.pop(name, None))
    return row | {name: _normal(row.get(name)) for name in ("identity", "split", *LABELS)} | {"labels": labels}


def _normal(value: Any) -> Any:
    return nfc(value) if isinstance(value, str) else value


def nfc(text: str) -> str:
    """Returns a label in Unicode's NFC, in which labels are stored and compared."""
    return unicodedata.normalize("NFC", text)


def spellings(name: str) -> list[str]:
    """Returns the forms of a label that look the same: as given, NFC and, for older stores, NFD."""
    return list(dict.fromkeys([name, nfc(name), unicodedata.normalize("NFD", name)]))


def _check_references(item: VideoRows, video_id: str) -> None:
    clips = {clip.get("clip_id") for clip in item.clips}
    for table, rows in (("faces", item.faces), ("voices", item.voices)):
        for row in rows:
            if (clip := row.get("clip_id")) not in clips:
                raise StoreError(f"{table} {row.get(KEYS[table])}: video {video_id} has no clip '{clip}'")


def _check_unique(table: str, keys: Sequence[Any]) -> None:
    if len(set(keys)) < len(keys):
        twice = next(key for key, count in Counter(keys).items() if count > 1)
        raise StoreError(f"{table}: {KEYS[table]} '{twice}' twice in one commit; ids must differ")


def _column(table: str, rows: Sequence[Row], field: pa.Field) -> pa.Array:
    values = [_plain(field, row.get(field.name)) for row in rows]
    try:
        array = pa.array(values, field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise StoreError(f"{table}.{field.name}: expected {field.type} ({error})") from None
    if array.null_count and not field.nullable:
        key = rows[values.index(None)].get(KEYS[table])
        raise StoreError(f"{table} {key}: no {field.name}; the column needs a value")
    return array


def _plain(field: pa.Field, value: Any) -> Any:
    if field.name in _JSON and schemas.FUNCTION_KEY not in (field.metadata or {}):
        value = json.dumps(value or {}, sort_keys=True, ensure_ascii=False, default=str)
    if isinstance(value, str):
        return storable(value)
    # In SQL NaN is greater than every number; what could not be measured must pass no filter.
    if isinstance(value, float | np.floating) and math.isnan(value):
        return None
    return value


def storable(text: str) -> str:
    """Returns a text as UTF-8 can hold it: lone surrogates become escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _vectors(table: str, rows: Sequence[Row], space: str, field: pa.Field) -> pa.Array:
    dim = field.type.list_size
    matrix = np.empty((len(rows), dim), np.float32)
    for index, row in enumerate(rows):
        found = row.get("vectors") or {}
        where = f"{table} {row.get(KEYS[table])}"
        if space not in found:
            raise StoreError(
                f"{where}: vectors of {_list(found)}, the store needs one of '{space}'; use its encoders"
            )
        vector = np.asarray(found[space], np.float32)
        if vector.shape != (dim,):
            raise StoreError(f"{where}: a vector of shape {vector.shape} for '{space}', expected ({dim},)")
        if not np.isfinite(vector).all():
            raise StoreError(f"{where}: the vector of '{space}' has values that are not finite; drop the row")
        matrix[index] = vector
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), type=field.type)


def _list(spaces: Iterable[str]) -> str:
    return ", ".join(f"'{space}'" for space in spaces) or "no space"
