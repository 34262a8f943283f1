"""Merge one store into another.

Videos go through the same commit as those of an ingest, so a merge that was killed leaves whole videos, and continues
where it stopped when it is run again.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pyarrow as pa
from lance import LanceDataset
from lancedb.db import DBConnection

from stores import commit, ids, ledger, schema
from stores.errors import StoreError
from stores.maintenance.deletion_plan import OTHERS
from stores.pairs import matrix
from stores.retry import retry
from stores.rows import Filled, VideoRows
from stores.schema import DELETED, EMBEDDED, KEYS, VIDEO_TABLES
from stores.snapshot import Snapshot
from stores.sql import rows_of
from stores.store import Store

VIDEOS = 256  # in one commit, at most
ROWS = 4096  # faces and voices in one commit, about 100 MB of media, unless one video has more


@dataclass
class Merged:
    """What a merge did with the other store's videos, and how many of its other rows it added."""

    added: int = 0
    alike: int = 0  # here already, under the same configuration
    kept: list[str] = field(default_factory=list)  # here already under another configuration, and left as they are
    replaced: list[str] = field(default_factory=list)  # failed here, but not there
    deleted: list[str] = field(default_factory=list)  # deleted here on request, and not added again
    deleted_there: list[str] = field(default_factory=list)  # deleted there on request, but still here
    rows: dict[str, int] = field(default_factory=dict)  # other table -> rows added
    null: list[str] = field(default_factory=list)  # columns here of which the rows added have no values
    left: list[str] = field(default_factory=list)  # columns there whose values were not added


def merge(store: Store, other: Store, run_id: str, advance: Callable[[int], None] = lambda videos: None) -> Merged:
    """Adds the rows of another store; of a video in both, this store's rows stay, unless the video failed here.

    Args:
        store: the store that is written.
        other: the store that is read; it must hold the same spaces.
        run_id: of the rows that are added, see `Store.run`.
        advance: called with the number of videos that were compared.

    Raises:
        StoreError: the stores hold vectors of different spaces.
    """
    db, snapshot = store.db, other.snapshot()
    spaces = {table: store.spaces(table) for table in EMBEDDED}
    for table, mine in spaces.items():
        theirs = schema.spaces_of(snapshot.schema(table))
        if theirs != mine:
            raise StoreError(
                f"merge: {table} here are vectors of {', '.join(mine)}, there of {', '.join(theirs)}; "
                "expected the same spaces: `vclip embed` gives a store another one"
            )
    at = {name: other.db.open_table(name).to_lance().checkout_version(of) for name, of in snapshot.version.items()}
    done, filled = Merged(), dict[str, list[pa.Field]]()
    for table in EMBEDDED:
        theirs = schema.filled_of(snapshot.schema(table))
        retry(db, table, partial(_add_columns, db, table, list(theirs.values())))
        mine = schema.filled_of(db.open_table(table).schema)
        filled[table] = [of for name, of in mine.items() if of.equals(theirs.get(name), check_metadata=True)]
        both = {of.name for of in filled[table]}
        done.null += [f"{table}.{name}" for name in mine if name not in both]
        done.left += [f"{table}.{name}" for name in theirs if name not in both]
    # Columns of clips are computed from a whole store, so the values of one do not fit another.
    done.null += [f"clips.{name}" for name in schema.filled_of(db.open_table("clips").schema)]
    done.left += [f"clips.{name}" for name in schema.filled_of(snapshot.schema("clips"))]
    for videos in _batches(at["videos"]):
        _merge_videos(db, spaces, at, videos, run_id, done, filled)
        advance(len(videos))
    done.deleted_there = _deleted_there(db, snapshot)
    at["runs"] = other.db.open_table("runs").to_lance()
    for table in (*OTHERS, "runs"):
        if added := _merge_rows(db, at[table], table):
            done.rows[table] = added
    return done


def _add_columns(db: DBConnection, table: str, fields: Sequence[pa.Field]) -> None:
    """Adds the columns that the table lacks, null in the rows that it has."""
    rows = db.open_table(table).to_lance()
    if missing := [field for field in fields if field.name not in rows.schema.names]:
        rows.add_columns(pa.schema(missing))


def _merge_videos(
    db: DBConnection,
    spaces: schema.Spaces,
    at: Mapping[str, LanceDataset],
    videos: list[dict],
    run: str,
    done: Merged,
    filled: Filled,
) -> None:
    tombstones = {row["video_id"]: row for row in videos if row["state"] == DELETED}
    theirs = {row["video_id"]: row for row in videos if row["state"] != DELETED}
    here = ledger.ledger_rows(db, theirs)
    deleted = ledger.deleted(db, theirs)
    done.deleted += sorted(deleted)
    take, names = [], {}
    for video, row in theirs.items():
        mine = here.get(video)
        if video in deleted:
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
        commit.commit(db, spaces, list(_video_rows(at, spaces, take, run, filled)), filled=filled)
    if any(names.values()):
        commit.add_uris(db, names)
    if tombstones:
        add = partial(ledger.swap, db, tombstones, lambda name, old: None if old else tombstones[name])
        retry(db, "the ledger", add)


def _video_rows(
    at: Mapping[str, LanceDataset], spaces: schema.Spaces, videos: Sequence[dict], run_id: str, filled: Filled
) -> Iterator[VideoRows]:
    """Yields the videos with all their rows, as an ingest would commit them."""
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
        left = set(schema.filled_of(rows.schema)) - {field.name for field in filled.get(table, ())}
        for place, row in enumerate(rows.drop_columns([*columns, "run_id", *left]).to_pylist()):
            if table == "clips":
                row["labels"] = json.loads(row["labels"])
            else:
                row["vectors"] = {space: of[place] for space, of in vectors.items()}
            getattr(found[row.pop("video_id")], table).append(row)
    for rows in found.values():
        yield replace(rows, video={name: value for name, value in rows.video.items() if not name.startswith("n_")})


def _batches(videos: LanceDataset) -> Iterator[list[dict[str, Any]]]:
    """Yields ledger rows in batches for one commit each."""
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
    """Adds the rows of a table whose ids are not here; only finished runs. Returns the number of rows added."""
    key, added = KEYS[table], 0
    mine = set(db.open_table(table).to_lance().to_table(columns=[key])[key].to_pylist())
    for batch in rows.to_batches(filter="finished_at IS NOT NULL" if table == "runs" else None):
        is_new = pa.array([name not in mine for name in batch[key].to_pylist()], pa.bool_())
        new = pa.Table.from_batches([batch]).filter(is_new)
        if new.num_rows:  # adding nothing would still write a version
            merging = db.open_table(table).merge_insert(key).when_not_matched_insert_all()
            added += retry(db, table, partial(merging.execute, new)).num_inserted_rows
    return added


def _deleted_there(db: DBConnection, other: Snapshot) -> list[str]:
    """Returns the videos that are in this store, but were deleted from the other one on request."""
    tombstones = {row["video_id"] for row in other.query("videos", ["video_id"], f"state = '{DELETED}'").to_pylist()}
    if not tombstones:
        return []
    mine = db.open_table("videos").search().select(["video_id"]).to_arrow()["video_id"].to_pylist()
    return [video for video in mine if ids.tombstone(video) in tombstones]
