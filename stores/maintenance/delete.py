"""People may ask to be removed: every row of a person, a video or a clip, and then every byte of them.

1. `find` says what is theirs, in all tables, whether readers see it or not.
2. `delete` removes the rows; clips late and the ledger last, so that a deletion that was killed is found again. A
   tombstone stays in the ledger, under a hash of the video's id, by which a later ingest passes it over.
3. `stores.maintenance.erase` frees their bytes.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
from lancedb.db import DBConnection

from stores import ids, ledger, rows, runs, schema
from stores.errors import StoreError
from stores.maintenance import erase
from stores.maintenance.byte_scan import Sought, traces
from stores.pairs import matrix
from stores.retry import retry
from stores.schema import EMBEDDED, KEYS, MEDIA, TABLES, VIDEO_TABLES
from stores.snapshot import Snapshot
from stores.sql import in_lists, quoted

DELETED = "deleted"  # the state of a tombstone
ERASED = "erased"  # in the summary of a deletion that came to its end
OTHERS = tuple(name for name in TABLES if name not in ("videos", "runs", *VIDEO_TABLES))  # rows that may name theirs
_ID = re.compile(r"[0-9A-Za-z_-]{6,}")


@dataclass(frozen=True)
class Doomed:
    """What is to go: ids by table, those of `videos` that go as a whole."""

    ids: dict[str, list[str]]
    shared: list[str]  # videos that keep clips of others
    names: list[str]  # uris of the videos that go
    identities: tuple[str, ...] = ()
    generations: list[dict] = field(default_factory=list)  # rows of utterances made for their faces

    @property
    def rows(self) -> dict[str, int]:
        """table -> number of rows."""
        return {table: len(found) for table, found in self.ids.items()}

    def __bool__(self) -> bool:
        return any(self.ids.values())


@dataclass(frozen=True)
class Deleted:
    """What a deletion did."""

    rows: dict[str, int]  # table -> how many
    tags: list[str]  # removed, because they held what was to go
    indices: list[str]  # dropped likewise; `optimize` builds them anew
    before: (
        dict[str, dict[str, int]] | None
    )  # kind -> file -> how many, as `stores.maintenance.byte_scan` says; None: not looked
    after: dict[str, dict[str, int]] | None


def carry_out(db: DBConnection, uri: str, doomed: Doomed, prove: bool) -> Deleted:
    """Deletes and erases; as `Store.delete` says."""
    erase.check_alone(db, "delete")
    sign = sought(db, doomed) if prove else None
    before = traces(db, uri, sign) if sign else None
    with runs.running(db, {"job": "delete", "rows": doomed.rows}, {}) as run:
        delete(db, doomed, run.run_id)
        gone = erase.erase(db, doomed.ids)
        run.summary = {"rows": doomed.rows, ERASED: True, **{kind: len(names) for kind, names in gone.items()}}
    return Deleted(doomed.rows, gone["tags"], gone["indices"], before, traces(db, uri, sign) if sign else None)


def unfinished(db: DBConnection) -> bool:
    """Returns whether a deletion was killed after its rows had gone, perhaps, and before their bytes had."""
    runs_of = _raw(db, "runs", ["run_id", "command", "summary"]).sort_by("run_id").to_pylist()
    mine = [json.loads(row["summary"]) for row in runs_of if json.loads(row["command"]).get("job") == "delete"]
    return bool(mine) and not mine[-1].get(ERASED)


def find(
    db: DBConnection,
    people: Sequence[str] = (),
    videos: Sequence[str] = (),
    clips: Sequence[str] = (),
    where: str | None = None,
) -> Doomed:
    """Returns what belongs to these people, videos, clips, and clips that match; a video goes with its last clip.

    Raises:
        StoreError: nothing at all was asked for, `where` is not SQL, or a person goes by another name by now.
    """
    snapshot, own = Snapshot(db), {}
    merged = snapshot.corrections.merged
    if gone := sorted(set(people) & merged.keys()):
        raise StoreError(
            f"delete: '{gone[0]}' was corrected to be '{merged[gone[0]]}'; delete that person, or undo the edit first"
        )
    identities = (*people, *(name for name, now in merged.items() if now in people))
    filters = [f"identity IN ({part})" for part in in_lists(identities)] + [
        f"clip_id IN ({part})" for part in in_lists(clips)
    ]
    filters += [f"({where})"] if where else []
    if not (filters or videos):
        raise StoreError("delete: found no person, video, clip or filter; name what is to go")
    for filter in filters:
        seen = _pairs(snapshot.query("clips", ["clip_id", "video_id"], filter))
        # As they lie there, also where no reader sees them; what readers see otherwise is another's.
        lying = _pairs(_raw(db, "clips", ["clip_id", "video_id"], filter))
        for part in in_lists(lying.keys() - seen.keys()):
            others = snapshot.query("clips", ["clip_id"], f"clip_id IN ({part})")["clip_id"].to_pylist()
            lying = {clip: video for clip, video in lying.items() if clip not in others}
        own |= lying | seen
    touched = list(dict.fromkeys(own.values()))
    everyone = _pairs(_where(db, "clips", ["clip_id", "video_id"], "video_id", touched))
    shared = sorted({video for clip, video in everyone.items() if clip not in own} - set(videos))
    known = set(_where(db, "videos", ["video_id"], "video_id", videos)["video_id"].to_pylist())
    known |= set(_where(db, "clips", ["video_id"], "video_id", videos)["video_id"].to_pylist())
    whole = sorted((set(touched) | known) - set(shared))
    own |= _pairs(_where(db, "clips", ["clip_id", "video_id"], "video_id", whole))
    found = {"videos": whole, "clips": sorted(own)}
    for table in EMBEDDED:
        key = KEYS[table]
        theirs = [_where(db, table, [key], "clip_id", found["clips"]), _where(db, table, [key], "video_id", whole)]
        found[table] = sorted({name for part in theirs for name in part[key].to_pylist()})
    uris = _where(db, "videos", ["uris"], "video_id", whole)["uris"].to_pylist()
    names = sorted({entry["uri"] for entries in uris for entry in entries or ()})
    words = {name for listed in found.values() for name in listed}
    for table in OTHERS:
        found[table] = []
        while more := _naming(db, table, words, set(identities)) - set(
            found[table]
        ):  # those that name these, in turn
            found[table] = sorted({*found[table], *more})
            words |= more
    made = _where(db, "generations", ["generation_id", "face", "audio_uri"], "generation_id", found["generations"])
    return Doomed(found, shared, names, identities, made.to_pylist())


def sought(db: DBConnection, doomed: Doomed) -> Sought:
    """Returns what of theirs can be looked for in the store's files."""
    blobs: dict[str, set[bytes]] = {"vectors": set()}
    for table in EMBEDDED:
        media, column_of = MEDIA[table], schema.vector_column
        vectors = [column_of(space) for space in schema.spaces_of(db.open_table(table).schema)]
        for part in in_lists(doomed.ids[table]):
            theirs = _raw(db, table, [media, *vectors], f"{KEYS[table]} IN ({part})")
            blobs.setdefault(media, set()).update(theirs[media].to_pylist())
            blobs["vectors"].update(vector.tobytes() for name in vectors for vector in matrix(theirs[name]))
    ids = {name for listed in doomed.ids.values() for name in listed}
    return Sought(blobs, ids, {*doomed.names, *doomed.identities})


