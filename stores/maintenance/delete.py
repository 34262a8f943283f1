"""Delete people, videos or clips on request: every row, and then every byte.

1. `plan_deletion` finds the rows in all tables, whether readers see them or not.
2. `delete` writes the plan into its row of `runs` before it removes anything: ids, names and fingerprints. A deletion
   that is killed at any step leaves its plan there, and the next deletion carries it out from the start.
3. It leaves a tombstone of each video in the ledger, under a hash of the video's id, by which later ingests skip the
   video. Then it hides the rows: those of whole videos by deleting them from the ledger, clips of videos that stay by
   edits. So readers see a clip with its faces and voices, or nothing of it.
4. It deletes the rows, and frees the bytes in fragments, old versions, indices, tags and unfinished embeddings.
5. A byte scan of the files that may have held the rows searches for what the plan names. If it finds nothing, the
   plan is removed from `runs`.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pyarrow as pa
from lance import LanceDataset
from lancedb.db import DBConnection

from stores import edits, ids, ledger, rows, runs, schema
from stores.arrow import compute
from stores.errors import StoreError
from stores.maintenance.byte_scan import (
    PROBE,
    ByteScan,
    Fingerprint,
    Needles,
    file_names,
    fingerprint,
    remove_file,
    scan,
)
from stores.maintenance.compact import free_deleted, prune
from stores.maintenance.embed import SCRATCH, drop
from stores.pairs import matrix
from stores.retry import retry
from stores.schema import DELETED, EMBEDDED, KEYS, MEDIA, TABLES, VIDEO_TABLES
from stores.sql import in_lists, quoted
from stores.store import Store

ERASED = "erased"  # in the summary of a completed deletion
MARK = "vclip-deletion-plan"  # a key of every plan in a row of `runs`, by which leftovers of one are found
OTHERS = tuple(
    name for name in TABLES if name not in ("videos", "runs", *VIDEO_TABLES)
)  # their rows may name a person or clip
_FORGOTTEN = "(deleted)"  # in the place of a name
_AT_ONCE = 1000  # rows to one deletion
_ID = re.compile(r"[0-9A-Za-z_-]{6,}")
_STAGED = re.compile(r"#\d+$")  # the end of the name under which Lance writes a file that it then renames
_JOINED = " + "  # between the files of one input


@dataclass(frozen=True)
class DeletionPlan:
    """What to delete, and what to search for afterwards."""

    ids: dict[str, list[str]]  # table -> ids; `videos` are those that are deleted as a whole
    shared: list[str]  # videos that keep clips of others
    names: list[str]  # URIs of the deleted videos, and of the files that one input was read from
    identities: tuple[str, ...] = ()
    generations: list[dict] = field(default_factory=list)  # rows of utterances generated for their faces
    files: list[str] = field(default_factory=list)  # further files that show or speak for them; listed, not deleted
    fingerprints: dict[str, list[Fingerprint]] = field(default_factory=dict)  # media column or `vectors` -> of rows
    tags: list[str] = field(default_factory=list)  # of versions that hold the rows
    indices: dict[str, list[str]] = field(default_factory=dict)  # table -> indices that hold their vectors

    @property
    def rows(self) -> dict[str, int]:
        """table -> number of rows."""
        return {table: len(found) for table, found in self.ids.items()}

    def __bool__(self) -> bool:
        return any(self.ids.values())

    def united(self, other: "DeletionPlan") -> "DeletionPlan":
        """Returns a plan of both."""
        whole = _union(self.ids.get("videos", ()), other.ids.get("videos", ()))
        by_id = {row["generation_id"]: row for row in (*self.generations, *other.generations)}
        return DeletionPlan(
            ids=_united(self.ids, other.ids),
            shared=[video for video in _union(self.shared, other.shared) if video not in whole],
            names=_union(self.names, other.names),
            identities=tuple(_union(self.identities, other.identities)),
            generations=list(by_id.values()),
            files=_union(self.files, other.files),
            fingerprints=_united(self.fingerprints, other.fingerprints),
            tags=_union(self.tags, other.tags),
            indices=_united(self.indices, other.indices),
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the plan as it is written into `runs`."""
        prints = {kind: [one.to_json() for one in found] for kind, found in self.fingerprints.items()}
        return {**vars(self), "fingerprints": prints, MARK: 1}

    @classmethod
    def of_json(cls, written: Mapping[str, Any]) -> "DeletionPlan":
        """Returns the plan that `to_json` wrote."""
        prints = {
            kind: [Fingerprint.of_json(one) for one in found] for kind, found in written["fingerprints"].items()
        }
        given = {name: value for name, value in written.items() if name != MARK}
        return cls(**given | {"fingerprints": prints, "identities": tuple(written["identities"])})


