"""Delete people, videos or clips on request: every row, and then every byte.

1. `plan_deletion` (deletion_plan.py) finds the rows in all tables, whether readers see them or not.
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
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from lancedb.db import DBConnection

from stores import edits, ids, ledger, rows, runs
from stores.errors import StoreError
from stores.exclusion import DELETION, IS_DELETION, check_alone
from stores.leases import alive
from stores.maintenance.backfill import SCRATCH, drop
from stores.maintenance.byte_scan import ByteScan, Needles, file_names, remove_file, scan
from stores.maintenance.compact import free_deleted, prune
from stores.maintenance.deletion_holders import data_files, files_of_others, row_ids, with_fingerprints, with_holders
from stores.maintenance.deletion_plan import MARK, OTHERS, DeletionPlan, stored, stored_where
from stores.maintenance.forget import forget_names, json_text, replace_in_run
from stores.retry import retry
from stores.schema import DELETED, EMBEDDED, TABLES, VIDEO_TABLES
from stores.sql import in_numbers, quoted
from stores.store import Store

ERASED = "erased"  # in the summary of a completed deletion
_STAGED = re.compile(r"#\d+$")  # the end of the name under which Lance writes a file that it then renames


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
    check_alone(db, DELETION)
    unfinished = unfinished_plans(db)
    plan = with_fingerprints(db, plan)
    for earlier in unfinished.values():
        plan = plan.united(earlier)
    plan = with_holders(db, plan)
    needles = _needles(plan)
    skip = set() if full_scan or not prove else files_of_others(db, plan)
    before = scan(db, store.uri, needles) if full_scan else None
    command = {"job": DELETION, "rows": plan.rows}
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
            replace_in_run(db, run.run_id, {"summary": json_text({**run.summary, ERASED: False})})
    indices = [f"{table}.{name}" for table, names in plan.indices.items() for name in names]
    return Deletion(plan, plan.rows, plan.tags, indices, before, after)


def is_deletion_unfinished(store: Store) -> bool:
    """Returns whether a deletion did not end; any further one carries out its plan and frees the bytes."""
    return bool(unfinished_plans(store.db))


def unfinished_plans(db: DBConnection) -> dict[str, DeletionPlan]:
    """Returns run_id -> the plan that the run has left, for deletions that did not end; those that run are left out.

    The plan is empty where a deletion was killed when it had freed every byte and forgotten its plan.
    """
    running = alive(db, where=IS_DELETION)
    return {run: plan for run, plan in open_plans(db).items() if run not in running}


def open_plans(db: DBConnection) -> dict[str, DeletionPlan]:
    """Returns what `unfinished_plans` does, with the deletions that are running."""
    found = stored(db, "runs", ["run_id", "command", "summary"], IS_DELETION).sort_by("run_id").to_pylist()
    plans = {
        row["run_id"]: json.loads(row["command"]).get("plan")
        for row in found
        if not json.loads(row["summary"]).get(ERASED)
    }
    return {run: DeletionPlan.of_json(plan) if plan else DeletionPlan({}, [], []) for run, plan in plans.items()}


def _check_alone(db: DBConnection, run_id: str) -> None:
    """Raises StoreError if a job started while the deletion was planned; then nothing of the deletion is left."""
    try:
        check_alone(db, DELETION, own=run_id)
    except StoreError:
        retry(db, "the runs", partial(db.open_table("runs").delete, f"run_id = {quoted(run_id)}"))
        raise


def _needles(plan: DeletionPlan) -> Needles:
    ids = {name for listed in plan.ids.values() for name in listed}
    return Needles(plan.fingerprints, ids | {MARK}, {*plan.names, *plan.identities})


def _is_of_runs(file: str) -> bool:
    return file.startswith("runs.lance/")


def _is_not_of_runs(file: str) -> bool:
    return not _is_of_runs(file)


def _delete_rows(db: DBConnection, plan: DeletionPlan, run_id: str) -> None:
    """Deletes the rows, and leaves a tombstone of each video that had any. May be repeated after any failure."""
    _write_tombstones(db, [*plan.ids.get("videos", ()), *plan.shared], run_id)
    _delete(db, "videos", plan)  # from here on no reader sees anything of these videos
    of_shared = stored_where(db, "clips", ["clip_id"], "video_id", plan.shared)["clip_id"].to_pylist()
    gone = set(plan.ids.get("clips", ()))
    retry(db, "the edits", partial(edits.hide, db, sorted(gone.intersection(of_shared))))
    for table in EMBEDDED:
        _delete(db, table, plan)
    left = {f"n_{table}": _rows_left(db, table, plan.shared, gone) for table in VIDEO_TABLES}

    def recounted(video: str, row: rows.Row | None) -> rows.Row | None:
        return row and {**row, **{name: of[video, row["run_id"]] for name, of in left.items()}}

    retry(db, "the ledger", partial(ledger.swap, db, plan.shared, recounted))
    _delete(db, "clips", plan)
    for table in OTHERS:
        _delete(db, table, plan)
    retry(db, "the edits", partial(edits.forget, db, sorted(gone)))
    forget_names(db, {*plan.names, *plan.identities})


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
        ended = {"summary": json_text({ERASED: True})} if run in unfinished else {}
        replace_in_run(db, run, {"command": json_text(command), **ended})
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
    named = {name for version in versions for part in version.get_fragments() for name in data_files("runs", part)}
    left = names - named
    found = scan(store.db, store.uri, Needles({}, {MARK}, ()), among=lambda name: name in left).found
    _remove_files(store, {name for files in found.values() for name in files})


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


def _rows_left(db: DBConnection, table: str, videos: Sequence[str], gone: set[str]) -> Counter[tuple[str, str]]:
    """Returns (video, run) -> its rows in a table without those of the clips that are gone."""
    found = stored_where(db, table, ["video_id", "run_id", "clip_id"], "video_id", videos).to_pylist()
    return Counter((row["video_id"], row["run_id"]) for row in found if row["clip_id"] not in gone)


def _delete(db: DBConnection, table: str, plan: DeletionPlan) -> None:
    """Deletes the plan's rows of a table."""
    if not plan.ids.get(table):
        return

    def remove() -> None:
        rows = row_ids(db.open_table(table).to_lance(), table, plan)
        # By number: Lance then reads no column.
        for part in in_numbers(rows):
            db.open_table(table).delete(f"_rowid IN ({part})")

    retry(db, "the deletion", remove)