def delete(db: DBConnection, doomed: Doomed, run_id: str) -> None:
    """Deletes the rows, and leaves a tombstone of each video that had any. May be repeated after any failure."""
    _bury(db, [*doomed.ids["videos"], *doomed.shared], run_id)
    for table in (*OTHERS, *EMBEDDED):
        _delete(db, table, KEYS[table], doomed.ids[table])
    gone = set(doomed.ids["clips"])
    ledger.swap(db, doomed.shared, lambda video, row: row and {**row, **_counts(db, video, row["run_id"], gone)})
    _delete(db, "clips", "clip_id", doomed.ids["clips"])
    _forget_names(db, set(doomed.names))
    _delete(db, "videos", "video_id", doomed.ids["videos"])


def _bury(db: DBConnection, videos: Sequence[str], run_id: str) -> None:
    of = {ids.tombstone(video): video for video in videos}
    kept = {"uris": [], "state": DELETED, "reason": "removed on request", "run_id": run_id, "config_hash": ""}
    kept |= {"funnel": {}, "n_clips": 0, "n_faces": 0, "n_voices": 0, "created_at": datetime.now(UTC), "revision": 1}
    stones = rows.typed("videos", [{"video_id": name, **kept} for name in of]).to_pylist()
    by_name = {row["video_id"]: row for row in stones}
    ledger.swap(db, of, lambda name, row: None if row else by_name[name])


