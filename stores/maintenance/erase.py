"""Deleted rows until their bytes are gone from fragments, old versions, indices, tags and unfinished embeddings."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from lancedb.db import DBConnection

from stores import runs
from stores.errors import StoreError
from stores.maintenance import compact
from stores.retry import retry
from stores.schema import KEYS, TABLES
from stores.sql import in_lists

SCRATCH = "embedding_"  # prefix of the tables of unfinished embeddings


def erase(db: DBConnection, deleted: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Frees the bytes of deleted rows; returns the names of the `tags` and the `indices` that had to go.

    Nobody else may write meanwhile; and who reads an old version loses it.

    Args:
        db: the connection.
        deleted: table -> ids of the rows.
    """
    gone: dict[str, list[str]] = {"tags": [], "indices": []}
    for name in [name for name in db.list_tables(limit=1000).tables if name.startswith(SCRATCH)]:
        db.drop_table(name)
    tables = [*TABLES[1:], TABLES[0]]  # `videos` last: a tag counts while it is there
    for name in tables:
        gone["tags"] += _drop_tags(db, name, deleted.get(name, ()))
        if deleted.get(name):
            for index in db.open_table(name).list_indices():
                db.open_table(name).drop_index(index.name)
                gone["indices"].append(f"{name}.{index.name}")
        retry(f"the compaction of {name}", lambda name=name: compact.merge_fragments(db, name))
        # The newest version tells by which SQL rows were deleted, unless another one follows.
        retry(name, lambda name=name: _new_version(db, name))
        compact.prune(db, name, 0, nobody_writes=name != "runs")  # this very run's lease is renewed there
    return {kind: sorted(set(names)) for kind, names in gone.items()}


def check_alone(db: DBConnection, what: str) -> None:
    """Raises StoreError if a job is writing."""
    for run, age_s in runs.alive(db).items():
        raise StoreError(
            f"{what}: run {run} may be writing (last heard of {age_s:.0f} s ago); wait until it has ended, "
            f"or, if it was killed, {runs.LEASE_S / 60:.0f} min"
        )


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


def _new_version(db: DBConnection, table: str) -> None:
    db.open_table(table).to_lance().update_config(
        {"vclip.erased_at": datetime.now(UTC).isoformat(timespec="seconds")}
    )
