"""Check a store in one pass over each table, and repair the problems found.

Ids are kept in memory (about 150 bytes a row), vectors and media are streamed. All rows are checked, also those that
no reader sees.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from lance import LanceDataset

from stores import fragments, ledger, schema
from stores.arrow import compute
from stores.errors import StoreError
from stores.exclusion import check_alone
from stores.maintenance.compact import DAY_S, sweep
from stores.maintenance.delete import open_plans
from stores.maintenance.deletion_plan import DeletionPlan
from stores.pairs import matrix
from stores.retry import retry
from stores.rows import Row
from stores.schema import DELETED, EMBEDDED, KEYS, MEDIA, TABLES, VIDEO_TABLES
from stores.snapshot import Snapshot
from stores.store import Store

BATCH = 1 << 8  # rows with their media, 30 MB of speech; Lance reads some batches ahead
WITHOUT_MEDIA = 1 << 13  # rows
UNIT = 1e-3  # tolerance of the norm of a unit vector
_AT_ONCE = 1000  # rows to one deletion
OWNERS = ("video_id", "run_id")
LINKS = ("clip_id", *OWNERS)

State = Mapping[str, LanceDataset]  # table -> the version of it that is checked

# Takes a media file, and returns the reason why it cannot be decoded, "" if it can. Called by several threads.
Decoder = Callable[[bytes], str]
Advance = Callable[[str, int], None]  # takes a table and a number of rows that were checked

MEANINGS = {
    "half_deleted": "deletions that were killed or are running; run `vclip delete --store STORE --yes` to finish one",
    "uncommitted": "videos whose rows no reader sees, of a crashed commit (these are swept) or a running one",
    "unnamed": "data files that were written and not committed, of a running job or a killed one (these are swept)",
    "doubled": "rows whose id another row has; all but one are deleted",
    "orphaned": "faces and voices without their clip; they are deleted",
    "miscounted": "videos whose ledger row has wrong counts; these are corrected, or, where no clip is left, the "
    "row is deleted, so that the next ingest extracts the video again",
    "unreadable": "media that cannot be decoded; their rows are deleted",
    "not_finite": "vectors with NaN or infinite values; their rows are deleted",
    "not_unit": "vectors without unit norm where the others of the space have it; left for `vclip embed --again`",
    "no_media": "rows with vectors but no media, as `vclip import features` makes them; this is no fault",
}
HARMLESS = ("no_media", "uncommitted", "unnamed")
EXAMPLES = 5


@dataclass
class Problem:
    """One kind of problem in the rows of one table."""

    kind: str  # a key of MEANINGS
    table: str
    count: int = 0
    examples: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)  # Lance's row ids, where the repair deletes the rows

    @property
    def meaning(self) -> str:
        """What the kind means, and what a repair does."""
        return MEANINGS[self.kind]

    def add(self, keys: pa.Array, rows: pa.Array) -> None:
        """Adds rows to the problem."""
        self.count += len(keys)
        self.examples += keys[: EXAMPLES - len(self.examples)].to_pylist()
        self.rows += rows.to_pylist()


@dataclass(frozen=True)
class Report:
    """The problems in one state of a store."""

    version: dict[str, int]  # table -> version that was checked
    problems: list[Problem]


def check(
    store: Store, decoders: Mapping[str, Decoder], advance: Advance = lambda table, rows: None, threads: int = 4
) -> Report:
    """Returns the problems in the newest state of a store; other jobs may write meanwhile.

    Args:
        store: the store.
        decoders: table -> decoder of its media; media of other tables are not read.
        advance: called with the rows of `faces` and `voices` that were checked.
        threads: number of threads that decode media.
    """
    snapshot = store.snapshot()
    at = {name: store.db.open_table(name).to_lance().checkout_version(of) for name, of in snapshot.version.items()}
    deletions = open_plans(store.db)
    found = [_half_deleted(deletions), *(_doubled(at, table) for table in at)]
    found += [_uncommitted(snapshot, table) for table in VIDEO_TABLES]
    found += [_unnamed(store, table) for table in VIDEO_TABLES]
    found += [_orphaned(at, table) for table in EMBEDDED]
    found += [_miscounted(at, {video for plan in deletions.values() for video in plan.shared})]
    with ThreadPoolExecutor(threads) as pool:
        for table in EMBEDDED:
            found += _contents(at[table], table, decoders.get(table), lambda n, table=table: advance(table, n), pool)
    return Report(snapshot.version, [problem for problem in found if problem.count])


def repair(store: Store, report: Report, sweep_older_than_s: float = 7 * DAY_S) -> dict[str, int]:
    """Deletes the rows that nobody can use, and corrects the counts of the ledger.

    Args:
        store: the store.
        report: as `check` returned it.
        sweep_older_than_s: as `older_than_s` of `sweep`.

    Returns:
        table -> rows deleted; `uncommitted`: rows of crashed commits deleted; `ledger`: ledger rows corrected.

    Raises:
        StoreError: the store has changed since the check, or a job is writing.
    """
    check_alone(store.db, "repair")
    if store.version() != report.version:
        raise StoreError("repair: the store has changed since it was checked; check it again when nobody writes")
    lost: dict[str, int] = {}
    for table in {problem.table: None for problem in report.problems}:
        rows = sorted({row for problem in report.problems if problem.table == table for row in problem.rows})
        for start in range(0, len(rows), _AT_ONCE):
            where = f"_rowid IN ({', '.join(map(str, rows[start : start + _AT_ONCE]))})"
            delete = functools.partial(store.db.open_table(table).to_lance().delete, where)
            retry(store.db, table, delete)
        lost[table] = len(rows)
    lost["uncommitted"] = sweep(store, sweep_older_than_s)
    lost["ledger"] = _correct_counts(store)
    return {name: count for name, count in lost.items() if count}


def _doubled(at: State, table: str) -> Problem:
    """Rows that share an id; in the tables of videos, an id and a run, for a crashed run may have left another."""
    key, found = KEYS[table], Problem("doubled", table)
    columns = [key, "run_id"] if table in VIDEO_TABLES else [key]
    rows = _rows(at, table, columns)
    counts = rows.group_by(columns).aggregate([([], "count_all"), ("_rowid", "min")])
    several = counts.filter(compute.greater(counts["count_all"], 1))
    if several.num_rows:
        copies = rows.join(several.select([*columns, "_rowid_min"]), columns, join_type="inner")
        later = copies.filter(compute.not_equal(copies["_rowid"], copies["_rowid_min"]))
        found.add(later[key], later["_rowid"])
    return found


def _uncommitted(snapshot: Snapshot, table: str) -> Problem:
    found = Problem("uncommitted", table)
    for run, videos in snapshot.uncommitted(table).items():
        found.count += len(videos)
        found.examples += [f"{video} of run {run}" for video in videos[: EXAMPLES - len(found.examples)]]
    return found


def _unnamed(store: Store, table: str) -> Problem:
    names = [name for files in fragments.unnamed(store.db, table).values() for name in files]
    names = fragments.never_named(store.db, table, names)
    return Problem("unnamed", table, len(names), names[:EXAMPLES])


def _orphaned(at: State, table: str) -> Problem:
    """Committed rows whose clip is missing, or of another video or run."""
    key, found = KEYS[table], Problem("orphaned", table)
    clips = _rows(at, "clips", LINKS).select(LINKS).group_by(list(LINKS)).aggregate([])
    lost = _rows(at, table, [key, *LINKS]).join(clips, list(LINKS), join_type="left anti")
    lost = lost.join(_rows(at, "videos", OWNERS).select(OWNERS), list(OWNERS), join_type="left semi").sort_by(key)
    found.add(lost[key], lost["_rowid"])
    return found


def _half_deleted(deletions: Mapping[str, DeletionPlan]) -> Problem:
    return Problem("half_deleted", "runs", len(deletions), list(deletions)[:EXAMPLES])


def _miscounted(at: State, half_deleted: set[str]) -> Problem:
    """Videos whose rows differ in number from the ledger's counts, but for those of half-done deletions."""
    wrong = [row for row in _recounted(at) if row["video_id"] not in half_deleted]
    return Problem("miscounted", "videos", len(wrong), [row["video_id"] for row in wrong[:EXAMPLES]])