def _counts(db: DBConnection, video: str, run_id: str, gone: set[str]) -> dict[str, int]:
    """Returns what the ledger says of a video once these clips have gone."""
    where = f"video_id = {quoted(video)} AND run_id = {quoted(run_id)}"
    clips = {table: _raw(db, table, ["clip_id"], where)["clip_id"].to_pylist() for table in VIDEO_TABLES}
    return {f"n_{table}": sum(clip not in gone for clip in of) for table, of in clips.items()}


def _forget_names(db: DBConnection, names: set[str]) -> None:
    """Takes the names of files out of what runs were asked to do."""
    if not names:
        return
    for row in _raw(db, "runs", ["run_id", "command"]).to_pylist():
        command = row["command"]
        for name in names:
            command = command.replace(f'"{name}"', '"(deleted)"')
        if command != row["command"]:
            where = f"run_id = {quoted(row['run_id'])}"
            retry("the runs", lambda w=where, c=command: db.open_table("runs").update(where=w, values={"command": c}))


def _naming(db: DBConnection, table: str, ids: set[str], people: set[str]) -> set[str]:
    """Returns the keys of the rows that name one of these ids anywhere, or whose text, or JSON text, is a person."""
    columns = [column.name for column in db.open_table(table).schema if pa.types.is_string(column.type)]
    quoted_people, found = [json.dumps(name, ensure_ascii=False) for name in people], set()
    for batch in db.open_table(table).to_lance().to_batches(columns=columns):
        for row in batch.to_pylist():
            texts = [text for name, text in row.items() if text and name not in (KEYS[table], "text")]
            named = any(text in people or any(name in text for name in quoted_people) for text in texts)
            if named or any(not ids.isdisjoint(_ID.findall(text)) for text in texts):
                found.add(row[KEYS[table]])
    return found


def _delete(db: DBConnection, table: str, column: str, names: Sequence[str]) -> None:
    for part in in_lists(names):
        where = f"{column} IN ({part})"
        if db.open_table(table).count_rows(where):
            retry("the deletion", lambda where=where: db.open_table(table).delete(where))


def _raw(db: DBConnection, table: str, columns: Sequence[str], where: str | None = None) -> pa.Table:
    """Returns rows of a table as they lie there, whether the ledger vouches for them or not."""
    return db.open_table(table).to_lance().to_table(columns=list(columns), filter=where)


def _where(db: DBConnection, table: str, columns: Sequence[str], column: str, names: Sequence[str]) -> pa.Table:
    found = [_raw(db, table, columns, f"{column} IN ({part})") for part in in_lists(names)]
    return pa.concat_tables(found) if found else _raw(db, table, columns, "false")


def _pairs(clips: pa.Table) -> dict[str, str]:
    return dict(zip(clips["clip_id"].to_pylist(), clips["video_id"].to_pylist(), strict=True))