@dataclass(frozen=True)
class Deletion:
    """What a deletion did."""

    plan: DeletionPlan  # what was carried out, with the plans of earlier deletions that were killed
    rows: dict[str, int]  # table -> rows of the plan
    tags: list[str]  # removed, because their versions held deleted rows
    indices: list[str]  # dropped, because they held deleted vectors; `vclip optimize --index` builds them again
    before: ByteScan | None  # where their bytes were; None without `full_scan`
    after: ByteScan | None  # where their bytes still are, which should be nowhere; None without `prove`


def delete(
    store: Store,
    plan: DeletionPlan,
    prove: bool = True,
    full_scan: bool = False,
    beside: Callable[[DeletionPlan], None] = lambda plan: None,
) -> Deletion:
    """Deletes rows in all tables and frees their bytes; old versions are pruned, and tags of those that held them.

    The videos leave tombstones, so no later commit takes them. May be repeated after any failure: the plans of
    deletions that did not end are carried out as well, also by a deletion with an empty plan. Nobody else may write
    meanwhile, and readers of old versions lose them.

    The proof searches the files of the store for the media, vectors, ids and names of the plan. It skips what cannot
    hold them: data files that the deletion left alone and in which every row is a visible row of others. So its cost
    follows from the fragments that were rewritten, not from the size of the store.

    Args:
        store: the store.
        plan: as `plan_deletion` returned it.
        prove: search afterwards.
        full_scan: search before and afterwards, and skip nothing: every byte of the store is read twice.
        beside: removes what is theirs outside the store; called with the whole plan while `runs` still holds it, so
            that a deletion that is killed there is repeated. It must be repeatable.

    Raises:
        StoreError: a job is writing.
        StoreUnavailable: the disk is full, or the connection did not come back; run again to finish the deletion.
    """
    db = store.db
    runs.check_alone(db, runs.DELETION)
    unfinished = unfinished_plans(db)
    plan = _with_fingerprints(db, plan)
    for earlier in unfinished.values():
        plan = plan.united(earlier)
    plan = _with_holders(db, plan)
    needles = _needles(plan)
    skip = set() if full_scan or not prove else _files_of_others(db, plan)
    before = scan(db, store.uri, needles) if full_scan else None
    command = {"job": runs.DELETION, "rows": plan.rows}
    earlier_files = file_names(store.uri)
    with runs.running(db, command | {"plan": plan.to_json()}, {}) as run:
        _check_alone(db, run.run_id)
        _delete_rows(db, plan, run.run_id)
        _free_bytes(db, plan)
        _remove_files(store, filter(_STAGED.search, earlier_files))  # of writers that were killed; nobody else writes
        beside(plan)
        after = scan(db, store.uri, needles, skip, _is_not_of_runs) if prove or full_scan else None
        if not (after and after.found):
            _forget_plans(db, unfinished, run.run_id)
            _remove_leftovers(store, {name for name in earlier_files if name.startswith("runs.lance/data/")})
        erased = {} if after and after.found else {ERASED: True}
        run.summary = {"rows": plan.rows, "tags": len(plan.tags), **erased}
    if after and not after.found:
        after = after.joined(scan(db, store.uri, needles, among=_is_of_runs))
        if after.found:
            _replace(db, run.run_id, {"summary": _text({**run.summary, ERASED: False})})
    indices = [f"{table}.{name}" for table, names in plan.indices.items() for name in names]
    return Deletion(plan, plan.rows, plan.tags, indices, before, after)


