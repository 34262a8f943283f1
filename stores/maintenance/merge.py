"""The rows of one store into another. Videos go through the same commit as those of an ingest, so a merge that was
killed leaves whole videos, and goes on where it stopped when it is run again."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from lance import LanceDataset
from lancedb.db import DBConnection

from stores import commit, ids, ledger, schema
from stores.errors import StoreError
from stores.maintenance.delete import DELETED, OTHERS
from stores.pairs import matrix
from stores.retry import retry
from stores.rows import VideoRows
from stores.schema import EMBEDDED, KEYS, VIDEO_TABLES
from stores.snapshot import Snapshot
from stores.sql import rows_of

VIDEOS = 256  # in one commit, at most
ROWS = 4096  # faces and voices in one commit, about 100 MB of media, unless one video has more


@dataclass
class Merged:
    """What a merge did with the other store's videos."""

    added: int = 0
    alike: int = 0  # here already, done in the same way
    kept: list[str] = field(default_factory=list)  # here already, otherwise configured: these stay as they are here
    replaced: list[str] = field(default_factory=list)  # failed here, and not there
    deleted: list[str] = field(default_factory=list)  # deleted here on request: they do not come back
    deleted_there: list[str] = field(default_factory=list)  # deleted there on request, but still here
    rows: dict[str, int] = field(default_factory=dict)  # rows of other tables that were added


def merge(
    db: DBConnection,
    other_db: DBConnection,
    other: Snapshot,
    run_id: str,
    advance: Callable[[int], None] = lambda videos: None,
) -> Merged:
    """Adds what another store has; of a video that both have, the one that is here stays, unless it failed.

    Args:
        db: of the store that is written.
        other_db, other: the store that is read, and its state.
        run_id: of the rows that are added.
        advance: is told of videos that were looked at.

    Raises:
        StoreError: the stores hold vectors of different spaces.
    """
    spaces = {table: schema.spaces_of(db.open_table(table).schema) for table in EMBEDDED}
    for table, mine in spaces.items():
        theirs = schema.spaces_of(other.schema(table))
        if theirs != mine:
            raise StoreError(
                f"merge: {table} here are vectors of {', '.join(mine)}, there of {', '.join(theirs)}; "
                "expected the same spaces: `vclip embed` gives a store another one"
            )
    at = {name: other_db.open_table(name).to_lance().checkout_version(of) for name, of in other.version.items()}
    done = Merged()
    for videos in _batches(at["videos"]):
        _merge_videos(db, spaces, at, videos, run_id, done)
        advance(len(videos))
    done.deleted_there = _deleted_there(db, other)
    at["runs"] = other_db.open_table("runs").to_lance()
    for table in (*OTHERS, "runs"):
        if added := _merge_rows(db, at[table], table):
            done.rows[table] = added
    return done


def _merge_videos(
    db: DBConnection,
    spaces: schema.Spaces,
    at: Mapping[str, LanceDataset],
    videos: list[dict],
    run: str,
    done: Merged,
) -> None:
    stones = {row["video_id"]: row for row in videos if row["state"] == DELETED}
    theirs = {row["video_id"]: row for row in videos if row["state"] != DELETED}
    here = ledger.ledger_rows(db, theirs)
    buried = ledger.buried(db, theirs)
    done.deleted += sorted(buried)
    take, names = [], {}
    for video, row in theirs.items():
        mine = here.get(video)
        if video in buried:
            continue
        if mine and (mine["state"] != "failed" or row["state"] == "failed"):
            names[video] = row["uris"] or []
            if mine["config_hash"] == row["config_hash"]:
                done.alike += 1
            else:
                done.kept.append(video)
            continue
        take.append(row)
        if mine:
            done.replaced.append(video)
        else:
            done.added += 1
    if take:
        commit.commit(db, spaces, list(_video_rows(at, spaces, take, run)))
    if any(names.values()):
        commit.add_uris(db, names)
    if stones:
        retry("the ledger", lambda: ledger.swap(db, stones, lambda name, old: None if old else stones[name]))


def _video_rows(
    at: Mapping[str, LanceDataset], spaces: schema.Spaces, videos: Sequence[dict], run_id: str
) -> Iterator[VideoRows]:
    """Yields the videos with all their rows, as a job would bring them."""
    by_run: dict[str, list[str]] = {}
    for row in videos:
        by_run.setdefault(row["run_id"], []).append(row["video_id"])
    found: dict[str, VideoRows] = {}
    for row in videos:
        video = {name: value for name, value in row.items() if name != "revision"}
        found[row["video_id"]] = VideoRows(
            video | {"run_id": run_id, "funnel": json.loads(row["funnel"])}, clips=[], faces=[], voices=[]
        )
    for table in VIDEO_TABLES:
        columns = {schema.vector_column(space): space for space in spaces.get(table, ())}
        rows = at[table].to_table(filter=rows_of(by_run))
        vectors = {space: matrix(rows[column]) for column, space in columns.items()}
        for place, row in enumerate(rows.drop_columns([*columns, "run_id"]).to_pylist()):
            if table == "clips":
                row["labels"] = json.loads(row["labels"])
            else:
                row["vectors"] = {space: of[place] for space, of in vectors.items()}
            getattr(found[row.pop("video_id")], table).append(row)
    for rows in found.values():
        yield replace(rows, video={name: value for name, value in rows.video.items() if not name.startswith("n_")})


def _batches(videos: LanceDataset) -> Iterator[list[dict[str, Any]]]:
    """Yields ledger rows, as many as one commit takes."""
    batch, size = [], 0
    for part in videos.to_batches(batch_size=VIDEOS):
        for row in part.to_pylist():
            count = row["n_faces"] + row["n_voices"]
            if batch and (len(batch) == VIDEOS or size + count > ROWS):
                yield batch
                batch, size = [], 0
            batch.append(row)
            size += count
    if batch:
        yield batch


def _merge_rows(db: DBConnection, rows: LanceDataset, table: str) -> int:
    """Adds the rows of a table whose ids are not here; of runs, only those that are over."""
    key, added = KEYS[table], 0
    mine = db.open_table(table).to_lance().to_table(columns=[key])[key]
    for batch in rows.to_batches(filter="finished_at IS NOT NULL" if table == "runs" else None):
        new = pa.Table.from_batches([batch]).filter(pc.invert(pc.is_in(batch[key], mine)))
        if new.num_rows:  # adding nothing would still write a version
            merging = db.open_table(table).merge_insert(key).when_not_matched_insert_all()
            added += retry(table, lambda merging=merging, new=new: merging.execute(new)).num_inserted_rows
    return added


def _deleted_there(db: DBConnection, other: Snapshot) -> list[str]:
    """Returns the videos that are here, but were deleted from the other store on request."""
    stones = {row["video_id"] for row in other.query("videos", ["video_id"], f"state = '{DELETED}'").to_pylist()}
    if not stones:
        return []
    mine = db.open_table("videos").search().select(["video_id"]).to_arrow()["video_id"].to_pylist()
    return [video for video in mine if ids.tombstone(video) in stones]
