"""Where the rows of a deletion plan are held: rows, data files, tags and indices of a store."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
from lance import LanceDataset
from lancedb.db import DBConnection

from stores import schema
from stores.arrow import compute
from stores.maintenance.byte_scan import PROBE, Fingerprint, fingerprint
from stores.maintenance.deletion_plan import DeletionPlan, union, united
from stores.pairs import matrix
from stores.schema import EMBEDDED, KEYS, MEDIA, TABLES, VIDEO_TABLES
from stores.sql import in_lists, in_numbers


def with_fingerprints(db: DBConnection, plan: DeletionPlan) -> DeletionPlan:
    """Returns the plan with the fingerprints of its media and vectors."""
    if not plan:
        return plan
    prints: dict[str, set[Fingerprint]] = {"vectors": set()}
    for table in EMBEDDED:
        media = MEDIA[table]
        dataset = db.open_table(table).to_lance()
        vectors = [schema.vector_column(space) for space in schema.spaces_of(dataset.schema)]
        for part in in_numbers(row_ids(dataset, table, plan)):
            theirs = dataset.to_table(columns=[media, *vectors], filter=f"_rowid IN ({part})")
            prints.setdefault(media, set()).update(map(fingerprint, filter(_is_long, theirs[media].to_pylist())))
            contents = (vector.tobytes() for name in vectors for vector in matrix(theirs[name]))
            prints["vectors"].update(map(fingerprint, filter(_is_long, contents)))
    return replace(
        plan,
        fingerprints={kind: sorted(filter(_is_distinct, found), key=str) for kind, found in prints.items()},
    )


def with_holders(db: DBConnection, plan: DeletionPlan) -> DeletionPlan:
    """Returns the plan with the tags and indices that hold its rows."""
    indices = {
        table: [index.name for index in db.open_table(table).list_indices()]
        for table in TABLES
        if plan.ids.get(table)
    }
    return replace(
        plan,
        tags=union(plan.tags, _tags_that_hold(db, plan)),
        indices=united(plan.indices, {table: names for table, names in indices.items() if names}),
    )


def row_ids(dataset: LanceDataset, table: str, plan: DeletionPlan) -> list[int]:
    """Returns Lance's numbers of the plan's rows in a version of a table."""
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


def files_of_others(db: DBConnection, plan: DeletionPlan) -> set[str]:
    """Returns the files that hold nothing but visible rows of others, in the newest version and those of other tags.

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
                if not fragment.num_deletions and not names.issuperset(data_files(table, fragment))
            }
            if fragments:
                addresses = _theirs(rows, table, plan, fragments=list(fragments.values()))["_rowaddr"].to_pylist()
                for theirs in {address >> 32 for address in addresses}:  # the fragment's number
                    fragments.pop(theirs, None)
            names.update(*(data_files(table, fragment) for fragment in fragments.values()))
    return names


def data_files(table: str, fragment: Any) -> list[str]:
    """Returns the names of a fragment's data files, as the byte scan lists them."""
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


def _is_long(content: bytes) -> bool:
    return len(content) >= PROBE


def _is_distinct(one: Fingerprint) -> bool:
    return one.is_distinct
