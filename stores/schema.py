"""The eight tables, column by column.

Notable:
- Every row carries the `run_id` of the job that wrote it; `runs` records the job's command and configuration, and
  whether it still runs.
- `videos` is the ledger: a row of `clips`, `faces` or `voices` counts only if `videos` names its video and its run.
- A vector column is named `vector_<space>` in characters that SQL accepts unquoted; the column's metadata holds the
  full name of the space. It survives add, merge, delete and compaction (lancedb 0.40; see
  test_store_maintenance.py).
- A column that a column function filled (`stores.maintenance.columns`) is no part of this schema, may be null, and
  names its function and version in its metadata.
- Ids of tables that are merged into are declared primary keys. Without that, two processes that merge the same new
  id at once both insert it (measured: 124 rows for 120 ids).
- Media are plain large_binary. Lance's blob encoding brought nothing (pylance 14, 10k faces): compaction
  rewrites blobs as well (141 of 141 MB), and ordinary reads return descriptors instead of bytes. The target
  fragment size of `stores.maintenance.compact.compact` bounds how much is rewritten.
"""

import re
from collections.abc import Mapping

import pyarrow as pa

from stores.errors import StoreError, nearest

SCHEMA_VERSION = 5
VERSION_KEY = b"vclip.schema_version"  # in a table's schema metadata; that of `videos` is the version of the store
SPACE_KEY = b"vclip.space"  # of a vector column's metadata
ENCODER_KEY = b"vclip.encoder"  # likewise: what opens the space's encoder; older stores lack it
FUNCTION_KEY = b"vclip.function"  # of a column that a function filled: what opens the function
FUNCTION_VERSION_KEY = b"vclip.function_version"  # likewise: the version of its values

Spaces = Mapping[str, Mapping[str, int]]  # table -> space -> dimension

_text, _f32, _f64, _i64 = pa.string(), pa.float32(), pa.float64(), pa.int64()
_time = pa.timestamp("us", tz="UTC")
_box = pa.list_(_f32, 4)  # x0, y0, x1, y1 as fractions of the frame
_uri = pa.struct({"uri": _text, "size_bytes": _i64, "mtime_s": _f64, "etag": _text})


def _id(name: str) -> pa.Field:
    return pa.field(name, _text, nullable=False, metadata={"lance-schema:unenforced-primary-key": "true"})


