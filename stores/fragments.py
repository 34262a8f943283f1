"""Fragments: rows in data files that are written to the store, but that no version of a table names yet.

Whoever makes rows writes them, anywhere in a cluster; one process commits them, and media do not pass through it.
The name of a data file ends with the run that wrote it, so files that a killed run left are found by a listing.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import pyarrow as pa
from lance import LanceDataset, LanceOperation
from lance.file import LanceFileSession
from lance.fragment import DataFile, FragmentMetadata
from lancedb.db import DBConnection

from stores.retry import retry
from stores.rows import Row
from stores.schema import VIDEO_TABLES, filled_of

_NAME = re.compile(r"[0-9a-f]{16}-(\d{8}T\d{12}-[0-9a-f]{8})\.lance")  # its group is the run

Files = Mapping[str, Sequence[FragmentMetadata]]  # table -> fragments


@dataclass(frozen=True)
class Written:
    """Videos of one run whose rows are written, but not committed."""

    videos: Sequence[Row]  # their rows in the ledger
    files: Files


def write(db: DBConnection, run_id: str, tables: Mapping[str, pa.Table]) -> Files:
    """Writes one fragment to each of these tables that has rows, without committing it; returns the fragments.

    Raises:
        StoreUnavailable: the disk is full, or the connection did not come back.
    """
    files: dict[str, list[FragmentMetadata]] = {}
    try:
        for name, rows in tables.items():
            if rows.num_rows:
                files[name] = [retry(db, "the commit", partial(_write, db, name, run_id, rows))]
    except BaseException:
        discard(db, files)
        raise
    return files


def append(db: DBConnection, files: Files) -> None:
    """Adds fragments to their tables, one version each."""
    for name, fragments in files.items():
        rows = db.open_table(name).to_lance()
        LanceDataset.commit(rows, LanceOperation.Append(list(fragments)), read_version=rows.version)


def unite(written: Sequence[Written]) -> Written:
    """Returns several as one."""
    files = {
        name: [fragment for one in written for fragment in one.files.get(name, ())]
        for name in VIDEO_TABLES
        if any(name in one.files for one in written)
    }
    return Written([video for one in written for video in one.videos], files)


def discard(db: DBConnection, files: Files) -> None:
    """Deletes the files of fragments that were not committed."""
    for name, fragments in files.items():
        delete(db, name, [str(file.path) for fragment in fragments for file in fragment.files])


def unnamed(db: DBConnection, table: str) -> dict[str, list[str]]:
    """Returns run_id -> names of its data files that the newest version of a table does not name.

    They wait for their commit, or were never committed, or belong to older versions.
    """
    found: dict[str, list[str]] = {}
    rows = db.open_table(table).to_lance()
    names = _session(db, rows).list()  # before the version is read, so that files committed in between count as named
    left = set(names) - _named(db.open_table(table).to_lance())
    for name in sorted(left):
        if match := _NAME.fullmatch(name):
            found.setdefault(match[1], []).append(name)
    return found


def never_named(db: DBConnection, table: str, names: Sequence[str]) -> list[str]:
    """Returns the data files among these that no version of a table names; reads the manifest of every version."""
    rows, left = db.open_table(table).to_lance(), set(names)
    for version in sorted((entry["version"] for entry in rows.versions()), reverse=True):
        if not left:
            break
        try:
            left -= _named(rows.checkout_version(version))
        except (OSError, ValueError):
            continue  # pruned meanwhile, with the files that only it named
    return sorted(left)


def delete(db: DBConnection, table: str, names: Sequence[str]) -> None:
    """Deletes data files of a table; those that are gone already are passed over."""
    session = _session(db, db.open_table(table).to_lance())
    for name in names:
        if session.contains(name):
            retry(db, f"the files of {table}", partial(session.delete_file, name))


def _write(db: DBConnection, table: str, run_id: str, rows: pa.Table) -> FragmentMetadata:
    target = db.open_table(table).to_lance()
    name, version = f"{secrets.token_hex(8)}-{run_id}.lance", target.data_storage_version
    writer = _session(db, target).open_writer(name, schema=target.schema, version=version)
    for column, field in filled_of(target.schema).items():
        if column not in rows.column_names:  # unknown until the next `vclip embed --column`
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    writer.write_batch(rows.select(target.schema.names))
    count = writer.close()
    fields = [field.id() for field in target.lance_schema.fields()]  # no column is nested
    major, minor = map(int, version.split("."))
    file = DataFile(name, fields, list(range(len(fields))), major, minor, writer.size_bytes)
    return FragmentMetadata(0, [file], count or 0)


def _session(db: DBConnection, rows: LanceDataset) -> LanceFileSession:
    return LanceFileSession(f"{rows.uri}/data", storage_options=cast(Any, db).storage_options)


def _named(rows: LanceDataset) -> set[str]:
    return {str(file.path) for fragment in rows.get_fragments() for file in fragment.data_files()}