def is_deletion_unfinished(store: Store) -> bool:
    """Returns whether a deletion did not end; any further one carries out its plan and frees the bytes."""
    return bool(unfinished_plans(store.db))


def unfinished_plans(db: DBConnection) -> dict[str, DeletionPlan]:
    """Returns run_id -> the plan that the run has left, for deletions that did not end; those that run are left out.

    The plan is empty where a deletion was killed when it had freed every byte and forgotten its plan.
    """
    running = runs.alive(db, where=runs.IS_DELETION)
    return {run: plan for run, plan in open_plans(db).items() if run not in running}


def open_plans(db: DBConnection) -> dict[str, DeletionPlan]:
    """Returns what `unfinished_plans` does, with the deletions that are running."""
    found = _raw(db, "runs", ["run_id", "command", "summary"], runs.IS_DELETION).sort_by("run_id").to_pylist()
    plans = {
        row["run_id"]: json.loads(row["command"]).get("plan")
        for row in found
        if not json.loads(row["summary"]).get(ERASED)
    }
    return {run: DeletionPlan.of_json(plan) if plan else DeletionPlan({}, [], []) for run, plan in plans.items()}


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
    people = [name for person in people for name in rows.spellings(person)]
    merged = snapshot.corrections.merged
    if gone := sorted(name for name in people if merged.get(name, name) not in people):
        raise StoreError(
            f"delete: '{gone[0]}' was corrected to be '{merged[gone[0]]}'; delete that person, or undo the edit first"
        )
    identities = (*people, *(name for name, now in merged.items() if now in people))
    filters = [f"identity IN ({part})" for part in in_lists(identities)] + [
        f"clip_id IN ({part})" for part in in_lists(clips)
    ]
    filters += [snapshot.parsed("clips", where)] if where else []
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
    known: set[str] = set()
    for table in ("videos", *VIDEO_TABLES):  # in the first that knows it: the others are larger
        missing = set(videos) - known
        known |= set(_where(db, table, ["video_id"], "video_id", sorted(missing))["video_id"].to_pylist())
    whole = sorted((set(touched) | known) - set(shared))
    everyone |= _pairs(_where(db, "clips", ["clip_id", "video_id"], "video_id", whole))
    own |= {clip: video for clip, video in everyone.items() if video in set(whole)}
    found = {"videos": whole, "clips": sorted(own)}
    for table in EMBEDDED:
        theirs = _where(db, table, [KEYS[table], "clip_id", "video_id"], "video_id", [*whole, *shared]).to_pylist()
        # In a shared video, also the faces and voices whose clip is gone: nobody knows whose they are.
        found[table] = sorted(
            {
                row[KEYS[table]]
                for row in theirs
                if row["video_id"] in set(whole) or row["clip_id"] in own or row["clip_id"] not in everyone
            }
        )
    uris = _where(db, "videos", ["uris"], "video_id", whole)["uris"].to_pylist()
    names = {entry["uri"] for entries in uris for entry in entries or ()}
    names |= set(_where(db, "clips", ["video_uri"], "video_id", whole)["video_uri"].to_pylist())
    names |= {file for name in names for file in files_of(name)}
    plan = DeletionPlan(found, shared, sorted(names), identities)
    return with_named(db, plan)


def files_of(uri: str) -> list[str]:
    """Returns the files that an input of this name was read from: several of a pair, else the one."""
    parts = uri.split(_JOINED)
    return parts if all(part.startswith("/") or "://" in part or part[1:3] == ":\\" for part in parts) else [uri]