def _need(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


_COLUMNS: dict[str, list[pa.Field]] = {
    "videos": [  # one input, done or failed; written last, so it means that the rest is there
        _id("video_id"),  # hash of the content
        pa.field(
            "uris", pa.list_(_uri)
        ),  # all names it was seen under; size and time or etag make re-reading needless
        _need("state", _text),  # done | empty | failed; deleted: a tombstone, see stores.maintenance.delete
        _need("reason", _text),  # why it is empty or failed; else ""
        _need("run_id", _text),
        _need("config_hash", _text),
        pa.field("duration_s", _f64),  # null where the file could not be probed
        _need("funnel", _text),  # JSON object: counts per stage and drops per reason
        _need("n_clips", _i64),
        _need("n_faces", _i64),
        _need("n_voices", _i64),
        _need("created_at", _time),
        _need("revision", _i64),  # of this row; a writer of the next revision must have read this one
    ],
    "clips": [  # one visible person speaking
        _need("clip_id", _text),
        _need("video_id", _text),
        _need("run_id", _text),
        _need("video_uri", _text),  # the name it was read under
        _need("start_s", _f64),
        _need("end_s", _f64),
        _need("box", _box),  # the face's median box
        _need("speaking_score", _f32),  # 0..1
        pa.field("av_offset_s", _f32),  # positive where the audio is late; null, as all below, where not measured
        pa.field("av_confidence", _f32),  # 0..1: probability that av_offset_s is right within 0.04 s
        pa.field("dubbed", _f32),  # 0..1: probability that the audio is not the voice of this face
        pa.field("min_face_px", _f32),  # shorter side of the face at full resolution, least over the clip
        pa.field("mean_face_px", _f32),  # and mean
        pa.field("yaw_deg", _f32),  # pose of the head, medians over the clip; see pipelines.extraction.faces.pose
        pa.field("pitch_deg", _f32),
        pa.field("roll_deg", _f32),
        pa.field("head_motion", _f32),  # mean speed of the face, in face widths a second
        pa.field("identity", _text),  # who, where the manifest or the clustering says so
        pa.field("gender", _text),
        pa.field("age", _text),
        pa.field("nationality", _text),
        pa.field("language", _text),
        pa.field("licence", _text),
        pa.field("consent", _text),
        _need("labels", _text),  # JSON object: whatever else the manifest gives
        pa.field("split", _text),  # train | dev | test
    ],
    "faces": [  # one face crop; vector columns follow
        _need("face_id", _text),
        _need("clip_id", _text),
        _need("video_id", _text),
        _need("run_id", _text),
        _need("time_s", _f64),
        _need("box", _box),
        _need("size_px", _f32),  # shorter side of the face at full resolution
        _need("sharpness", _f32),  # 0..1, as the next three
        _need("frontality", _f32),
        _need("exposure", _f32),
        _need("quality", _f32),
        _need("image", pa.large_binary()),  # JPEG; empty where nothing but vectors was given
    ],
    "voices": [  # one speech segment; vector columns follow
        _need("voice_id", _text),
        _need("clip_id", _text),
        _need("video_id", _text),
        _need("run_id", _text),
        _need("start_s", _f64),
        _need("end_s", _f64),
        _need("speech_ratio", _f32),  # 0..1
        pa.field("snr_db", _f32),  # null where the segment has no pause to measure noise in
        pa.field("bandwidth_hz", _f32),  # up to which the speech reaches; telephone speech: 3,400; null: not measured
        _need("audio", pa.large_binary()),  # FLAC; empty likewise
    ],
    "speakers": [  # one known speaker of a TTS, or one voice that was kept under a name
        _id("speaker_id"),
        _need("run_id", _text),
        _need("tts", _text),
        _need("space", _text),  # of the vector; spaces differ in dimension, so the list does too
        pa.field("gender", _text),
        _need("vector", pa.list_(_f32)),
        pa.field("name", _text),  # of a kept voice; null for a known speaker
        _need("provenance", _text),  # JSON object: what a kept voice was made for, and by which models
        _need("created_at", _time),
    ],
    "generations": [  # one file of a generated utterance
        _id("generation_id"),  # see ids.generated_file_id; rows of version 0.1 hold the utterance's id alone
        _need("run_id", _text),
        _need("face", _text),  # the file or face_id that it was made for
        _need("text", _text),
        pa.field("language", _text),  # of the text, a primary tag of BCP 47; null in rows of older versions
        _need("tts", _text),
        _need("space", _text),  # of speaker_vector
        _need("speaker_vector", pa.list_(_f32)),
        pa.field("score", _f32),  # what the candidates were ranked by
        _need("scores", _text),  # JSON object: all scores by name
        _need("audio_uri", _text),
        _need("models", _text),  # JSON object: what made it -> version or hash
        _need("created_at", _time),
    ],
    "edits": [  # one correction by hand; only ever added to, see stores.edits
        _id("edit_id"),  # sorts in the order of the edits, see stores.edits
        _need("action", _text),  # reject | label | merge | undo
        _need("subject", _text),  # what it is about: a clip_id, an identity or an edit_id
        _need("name", _text),  # the corrected column; else ""
        pa.field("value", _text),  # what is right
        _need("who", _text),
        _need("why", _text),
        _need("created_at", _time),
    ],
    "runs": [  # one job that wrote
        _id("run_id"),
        _need("command", _text),  # JSON object: the job and its inputs
        _need("config", _text),  # JSON object: the resolved configuration
        _need("summary", _text),  # JSON object: what it did; `ended_by` if it failed or was killed
        _need("started_at", _time),
        _need("heartbeat_at", _time),  # changes while the run lives; a token, see stores.leases
        pa.field("finished_at", _time),  # null while it runs
    ],
}

TABLES = tuple(_COLUMNS)
PINNED = tuple(name for name in TABLES if name != "runs")  # what a version of the store names
LATER = ("edits",)  # tables that versions of the store named before schema 3 do not know
VIDEO_TABLES = ("clips", "faces", "voices")  # rows count only if the ledger names their video and run
DELETED = "deleted"  # the state of a tombstone: a video that was deleted on request
EMBEDDED = ("faces", "voices")  # tables with vector columns
MEDIA = {"faces": "image", "voices": "audio"}
KEYS = {name: fields[0].name for name, fields in _COLUMNS.items()}
LABELS = ("gender", "age", "nationality", "language", "licence", "consent")  # labels with a column of their own


def schema(
    table: str, spaces: Mapping[str, int] | None = None, encoders: Mapping[str, str] | None = None
) -> pa.Schema:
    """Returns the table's schema, with a vector column for each space.

    Args:
        table: one of TABLES.
        spaces: space -> dimension.
        encoders: space -> the spec that opens its encoder, where that is known; a string that only readers interpret.

    Raises:
        StoreError: two spaces share a column name, or a dimension is not positive.
    """
    fields = list(_COLUMNS[table])
    for space, dim in (spaces or {}).items():
        if dim < 1:
            raise StoreError(f"space '{space}' has dimension {dim}; expected a positive one")
        name = vector_column(space)
        if name in [field.name for field in fields]:
            raise StoreError(f"{table}: two spaces would share the column '{name}'; rename '{space}'")
        metadata = {SPACE_KEY: space} | ({ENCODER_KEY: encoders[space]} if encoders and space in encoders else {})
        fields.append(pa.field(name, pa.list_(_f32, dim), nullable=False, metadata=metadata))
    return pa.schema(fields, metadata={VERSION_KEY: str(SCHEMA_VERSION)})


def vector_column(space: str) -> str:
    """Returns the column of a space: `dlib/resnet-v1-128/crop1` -> `vector_dlib_resnet_v1_128_crop1`."""
    return "vector_" + re.sub(r"[^a-z0-9]+", "_", space.lower()).strip("_")


def spaces_of(schema: pa.Schema) -> dict[str, int]:
    """Returns space -> dimension of the vector columns in a table's schema."""
    marked = [field for field in schema if SPACE_KEY in (field.metadata or {})]
    return {field.metadata[SPACE_KEY].decode(): field.type.list_size for field in marked}


def encoders_of(schema: pa.Schema) -> dict[str, str]:
    """Returns space -> the spec that opens its encoder, for the spaces of a table that record one."""
    marked = [field.metadata for field in schema if ENCODER_KEY in (field.metadata or {})]
    return {metadata[SPACE_KEY].decode(): metadata[ENCODER_KEY].decode() for metadata in marked}


def filled_of(schema: pa.Schema) -> dict[str, pa.Field]:
    """Returns the columns of a table that column functions filled, by their names."""
    return {field.name: field for field in schema if FUNCTION_KEY in (field.metadata or {})}


def version_of(schema: pa.Schema) -> int | None:
    """Returns the schema version that a table carries, or None if vclip did not create the table."""
    text = (schema.metadata or {}).get(VERSION_KEY, b"")
    return int(text) if text.isdigit() else None


def check_table(table: str) -> None:
    """Raises StoreError if there is no such table."""
    if table not in TABLES:
        raise StoreError(f"unknown table '{table}'; {nearest(table, TABLES)}")
