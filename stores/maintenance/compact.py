"""Explicit commands on a store at rest: sweep what no reader sees, compact, and tell what is there.

Compaction rewrites whole fragments, media included. A fragment that has reached the target size and lost no row is
left alone, so a moderate target bounds what later compactions write again.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lance.optimize import CompactionMetrics
from lancedb.db import DBConnection

from stores import runs, schema
from stores.commit import remove
from stores.retry import retry
from stores.schema import EMBEDDED, MEDIA, TABLES, VIDEO_TABLES
from stores.snapshot import Snapshot

_ROWS = 1 << 20  # rows to a fragment, Lance's default
_MEDIA_ROWS = 1 << 14  # about 200 MB of face crops


@dataclass(frozen=True)
class Compacted:
    """What one table's compaction did."""

    fragments_removed: int
    fragments_added: int
    bytes_removed: int


def sweep(db: DBConnection, older_than_s: float) -> int:
    """Deletes uncommitted rows of runs that are over and returns their number; as `Store.sweep` says."""
    suspects = {run for table in VIDEO_TABLES for run in Snapshot(db).uncommitted(table)}
    over = runs.over(db, suspects, older_than_s) if suspects else set()
    snapshot = Snapshot(db)  # newer: what those runs have vouched for before they were over
    removed = 0
    for run in sorted(over):
        videos = {video for table in VIDEO_TABLES for video in snapshot.uncommitted(table).get(run, ())}
        removed += retry("the sweep", lambda run=run, videos=videos: remove(db, dict.fromkeys(sorted(videos), run)))
    return removed


def compact(db: DBConnection, keep_versions_s: float) -> dict[str, Compacted]:
    """Merges small fragments, drops the bytes of deleted rows and old versions; as `Store.compact` says."""
    done = {}
    for name in TABLES:
        metrics = retry(f"the compaction of {name}", lambda name=name: merge_fragments(db, name))
        removed = prune(db, name, keep_versions_s)
        done[name] = Compacted(metrics.fragments_removed, metrics.fragments_added, removed)
    return done


def merge_fragments(db: DBConnection, name: str) -> CompactionMetrics:
    """Rewrites a table's small fragments, and those that have lost a row, without it."""
    # Any deleted row counts: `optimize` would leave up to a tenth of a fragment's deleted faces on disk.
    return (
        db.open_table(name)
        .to_lance()
        .optimize.compact_files(
            target_rows_per_fragment=_MEDIA_ROWS if name in MEDIA else _ROWS, materialize_deletions_threshold=0.0
        )
    )


def prune(db: DBConnection, name: str, keep_versions_s: float, nobody_writes: bool = False) -> int:
    """Removes a table's versions that are older and have no tag, and what only they need; returns how many bytes.

    Args:
        db: the connection.
        name: of the table.
        keep_versions_s: age up to which versions stay.
        nobody_writes: files that no version names go too. They may be of a commit under way, or of a dead one.
    """
    removed = (
        db.open_table(name)
        .to_lance()
        .cleanup_old_versions(
            timedelta(seconds=keep_versions_s), delete_unverified=nobody_writes, error_if_tagged_old_versions=False
        )
    )
    return removed.bytes_removed


def info(uri: str, db: DBConnection) -> dict[str, Any]:
    """Returns what is in the store; as `Store.info` says."""
    snapshot = Snapshot(db)
    states = snapshot.query("videos", ["state"])["state"].value_counts().to_pylist()
    return {
        "uri": uri,
        "schema_version": schema.version_of(snapshot.schema("videos")),
        "spaces": {table: schema.spaces_of(snapshot.schema(table)) for table in EMBEDDED},
        "version": snapshot.version,
        "rows": {table: snapshot.count(table) for table in TABLES},
        "bytes": {table: db.open_table(table).stats()["total_bytes"] for table in TABLES},
        "states": {entry["values"]: entry["counts"] for entry in states},
    }
