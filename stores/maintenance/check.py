"""What is wrong in a store, found in one pass over each table, and what mends it.

Ids stay in memory (about 150 bytes a row); vectors and media pass through it. All rows are looked at, also those that
no reader sees.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lance import LanceDataset
from lancedb.db import DBConnection

from stores import schema
from stores.maintenance.delete import DELETED
from stores.pairs import matrix
from stores.schema import EMBEDDED, KEYS, MEDIA, VIDEO_TABLES
from stores.snapshot import Snapshot

BATCH = 1 << 8  # rows with their media, 30 MB of speech; Lance reads some batches ahead
WITHOUT_MEDIA = 1 << 13  # rows
UNIT = 1e-3  # what the norm of a unit vector may miss
OWNERS = ("video_id", "run_id")
LINKS = ("clip_id", *OWNERS)

State = Mapping[str, LanceDataset]  # table -> the version of it that is looked at

# Returns why a file cannot be read, "" if it can. Called by several threads.
Reads = Callable[[bytes], str]

FATES = {
    "uncommitted": "videos whose rows no reader sees: of crashed commits, which are swept, or of one under way",
    "doubled": "rows with an id that another row has; all but one are deleted",
    "orphaned": "faces and voices without their clip; they are deleted",
    "miscounted": "videos whose ledger row counts other rows than there are; it is set right, or, where no clip is "
    "left, deleted, so that the next ingest does the video again",
    "unreadable": "media that cannot be decoded; their rows are deleted",
    "not_finite": "vectors with NaN or infinite values; their rows are deleted",
    "not_unit": "vectors without unit norm where the others of the space have it; left: `vclip embed --again` mends",
    "no_media": "rows with vectors alone, as `import features` makes them; nothing is wrong with them",
}
HARMLESS = ("no_media", "uncommitted")
EXAMPLES = 5


@dataclass
class Problem:
    """One thing that is wrong with rows of one table."""

    kind: str  # of FATES
    table: str
    count: int = 0
    examples: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)  # Lance's row ids, where the repair deletes rows

    def add(self, keys: pa.Array, rows: pa.Array) -> None:
        """Counts more rows."""
        self.count += len(keys)
        self.examples += keys[: EXAMPLES - len(self.examples)].to_pylist()
        self.rows += rows.to_pylist()


Advance = Callable[[str, int], None]  # table, rows


@dataclass(frozen=True)
class Report:
    """What is wrong in one state of a store."""

    version: dict[str, int]  # table -> version that was looked at
    problems: list[Problem]


def check(
    db: DBConnection, reads: Mapping[str, Reads], advance: Advance = lambda table, rows: None, threads: int = 4
) -> Report:
    """Returns what is wrong in the newest state, whoever writes meanwhile.

    Args:
        db: the connection.
        reads: table -> what tries to read its media; media of other tables are not read.
        advance: is told of rows of `faces` and `voices` that were looked at.
        threads: that read media.
    """
    snapshot = Snapshot(db)
    at = {name: db.open_table(name).to_lance().checkout_version(of) for name, of in snapshot.version.items()}
    found = [_doubled(at, table) for table in at]
    found += [_uncommitted(snapshot, table) for table in VIDEO_TABLES]
    found += [_orphaned(at, table) for table in EMBEDDED]
    found += [_miscounted(at)]
    with ThreadPoolExecutor(threads) as pool:
        for table in EMBEDDED:
            found += _contents(at[table], table, reads.get(table), lambda n, table=table: advance(table, n), pool)
    return Report(snapshot.version, [problem for problem in found if problem.count])


def _doubled(at: State, table: str) -> Problem:
    """Rows of one id; in tables of media, of one id and run, for a crashed run may have left another."""
    key, found = KEYS[table], Problem("doubled", table)
    columns = [key, "run_id"] if table in VIDEO_TABLES else [key]
    rows = _rows(at, table, columns)
    counts = rows.group_by(columns).aggregate([([], "count_all"), ("_rowid", "min")])
    several = counts.filter(pc.greater(counts["count_all"], 1))
    if several.num_rows:
        mine = rows.join(several.select([*columns, "_rowid_min"]), columns, join_type="inner")
        later = mine.filter(pc.not_equal(mine["_rowid"], mine["_rowid_min"]))
        found.add(later[key], later["_rowid"])
    return found


def _uncommitted(snapshot: Snapshot, table: str) -> Problem:
    found = Problem("uncommitted", table)
    for run, videos in snapshot.uncommitted(table).items():
        found.count += len(videos)
        found.examples += [f"{video} of run {run}" for video in videos[: EXAMPLES - len(found.examples)]]
    return found


def _orphaned(at: State, table: str) -> Problem:
    """Rows that the ledger vouches for whose clip is not there, or is of another video or run."""
    key, found = KEYS[table], Problem("orphaned", table)
    clips = _rows(at, "clips", LINKS).select(LINKS).group_by(list(LINKS)).aggregate([])
    lost = _rows(at, table, [key, *LINKS]).join(clips, list(LINKS), join_type="left anti")
    lost = lost.join(_rows(at, "videos", OWNERS).select(OWNERS), list(OWNERS), join_type="left semi").sort_by(key)
    found.add(lost[key], lost["_rowid"])
    return found


def _miscounted(at: State) -> Problem:
    """Videos that have not the rows that the ledger says."""
    wrong = recounted(at)
    return Problem("miscounted", "videos", len(wrong), [row["video_id"] for row in wrong[:EXAMPLES]])


def recounted(at: State) -> list[dict]:
    """Returns video_id, run_id, n_clips, n_faces, n_voices as counted, of videos whose ledger row says otherwise."""
    videos = _rows(at, "videos", [*OWNERS, "state", *(f"n_{table}" for table in VIDEO_TABLES)])
    videos = videos.filter(pc.not_equal(videos["state"], DELETED))
    for table in VIDEO_TABLES:
        counts = _rows(at, table, OWNERS).group_by(list(OWNERS)).aggregate([([], "count_all")])
        videos = videos.join(counts.rename_columns([*OWNERS, table]), list(OWNERS))
    differ = [pc.not_equal(videos[f"n_{table}"], pc.fill_null(videos[table], 0)) for table in VIDEO_TABLES]
    wrong = videos.filter(functools.reduce(pc.or_, differ)).sort_by("video_id").to_pylist()
    return [{name: row[name] for name in OWNERS} | {f"n_{t}": row[t] or 0 for t in VIDEO_TABLES} for row in wrong]


def _contents(
    rows: LanceDataset, table: str, reads: Reads | None, advance: Callable[[int], None], pool: ThreadPoolExecutor
) -> list[Problem]:
    """Looks at vectors, and reads media."""
    key, media = KEYS[table], MEDIA[table]
    spaces = {schema.vector_column(space): space for space in schema.spaces_of(rows.schema)}
    found = {kind: Problem(kind, table) for kind in ("not_finite", "not_unit", "no_media", "unreadable")}
    unit: dict[str, bool] = {}
    columns = [key, *spaces, *([media] if reads else [])]
    reading = {"batch_size": BATCH if reads else WITHOUT_MEDIA, "batch_readahead": 4, "fragment_readahead": 1}
    for batch in rows.to_batches(columns=columns, with_row_id=True, **reading):
        bad = np.zeros(batch.num_rows, bool)
        for column in spaces:
            vectors = matrix(pa.chunked_array([batch[column]]))
            finite = np.isfinite(vectors).all(axis=1)
            near = np.abs(np.linalg.norm(np.where(finite[:, None], vectors, 0), axis=1) - 1) < UNIT
            # Not every encoder gives unit vectors: most of the first rows tell.
            unit.setdefault(column, bool(near[finite].mean() > 0.5) if finite.any() else False)
            _note(found["not_finite"], batch, key, ~finite & ~bad)
            bad |= ~finite
            if unit[column]:
                _note(found["not_unit"], batch, key, finite & ~near)
        if reads:
            files = batch[media].to_pylist()
            empty = np.array([not content for content in files], bool)
            reasons = list(pool.map(lambda content: reads(content) if content else "", files))
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