def with_named(
    db: DBConnection, plan: DeletionPlan, further: Mapping[str, Iterable[str]] | None = None
) -> DeletionPlan:
    """Returns the plan with the rows of other tables that name what it deletes.

    Args:
        db: the connection.
        plan: the plan.
        further: table -> ids of further rows to delete, in tables that `videos` does not own.
    """
    found = {table: list(plan.ids.get(table, ())) for table in TABLES if table != "runs"}
    for table, more in (further or {}).items():
        found[table] = _union(found[table], more)
    words = {name for listed in found.values() for name in listed}
    for table in OTHERS:
        # Rows that name these, then rows that name those, and so on.
        while more := _naming(db, table, words, set(plan.identities), set(plan.names)) - set(found[table]):
            found[table] = sorted({*found[table], *more})
            words |= more
    made = _where(db, "generations", ["generation_id", "face", "audio_uri"], "generation_id", found["generations"])
    known = {row["generation_id"]: row for row in (*plan.generations, *made.to_pylist())}
    return replace(plan, ids=found, generations=list(known.values()))


def _check_alone(db: DBConnection, run_id: str) -> None:
    """Raises StoreError if a job started while the deletion was planned; then nothing of the deletion is left."""
    try:
        runs.check_alone(db, runs.DELETION, own=run_id)
    except StoreError:
        retry(db, "the runs", partial(db.open_table("runs").delete, f"run_id = {quoted(run_id)}"))
        raise


def _with_fingerprints(db: DBConnection, plan: DeletionPlan) -> DeletionPlan:
    """The plan with the fingerprints of its media and vectors."""
    if not plan:
        return plan
    prints: dict[str, set[Fingerprint]] = {"vectors": set()}
    for table in EMBEDDED:
        media = MEDIA[table]
        dataset = db.open_table(table).to_lance()
        vectors = [schema.vector_column(space) for space in schema.spaces_of(dataset.schema)]
        for part in _parts(_row_ids(dataset, table, plan)):
            theirs = dataset.to_table(columns=[media, *vectors], filter=f"_rowid IN ({part})")
            prints.setdefault(media, set()).update(map(fingerprint, filter(_is_long, theirs[media].to_pylist())))
            contents = (vector.tobytes() for name in vectors for vector in matrix(theirs[name]))
            prints["vectors"].update(map(fingerprint, filter(_is_long, contents)))
    return replace(
        plan,
        fingerprints={kind: sorted(filter(_is_distinct, found), key=str) for kind, found in prints.items()},
    )


def _with_holders(db: DBConnection, plan: DeletionPlan) -> DeletionPlan:
    """The plan with the tags and indices that hold its rows."""
    indices = {
        table: [index.name for index in db.open_table(table).list_indices()]
        for table in TABLES
        if plan.ids.get(table)
    }
    return replace(
        plan,
        tags=_union(plan.tags, _tags_that_hold(db, plan)),
        indices=_united(plan.indices, {table: names for table, names in indices.items() if names}),
    )


def _is_long(content: bytes) -> bool:
    return len(content) >= PROBE


def _is_distinct(one: Fingerprint) -> bool:
    return one.is_distinct


def _needles(plan: DeletionPlan) -> Needles:
    ids = {name for listed in plan.ids.values() for name in listed}
    return Needles(plan.fingerprints, ids | {MARK}, {*plan.names, *plan.identities})


def _is_of_runs(file: str) -> bool:
    return file.startswith("runs.lance/")


def _is_not_of_runs(file: str) -> bool:
    return not _is_of_runs(file)


def _row_ids(dataset: LanceDataset, table: str, plan: DeletionPlan) -> list[int]:
    """Lance's numbers of the plan's rows in a version of a table."""
    return _theirs(dataset, table, plan)["_rowid"].to_pylist()


def _theirs(dataset: LanceDataset, table: str, plan: DeletionPlan, **scanned: Any) -> pa.Table:
    """The key, number and address of the plan's rows in a version of a table; of video tables by their videos."""
    key = KEYS[table]
    # The ids of videos repeat from row to row and take fewer bytes to read than the key.
    by = "video_id" if table in VIDEO_TABLES else key
    names = [*plan.ids.get("videos", ()), *plan.shared] if by != key else plan.ids.get(table, ())
    wanted, found = pa.array(plan.ids.get(table, ()), pa.string()), []
    for part in in_lists(names):
        filter = f"{by} IN ({part})"
        given = dataset.scanner(columns=[key], filter=filter, with_row_id=True, with_row_address=True, **scanned)
        rows = given.to_table()
        # Deleted rows, which only a scan that asks for them sees, have no number.
        own = compute.or_(compute.is_in(rows[key], wanted), compute.is_null(rows["_rowid"]))
        found.append(rows.filter(own))
    kinds = {key: pa.string(), "_rowid": pa.uint64(), "_rowaddr": pa.uint64()}
    return pa.concat_tables([rows.select(list(kinds)) for rows in found] or [pa.schema(kinds.items()).empty_table()])


