"""Delete people, videos or clips on request: every row, and then every byte.

1. `plan_deletion` finds the rows in all tables, whether readers see them or not.
2. `delete` deletes the rows; clips late and the ledger last, so that a new plan finds what a killed deletion left. A
   tombstone stays in the ledger, under a hash of the video's id, by which later ingests skip the video.
3. It then frees the bytes in fragments, old versions, indices, tags and unfinished embeddings.
4. A byte scan of the files that may have held the rows proves that the bytes are gone.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import pyarrow as pa
from lancedb.db import DBConnection

from stores import ids, ledger, rows, runs, schema
from stores.errors import StoreError
from stores.maintenance.byte_scan import ByteScan, Needles, scan
from stores.maintenance.compact import merge_fragments, prune
from stores.maintenance.embed import SCRATCH
from stores.pairs import matrix
from stores.retry import retry
from stores.schema import DELETED, EMBEDDED, KEYS, MEDIA, TABLES, VIDEO_TABLES
from stores.sql import in_lists, quoted
from stores.store import Store

ERASED = "erased"  # in the summary of a completed deletion
OTHERS = tuple(
    name for name in TABLES if name not in ("videos", "runs", *VIDEO_TABLES)
)  # their rows may name a person or clip
_ID = re.compile(r"[0-9A-Za-z_-]{6,}")


@dataclass(frozen=True)
class DeletionPlan:
    """The rows to delete."""

    ids: dict[str, list[str]]  # table -> ids; `videos` are those that are deleted as a whole
    shared: list[str]  # videos that keep clips of others
    names: list[str]  # URIs of the deleted videos
    identities: tuple[str, ...] = ()
    generations: list[dict] = field(default_factory=list)  # rows of utterances generated for their faces

    @property
    def rows(self) -> dict[str, int]:
        """table -> number of rows."""
        return {table: len(found) for table, found in self.ids.items()}

    def __bool__(self) -> bool:
        return any(self.ids.values())


@dataclass(frozen=True)
class Deletion:
    """What a deletion did."""

    rows: dict[str, int]  # table -> rows deleted
    tags: list[str]  # removed, because their versions held deleted rows
    indices: list[str]  # dropped, because they held deleted vectors; `vclip optimize --index` builds them again
    before: ByteScan | None  # where their bytes were; None without `full_scan`
    after: ByteScan | None  # where their bytes still are, which should be nowhere; None without `prove`


def delete(store: Store, plan: DeletionPlan, prove: bool = True, full_scan: bool = False) -> Deletion:
    """Deletes rows in all tables and frees their bytes; old versions are pruned, and tags of those that held them.

    The videos leave tombstones, so no later commit takes them. May be repeated after any failure. Nobody else may
    write meanwhile, and readers of old versions lose them.

    The proof searches the files of the store for the media, vectors, ids and names. It skips what cannot hold them:
    data files of faces and voices that the deletion left alone and in which every row is a visible row of others. So
    its cost follows from the fragments that were rewritten, not from the size of the store.

    Args:
        store: the store.
        plan: as `plan_deletion` returned it.
        prove: search afterwards.
        full_scan: search before and afterwards, and skip nothing: every byte of the store is read twice.

    Raises:
        StoreError: a job is writing.
    """
    db = store.db
    runs.check_alone(db, "delete")
    needles = _needles(db, plan) if prove or full_scan else None
    others = set() if full_scan or not needles else _files_of_others(db, plan)
    before = scan(db, store.uri, needles) if needles and full_scan else None
    with runs.running(db, {"job": "delete", "rows": plan.rows}, {}) as run:
        _delete_rows(db, plan, run.run_id)
        freed = _free_bytes(db, plan.ids)
        run.summary = {"rows": plan.rows, ERASED: True, **{kind: len(names) for kind, names in freed.items()}}
    after = scan(db, store.uri, needles, others and others & _files_of_others(db, plan)) if needles else None
    return Deletion(plan.rows, freed["tags"], freed["indices"], before, after)


def is_deletion_unfinished(store: Store) -> bool:
    """Returns whether a deletion was killed before it had freed the bytes; any further one does so."""
    rows = _raw(store.db, "runs", ["run_id", "command", "summary"]).sort_by("run_id").to_pylist()
    deletions = [json.loads(row["summary"]) for row in rows if json.loads(row["command"]).get("job") == "delete"]
    return bool(deletions) and not deletions[-1].get(ERASED)


def plan_deletion(
    store: Store,
    people: Sequence[str] = (),
    videos: Sequence[str] = (),
    clips: Sequence[str] = (),
    where: str | None = None,
) -> DeletionPlan:
    """Returns the rows that belong to people, videos or clips; a video is deleted with its last clip.

    Args:
        store: the store.
        people: identities.
        videos, clips: ids.
        where: an SQL filter over clips.

    Raises:
        StoreError: nothing was named, `where` is not SQL, or a person's identity was corrected to another.
    """
    db = store.db
    snapshot, own = store.snapshot(), {}
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
        raise StoreError("delete: found no person, video, clip or filter; name what to delete")
    for filter in filters:
        seen = _pairs(snapshot.query("clips", ["clip_id", "video_id"], filter))
        # As stored, also where no reader sees them; a clip that readers see with another identity is another's.
        stored = _pairs(_raw(db, "clips", ["clip_id", "video_id"], filter))
        for part in in_lists(stored.keys() - seen.keys()):
            others = snapshot.query("clips", ["clip_id"], f"clip_id IN ({part})")["clip_id"].to_pylist()
            stored = {clip: video for clip, video in stored.items() if clip not in others}
        own |= stored | seen
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
        # Rows that name these, then rows that name those, and so on.
        while more := _naming(db, table, words, set(identities)) - set(found[table]):
            found[table] = sorted({*found[table], *more})
            words |= more
    made = _where(db, "generations", ["generation_id", "face", "audio_uri"], "generation_id", found["generations"])
    return DeletionPlan(found, shared, names, identities, made.to_pylist())


def _needles(db: DBConnection, plan: DeletionPlan) -> Needles:
    """The media, vectors, ids and names to search for in the store's files."""
    blobs: dict[str, set[bytes]] = {"vectors": set()}
    for table in EMBEDDED:
        media, column_of = MEDIA[table], schema.vector_column
        vectors = [column_of(space) for space in schema.spaces_of(db.open_table(table).schema)]
        for part in in_lists(plan.ids[table]):
            theirs = _raw(db, table, [media, *vectors], f"{KEYS[table]} IN ({part})")
            blobs.setdefault(media, set()).update(theirs[media].to_pylist())
            blobs["vectors"].update(vector.tobytes() for name in vectors for vector in matrix(theirs[name]))
    ids = {name for listed in plan.ids.values() for name in listed}
    return Needles(blobs, ids, {*plan.names, *plan.identities})


