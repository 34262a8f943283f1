"""Explicit commands on a store at rest: sweep what no reader sees, compact, and tell what is there.

Compaction rewrites whole fragments, media included. A fragment that has reached the target size and lost no row is
left alone, so a moderate target bounds what later compactions write again.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lancedb.db import DBConnection

from stores import runs, schemas
from stores.commit import remove
from stores.errors import StoreError, reason
from stores.persistence import persist
from stores.schemas import EMBEDDED, MEDIA, TABLES, VOUCHED
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
    """Deletes unvouched rows of runs that are over and returns their number; as `Store.sweep` says."""
    suspects = {run for table in VOUCHED for run in Snapshot(db).unvouched(table)}
    over = runs.over(db, suspects, older_than_s) if suspects else set()
    snapshot = Snapshot(db)  # newer: what those runs have vouched for before they were over
    removed = 0
    for run in sorted(over):
        videos = {video for table in VOUCHED for video in snapshot.unvouched(table).get(run, ())}
        removed += persist("the sweep", lambda run=run, videos=videos: remove(db, dict.fromkeys(sorted(videos), run)))
    return removed


def compact(db: DBConnection, keep_versions_s: float) -> dict[str, Compacted]:
    """Merges small fragments, drops the bytes of deleted rows and old versions; as `Store.compact` says."""
    done = {}
    for name in TABLES:
        dataset = db.open_table(name).to_lance()
        # Any deleted row counts: `optimize` would leave up to a tenth of a fragment's deleted faces on disk.
        try:
            metrics = dataset.optimize.compact_files(
                target_rows_per_fragment=_MEDIA_ROWS if name in MEDIA else _ROWS, materialize_deletions_threshold=0.0
            )
        except OSError as error:  # pylance 14 does not raise its CommitConflictError here
            raise StoreError(f"{name}: not compacted ({reason(error)}); compact again when nobody commits") from None
        removed = dataset.cleanup_old_versions(timedelta(seconds=keep_versions_s))
        done[name] = Compacted(metrics.fragments_removed, metrics.fragments_added, removed.bytes_removed)
    return done


def info(uri: str, db: DBConnection) -> dict[str, Any]:
    """Returns what is in the store; as `Store.info` says."""
    snapshot = Snapshot(db)
    states = snapshot.query("videos", ["state"])["state"].value_counts().to_pylist()
    return {
        "uri": uri,
        "schema_version": schemas.version_of(snapshot.schema("videos")),
        "spaces": {table: schemas.spaces_of(snapshot.schema(table)) for table in EMBEDDED},
        "version": snapshot.version,
        "rows": {table: snapshot.count(table) for table in TABLES},
        "bytes": {table: db.open_table(table).stats()["total_bytes"] for table in TABLES},
        "states": {entry["values"]: entry["counts"] for entry in states},
    }
