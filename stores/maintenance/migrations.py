"""Migrate a store to the current schema version, one step for each version.

A step takes the open connection and changes the tables. It must be repeatable, because the version is raised only
after it has ended. Steps are registered under the version that they start from:

    @step(1)
    def add_a_column(db: DBConnection) -> None: ...
"""

from collections.abc import Callable, Mapping
from functools import partial

from lancedb.db import DBConnection

from stores import schema
from stores.errors import StoreError
from stores.retry import retry

Step = Callable[[DBConnection], None]
STEPS: dict[int, Step] = {}


def step(version: int) -> Callable[[Step], Step]:
    """Registers the function that takes a store from `version` to `version + 1`."""

    def register(function: Step) -> Step:
        STEPS[version] = function
        return function

    return register


def check(uri: str, found: int | None, wanted: int = schema.SCHEMA_VERSION) -> None:
    """Raises StoreError unless the store has the schema version that this code reads and writes."""
    if found is None:
        raise StoreError(f"store {uri}: found tables without a schema version, expected a vclip store")
    if found > wanted:
        raise StoreError(f"store {uri}: found schema version {found}, this vclip knows {wanted}; use a newer vclip")
    if found < wanted:
        raise StoreError(
            f"store {uri}: found schema version {found}, expected {wanted}; run `vclip migrate --store {uri}`"
        )


def run(
    db: DBConnection, uri: str, wanted: int = schema.SCHEMA_VERSION, steps: Mapping[int, Step] | None = None
) -> list[int]:
    """Migrates a store and returns the schema versions that it passed, the old one first.

    Args:
        db: the connection.
        uri: the store's address, for messages.
        wanted: the schema version to reach.
        steps: version -> the step from it to the next; by default those registered in this module.

    Raises:
        StoreError: the store is newer than `wanted`, a step is missing, or the disk is full.
    """
    steps = STEPS if steps is None else steps
    found = schema.version_of(db.open_table("videos").schema)
    if found is None or found >= wanted:
        check(uri, found, wanted)
        return [wanted]
    passed = [found]
    for version in range(found, wanted):
        if version not in steps:
            raise StoreError(f"store {uri}: no migration from schema version {version}; re-ingest into a new store")
        retry(db, "the migration", partial(steps[version], db))
        retry(db, "the migration", partial(_mark, db, version + 1))
        passed.append(version + 1)
    return passed


@step(1)
def _add_runs_and_revisions(db: DBConnection) -> None:
    """`runs`, and a `revision` of each ledger row."""
    _create(db, "runs")
    _add_columns(db, "videos", {"revision": "cast(1 as bigint)"})


@step(2)
def _add_edits(db: DBConnection) -> None:
    _create(db, "edits")


@step(3)
def _add_kept_voices(db: DBConnection) -> None:
    """The name and the provenance of a voice that was kept; the rows so far are known speakers."""
    _add_columns(db, "speakers", {"name": "cast(NULL as string)", "provenance": "'{}'"})


@step(4)
def _add_measures(db: DBConnection) -> None:
    """What extraction measures of a clip and of its speech, and the language of generated speech; unknown so far."""
    of_clips = ("av_offset_s", "av_confidence", "dubbed", "min_face_px", "mean_face_px")
    of_heads = ("yaw_deg", "pitch_deg", "roll_deg", "head_motion")
    _add_columns(db, "clips", dict.fromkeys([*of_clips, *of_heads], "cast(NULL as float)"))
    _add_columns(db, "voices", {"bandwidth_hz": "cast(NULL as float)"})
    _add_columns(db, "generations", {"language": "cast(NULL as string)"})


def _add_columns(db: DBConnection, table: str, columns: Mapping[str, str]) -> None:
    """Adds the columns that the table lacks; each has an SQL expression for the rows so far."""
    rows = db.open_table(table)
    if missing := {name: value for name, value in columns.items() if name not in rows.schema.names}:
        rows.add_columns(missing)


def _create(db: DBConnection, table: str) -> None:
    """Creates a table, unless it is there; a creation that was killed leaves a bare folder, which is none."""
    try:
        db.open_table(table)
    except (ValueError, RuntimeError) as error:
        if "was not found" not in str(error):
            raise
        db.create_table(table, schema=schema.schema(table))


def _mark(db: DBConnection, version: int) -> None:
    # The version of `videos` is that of the store, so it is written last.
    there = db.list_tables(limit=100).tables
    for table in (name for name in reversed(schema.TABLES) if name in there):
        dataset = db.open_table(table).to_lance()
        dataset.update_schema_metadata({schema.VERSION_KEY.decode(): str(version)})