def _files_of_others(db: DBConnection, plan: DeletionPlan) -> set[str]:
    """The data files of faces and voices that hold nothing but rows of others, none of them deleted."""
    names = set()
    for table in EMBEDDED:
        rows = db.open_table(table).to_lance()
        theirs = set()
        for part in in_lists(plan.ids[table]):
            found = rows.to_table(columns=[KEYS[table]], filter=f"{KEYS[table]} IN ({part})", with_row_address=True)
            theirs |= {address >> 32 for address in found["_rowaddr"].to_pylist()}  # the fragment's number
        for fragment in rows.get_fragments():
            if fragment.fragment_id not in theirs and not fragment.num_deletions:
                names |= {f"{table}.lance/data/{file.path}" for file in fragment.data_files()}
    return names


def _delete_rows(db: DBConnection, plan: DeletionPlan, run_id: str) -> None:
    """Deletes the rows, and leaves a tombstone of each video that had any. May be repeated after any failure."""
    _write_tombstones(db, [*plan.ids["videos"], *plan.shared], run_id)
    for table in (*OTHERS, *EMBEDDED):
        _delete(db, table, KEYS[table], plan.ids[table])
    gone = set(plan.ids["clips"])
    ledger.swap(db, plan.shared, lambda video, row: row and {**row, **_counts(db, video, row["run_id"], gone)})
    _delete(db, "clips", "clip_id", plan.ids["clips"])
    _forget_names(db, set(plan.names))
    _delete(db, "videos", "video_id", plan.ids["videos"])