def _recounted(at: State) -> list[dict]:
    """Returns video_id, run_id, n_clips, n_faces, n_voices as counted, for videos whose ledger row differs."""
    videos = _rows(at, "videos", [*OWNERS, "state", *(f"n_{table}" for table in VIDEO_TABLES)])
    videos = videos.filter(compute.not_equal(videos["state"], DELETED))
    for table in VIDEO_TABLES:
        counts = _rows(at, table, OWNERS).group_by(list(OWNERS)).aggregate([([], "count_all")])
        videos = videos.join(counts.rename_columns([*OWNERS, table]), list(OWNERS))
    differ = [compute.not_equal(videos[f"n_{table}"], compute.fill_null(videos[table], 0)) for table in VIDEO_TABLES]
    wrong = videos.filter(functools.reduce(compute.or_, differ)).sort_by("video_id").to_pylist()
    return [{name: row[name] for name in OWNERS} | {f"n_{t}": row[t] or 0 for t in VIDEO_TABLES} for row in wrong]


def _contents(
    rows: LanceDataset, table: str, decoder: Decoder | None, advance: Callable[[int], None], pool: ThreadPoolExecutor
) -> list[Problem]:
    """Problems in the vectors and media of one table."""
    key, media = KEYS[table], MEDIA[table]
    spaces = {schema.vector_column(space): space for space in schema.spaces_of(rows.schema)}
    found = {kind: Problem(kind, table) for kind in ("not_finite", "not_unit", "no_media", "unreadable")}
    unit: dict[str, bool] = {}
    columns = [key, *spaces, *([media] if decoder else [])]
    batch_size = BATCH if decoder else WITHOUT_MEDIA
    for batch in rows.to_batches(
        columns=columns, with_row_id=True, batch_size=batch_size, batch_readahead=4, fragment_readahead=1
    ):
        bad = np.zeros(batch.num_rows, bool)
        for column in spaces:
            vectors = matrix(pa.chunked_array([batch[column]]))
            finite = np.asarray(np.isfinite(vectors).all(axis=1))
            near = np.abs(np.linalg.norm(np.where(finite[:, None], vectors, 0), axis=1) - 1) < UNIT
            # Not every encoder gives unit vectors: the majority of the first rows decides.
            unit.setdefault(column, bool(near[finite].mean() > 0.5) if finite.any() else False)
            _note(found["not_finite"], batch, key, ~finite & ~bad)
            bad |= ~finite
            if unit[column]:
                _note(found["not_unit"], batch, key, finite & ~near)
        if decoder:
            files = batch[media].to_pylist()
            empty = np.array([not content for content in files], bool)
            reasons = list(pool.map(lambda content: decoder(content) if content else "", files))
            _note(found["no_media"], batch, key, empty)
            _note(found["unreadable"], batch, key, np.array([bool(reason) for reason in reasons], bool) & ~bad)
        advance(batch.num_rows)
    return [problem for problem in found.values() if problem.count]


def _note(problem: Problem, batch: pa.RecordBatch, key: str, mask: np.ndarray) -> None:
    if mask.any():
        rows = batch.filter(pa.array(mask))
        problem.add(rows[key], rows["_rowid"] if problem.kind in ("not_finite", "unreadable") else pa.array([]))


def _rows(at: State, table: str, columns: Sequence[str]) -> pa.Table:
    return at[table].to_table(columns=list(columns), with_row_id=True)


def _correct_counts(store: Store) -> int:
    """Corrects the ledger's counts; a video without a clip is removed from it, so that it is extracted again."""
    db = store.db
    wrong = {row["video_id"]: row for row in _recounted({name: db.open_table(name).to_lance() for name in TABLES})}
    empty = [video for video, row in wrong.items() if not row["n_clips"]]

    def change(video: str, old: Row | None) -> Row | None:
        return {**old, **wrong[video]} if old and old["run_id"] == wrong[video]["run_id"] else None

    miscounted = [video for video in wrong if video not in empty]
    retry(db, "the ledger", functools.partial(ledger.swap, db, miscounted, change))
    for video in empty:
        retry(db, "the ledger", functools.partial(ledger.delete, db, video, wrong[video]["run_id"]))
    return len(wrong)