def _files_of_others(db: DBConnection, plan: DeletionPlan) -> set[str]:
    """The data files that hold nothing but visible rows of others, in the newest version and those of other tags.

    Files never change: one that is clean in a version stays so.
    """
    names: set[str] = set()
    for table in VIDEO_TABLES:
        newest = db.open_table(table).to_lance()
        tagged = {tag["version"] for name, tag in newest.tags.list().items() if name not in plan.tags}
        for version in sorted({newest.version, *tagged}, reverse=True):
            rows = newest.checkout_version(version)
            fragments = {
                fragment.fragment_id: fragment
                for fragment in rows.get_fragments()
                if not fragment.num_deletions and not names.issuperset(_files(table, fragment))
            }
            if fragments:
                addresses = _theirs(rows, table, plan, fragments=list(fragments.values()))["_rowaddr"].to_pylist()
                for theirs in {address >> 32 for address in addresses}:  # the fragment's number
                    fragments.pop(theirs, None)
            names.update(*(_files(table, fragment) for fragment in fragments.values()))
    return names


def _files(table: str, fragment: Any) -> list[str]:
    return [f"{table}.lance/data/{file.path}" for file in fragment.data_files()]


def _tags_that_hold(db: DBConnection, plan: DeletionPlan) -> list[str]:
    """The tags of versions whose files hold rows of the plan, deleted rows included; and tags that are not whole."""
    of_table = {table: db.open_table(table).to_lance().tags.list() for table in TABLES}
    found = {name for tags in of_table.values() for name in tags} - of_table["videos"].keys()
    for table, tags in of_table.items():
        if not plan.ids.get(table):
            continue
        for version in {tag["version"] for name, tag in tags.items() if name not in found}:
            rows = db.open_table(table).to_lance().checkout_version(version)
            if len(_theirs(rows, table, plan, include_deleted_rows=True, late_materialization=False)):
                found |= {name for name, tag in tags.items() if tag["version"] == version}
    return sorted(found)


def _delete_rows(db: DBConnection, plan: DeletionPlan, run_id: str) -> None:
    """Deletes the rows, and leaves a tombstone of each video that had any. May be repeated after any failure."""
    _write_tombstones(db, [*plan.ids.get("videos", ()), *plan.shared], run_id)
    _delete(db, "videos", plan)  # from here on no reader sees anything of these videos
    of_shared = _where(db, "clips", ["clip_id"], "video_id", plan.shared)["clip_id"].to_pylist()
    gone = set(plan.ids.get("clips", ()))
    retry(db, "the edits", partial(edits.hide, db, sorted(gone.intersection(of_shared))))
    for table in EMBEDDED:
        _delete(db, table, plan)
    swap = partial(
        ledger.swap, db, plan.shared, lambda video, row: row and {**row, **_counts(db, video, row["run_id"], gone)}
    )
    retry(db, "the ledger", swap)
    _delete(db, "clips", plan)
    for table in OTHERS:
        _delete(db, table, plan)
    retry(db, "the edits", partial(edits.forget, db, sorted(gone)))
    _forget_names(db, {*plan.names, *plan.identities})