def _free_bytes(db: DBConnection, deleted: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Frees the bytes of deleted rows (table -> ids); returns the names of `tags` and `indices` removed for it."""
    gone: dict[str, list[str]] = {"tags": [], "indices": []}
    for name in [name for name in db.list_tables(limit=1000).tables if name.startswith(SCRATCH)]:
        db.drop_table(name)
    for name in [*TABLES[1:], TABLES[0]]:  # `videos` last: a tag exists while it is on this table
        gone["tags"] += _drop_tags(db, name, deleted.get(name, ()))
        if deleted.get(name):
            for index in db.open_table(name).list_indices():
                db.open_table(name).drop_index(index.name)
                gone["indices"].append(f"{name}.{index.name}")
        retry(db, f"the compaction of {name}", partial(merge_fragments, db, name))
        # The newest version holds the SQL by which rows were deleted, unless another version follows.
        retry(db, name, partial(_write_version, db, name))
        prune(db, name, 0, nobody_writes=name != "runs")  # this run's own lease is renewed in `runs`
    return {kind: sorted(set(names)) for kind, names in gone.items()}


def _drop_tags(db: DBConnection, table: str, deleted: Sequence[str]) -> list[str]:
    """Removes the tags of versions of a table that hold one of these rows."""
    dropped = []
    for name, tag in db.open_table(table).tags.list().items():
        old = db.open_table(table)
        old.checkout(tag["version"])
        if any(old.count_rows(f"{KEYS[table]} IN ({part})") for part in in_lists(deleted)):
            dropped.append(name)
    for name in dropped:
        for other in TABLES:
            if name in db.open_table(other).tags.list():
                db.open_table(other).tags.delete(name)
    return dropped


def _write_version(db: DBConnection, table: str) -> None:
    erased_at = datetime.now(UTC).isoformat(timespec="seconds")
    db.open_table(table).to_lance().update_config({"vclip.erased_at": erased_at})


def _write_tombstones(db: DBConnection, videos: Sequence[str], run_id: str) -> None:
    of = {ids.tombstone(video): video for video in videos}
    kept = {"uris": [], "state": DELETED, "reason": "removed on request", "run_id": run_id, "config_hash": ""}
    kept |= {"funnel": {}, "n_clips": 0, "n_faces": 0, "n_voices": 0, "created_at": datetime.now(UTC), "revision": 1}
    tombstones = rows.typed("videos", [{"video_id": name, **kept} for name in of]).to_pylist()
    by_name = {row["video_id"]: row for row in tombstones}
    ledger.swap(db, of, lambda name, row: None if row else by_name[name])


def _counts(db: DBConnection, video: str, run_id: str, gone: set[str]) -> dict[str, int]:
    """The ledger's counts for a video without these clips."""
    where = f"video_id = {quoted(video)} AND run_id = {quoted(run_id)}"
    clips = {table: _raw(db, table, ["clip_id"], where)["clip_id"].to_pylist() for table in VIDEO_TABLES}
    return {f"n_{table}": sum(clip not in gone for clip in of) for table, of in clips.items()}


def _forget_names(db: DBConnection, names: set[str]) -> None:
    """Removes the names of files from the commands of runs."""
    if not names:
        return
    for row in _raw(db, "runs", ["run_id", "command"]).to_pylist():
        command = row["command"]
        for name in names:
            command = command.replace(f'"{name}"', '"(deleted)"')
        if command != row["command"]:
            where = f"run_id = {quoted(row['run_id'])}"
            update = partial(db.open_table("runs").update, where=where, values={"command": command})
            retry(db, "the runs", update)


def _naming(db: DBConnection, table: str, ids: set[str], people: set[str]) -> set[str]:
    """The keys of the rows that name one of these ids anywhere, or whose text, or JSON text, is a person."""
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
            retry(db, "the deletion", partial(db.open_table(table).delete, where))


def _raw(db: DBConnection, table: str, columns: Sequence[str], where: str | None = None) -> pa.Table:
    """Rows of a table as stored, committed or not."""
    return db.open_table(table).to_lance().to_table(columns=list(columns), filter=where)


def _where(db: DBConnection, table: str, columns: Sequence[str], column: str, names: Sequence[str]) -> pa.Table:
    found = [_raw(db, table, columns, f"{column} IN ({part})") for part in in_lists(names)]
    return pa.concat_tables(found) if found else _raw(db, table, columns, "false")


def _pairs(clips: pa.Table) -> dict[str, str]:
    return dict(zip(clips["clip_id"].to_pylist(), clips["video_id"].to_pylist(), strict=True))