def _free_bytes(db: DBConnection, plan: DeletionPlan) -> None:
    """Frees the bytes of the plan's rows, and of all rows that were deleted before."""
    retry(db, "the unfinished embeddings", partial(_drop_scratch, db))
    for table in TABLES:  # `videos` first: a tag exists while it is on this table
        of_table = db.open_table(table).tags
        for tag in [tag for tag in plan.tags if tag in of_table.list()]:
            retry(db, "the tag", partial(of_table.delete, tag))
    for table, names in plan.indices.items():
        there = {index.name for index in db.open_table(table).list_indices()}
        for name in (name for name in names if name in there):
            retry(db, "the index", partial(db.open_table(table).drop_index, name))
    for table in TABLES:
        if table != "runs":
            _free(db, table)


def _drop_scratch(db: DBConnection) -> None:
    for name in [name for name in db.list_tables(limit=1000).tables if name.startswith(SCRATCH)]:
        drop(db, name)


def _free(db: DBConnection, table: str) -> None:
    retry(db, f"the compaction of {table}", partial(free_deleted, db, table))
    # The newest version holds the SQL by which rows were deleted, unless another version follows.
    retry(db, table, partial(_write_version, db, table))
    # This run's own lease is renewed in `runs`.
    retry(db, table, partial(prune, db, table, 0, nobody_writes=table != "runs"))


def _forget_plans(db: DBConnection, unfinished: Iterable[str], own: str) -> None:
    """Removes the plans from the rows of these runs, and their bytes; the unfinished ones are ended by it."""
    unfinished = set(unfinished)
    for run, command in runs.commands_of(db, [*unfinished, own]).items():
        command.pop("plan", None)
        ended = {"summary": _text({ERASED: True})} if run in unfinished else {}
        _replace(db, run, {"command": _text(command), **ended})
    _free(db, "runs")


def _remove_files(store: Store, names: Iterable[str]) -> None:
    for name in names:
        retry(store.db, name, partial(remove_file, store.uri, name))


def _remove_leftovers(store: Store, names: set[str]) -> None:
    """Removes those of these data files of `runs` that hold a plan and that no version names.

    A deletion that is killed while it records its plan leaves one. Lance takes such a file for one of a running job
    for days; but only deletions write plans, and no other deletion is running.
    """
    rows = store.db.open_table("runs").to_lance()
    versions = [rows.checkout_version(version["version"]) for version in rows.versions()]
    named = {name for version in versions for part in version.get_fragments() for name in _files("runs", part)}
    left = names - named
    found = scan(store.db, store.uri, Needles({}, {MARK}, ()), among=lambda name: name in left).found
    _remove_files(store, {name for files in found.values() for name in files})


def _replace(db: DBConnection, run_id: str, values: Mapping[str, str]) -> None:
    where = f"run_id = {quoted(run_id)}"
    retry(db, "the runs", partial(db.open_table("runs").update, where=where, values=dict(values)))


def _text(value: Any) -> str:
    """JSON, as `rows.typed` writes it."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _write_version(db: DBConnection, table: str) -> None:
    erased_at = datetime.now(UTC).isoformat(timespec="seconds")
    db.open_table(table).to_lance().update_config({"vclip.erased_at": erased_at})


def _write_tombstones(db: DBConnection, videos: Sequence[str], run_id: str) -> None:
    of = {ids.tombstone(video): video for video in videos}
    kept = {"uris": [], "state": DELETED, "reason": "removed on request", "run_id": run_id, "config_hash": ""}
    kept |= {"funnel": {}, "n_clips": 0, "n_faces": 0, "n_voices": 0, "created_at": datetime.now(UTC), "revision": 1}
    tombstones = rows.typed("videos", [{"video_id": name, **kept} for name in of]).to_pylist()
    by_name = {row["video_id"]: row for row in tombstones}
    retry(db, "the ledger", partial(ledger.swap, db, of, lambda name, row: None if row else by_name[name]))


def _counts(db: DBConnection, video: str, run_id: str, gone: set[str]) -> dict[str, int]:
    """The ledger's counts for a video without these clips."""
    where = f"video_id = {quoted(video)} AND run_id = {quoted(run_id)}"
    clips = {table: _raw(db, table, ["clip_id"], where)["clip_id"].to_pylist() for table in VIDEO_TABLES}
    return {f"n_{table}": sum(clip not in gone for clip in of) for table, of in clips.items()}


def _forget_names(db: DBConnection, names: set[str]) -> None:
    """Removes names of files and people from the commands, configurations and summaries of runs."""
    columns = ["command", "config", "summary"]
    for row in _raw(db, "runs", ["run_id", *columns]).to_pylist() if names else ():
        values = {column: json.loads(row[column]) for column in columns}
        if "plan" in values["command"]:
            continue  # of a deletion; removed with its plan
        forgotten = {column: without_names(value, names) for column, value in values.items()}
        changed = {column: _text(value) for column, value in forgotten.items() if value != values[column]}
        if changed:
            _replace(db, row["run_id"], changed)


def without_names(value: Any, names: set[str]) -> Any:
    """Returns a JSON value in which each text that is one of these names, or contains one of a file, is replaced.

    Args:
        value: the value.
        names: of files and people. One of a person is replaced only where it is a whole text.
    """
    if isinstance(value, Mapping):
        return {without_names(name, names): without_names(of, names) for name, of in value.items()}
    if isinstance(value, list):
        return [without_names(of, names) for of in value]
    if not isinstance(value, str):
        return value
    if value in names:
        return _FORGOTTEN
    for name in (name for name in names if "/" in name and name in value):
        value = re.sub(rf"(?<![\w./-]){re.escape(name)}(?![\w/-]|\.\w)", _FORGOTTEN, value)
    return value


def _naming(db: DBConnection, table: str, ids: set[str], people: set[str], files: set[str]) -> set[str]:
    """The keys of the rows that name one of these ids anywhere, or whose text, or JSON text, is a person or file."""
    columns = [column.name for column in db.open_table(table).schema if pa.types.is_string(column.type)]
    exact = people | files
    quoted_names, found = [json.dumps(name, ensure_ascii=False) for name in exact], set()
    for batch in db.open_table(table).to_lance().to_batches(columns=columns):
        for row in batch.to_pylist():
            texts = [text for name, text in row.items() if text and name not in (KEYS[table], "text")]
            named = any(text in exact or any(name in text for name in quoted_names) for text in texts)
            named = named or not files.isdisjoint((row.get("face") or "").split(", "))
            if named or any(not ids.isdisjoint(_ID.findall(text)) for text in texts):
                found.add(row[KEYS[table]])
    return found


def _delete(db: DBConnection, table: str, plan: DeletionPlan) -> None:
    """Deletes the plan's rows of a table."""
    if not plan.ids.get(table):
        return

    def remove() -> None:
        rows = _row_ids(db.open_table(table).to_lance(), table, plan)
        # By number: Lance then reads no column.
        for part in _parts(rows):
            db.open_table(table).delete(f"_rowid IN ({part})")

    retry(db, "the deletion", remove)


def _parts(row_ids: Sequence[int]) -> Iterable[str]:
    """The contents of SQL lists of numbers."""
    for start in range(0, len(row_ids), _AT_ONCE):
        yield ", ".join(map(str, row_ids[start : start + _AT_ONCE]))


def _union(one: Iterable[str], other: Iterable[str]) -> list[str]:
    return sorted({*one, *other})


def _united(one: Mapping[str, Sequence[Any]], other: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    return {name: sorted({*one.get(name, ()), *other.get(name, ())}, key=str) for name in {**one, **other}}


def _raw(db: DBConnection, table: str, columns: Sequence[str], where: str | None = None) -> pa.Table:
    """Rows of a table as stored, committed or not."""
    return db.open_table(table).to_lance().to_table(columns=list(columns), filter=where)


def _where(db: DBConnection, table: str, columns: Sequence[str], column: str, names: Sequence[str]) -> pa.Table:
    found = [_raw(db, table, columns, f"{column} IN ({part})") for part in in_lists(names)]
    return pa.concat_tables(found) if found else _raw(db, table, columns, "false")


def _pairs(clips: pa.Table) -> dict[str, str]:
    return dict(zip(clips["clip_id"].to_pylist(), clips["video_id"].to_pylist(), strict=True))
