"""Columns beside those of the schema: of `faces` or `voices` by a column function, from their media, or of `clips`.

Such a column may be null: where the function cannot tell, where it failed, and in rows that were committed since. Its
metadata names the function and the version, so all values of a column are of one version.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from lance import LanceDataset

from stores import schema
from stores.arrow import compute
from stores.errors import StoreError
from stores.exclusion import check_alone
from stores.maintenance.backfill import KEY, Backfill
from stores.retry import retry
from stores.schema import FUNCTION_KEY, FUNCTION_VERSION_KEY, VIDEO_TABLES
from stores.store import Store

REASON = "_reason"  # the scratch table's column that says why the function failed on a row; else null
TYPES: Mapping[type, pa.DataType] = {float: pa.float32(), int: pa.int64(), bool: pa.bool_(), str: pa.string()}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class FailedRows:
    """Rows on which a function failed for one reason."""

    reason: str
    rows: int
    example: str  # id of one of them


@dataclass(frozen=True)
class Outcome:
    """What was collected: rows with a value, rows of which the function could not tell, rows on which it failed."""

    filled: int
    unknown: int
    failures: list[FailedRows]

    @property
    def failed(self) -> int:
        """The number of rows on which the function failed."""
        return sum(failure.rows for failure in self.failures)


class ColumnFill(Backfill):
    """The collection of the values that one function gives.

    Args:
        store: the store.
        table: `clips`, `faces` or `voices`.
        columns: name -> float (stored as float32), int, bool or str.
        function: the spec that opens the function, recorded with the columns.
        version: of its values, recorded likewise; rows with values of another version are done again.
        again: do all rows again, also those with values of this version; columns of another function may be
            overwritten.

    Raises:
        StoreError: the table has no media, or a column cannot be named or typed so.
    """

    def __init__(
        self, store: Store, table: str, columns: Mapping[str, type], function: str, version: str, again: bool = False
    ):
        if table not in VIDEO_TABLES:
            raise StoreError(f"column {function}: table '{table}', expected one of {', '.join(VIDEO_TABLES)}")
        if not columns:
            raise StoreError(f"column function {function}: it names no column, expected at least one")
        self._again = again
        metadata = {FUNCTION_KEY: function, FUNCTION_VERSION_KEY: version}
        fields = [pa.field(name, _type(name, kind), metadata=metadata) for name, kind in columns.items()]
        there, fixed = store.db.open_table(table).schema, schema.schema(table).names
        for field in fields:
            where = f"column {table}.{field.name}"
            found = schema.filled_of(there).get(field.name)
            if field.name in fixed or field.name.startswith("vector_") or (field.name in there.names and not found):
                raise StoreError(f"{where}: the store's own column has this name; choose another name")
            if found is None:
                continue
            if found.type != field.type:
                raise StoreError(
                    f"{where}: is of type {found.type}, {function} gives {field.type}; choose another name"
                )
            if (other := found.metadata[FUNCTION_KEY].decode()) != function and not again:
                raise StoreError(
                    f"{where}: was filled by {other}, not by {function}; give --again to overwrite it, or name it "
                    "otherwise"
                )
        super().__init__(store, table, fields, "-".join(columns), [pa.field(REASON, pa.string())])

    @property
    def exists(self) -> bool:
        """Whether the table has the columns already, of whatever version."""
        return set(self._columns) <= set(self._rows().schema.names)

    def outcome(self) -> Outcome:
        """Returns what was collected, also by earlier jobs that were killed."""
        found = self._db.open_table(self._scratch).to_lance().to_table(columns=[KEY, REASON, *self._columns])
        keys = found[KEY].combine_chunks()
        found = found.take(compute.index_in(keys.unique(), keys))  # rows may have been added twice
        known = np.zeros(found.num_rows, bool)
        for name in self._columns:
            known |= found[name].is_valid().to_numpy()
        reasons = found.select([KEY, REASON]).filter(found[REASON].is_valid())
        grouped = reasons.group_by(REASON).aggregate([(KEY, "count"), (KEY, "min")])
        rows = zip(*(grouped[name].to_pylist() for name in (REASON, f"{KEY}_count", f"{KEY}_min")), strict=True)
        failures = [FailedRows(why, count, key.partition("@")[0]) for why, count, key in rows]
        filled = int(known.sum())
        failures.sort(key=lambda failure: (-failure.rows, failure.reason))
        return Outcome(filled, found.num_rows - filled - reasons.num_rows, failures)

    def _wanted(self, rows: LanceDataset) -> pa.Array:
        if self._again or not self._is_current(rows.schema):
            return pa.array(np.ones(rows.count_rows(), bool))
        ids = rows.to_table(columns=[], with_row_id=True)["_rowid"].combine_chunks()
        null = " AND ".join(f"`{name}` IS NULL" for name in self._columns)
        lacking = rows.to_table(columns=[], filter=null, with_row_id=True)["_rowid"].combine_chunks()
        return compute.is_in(ids, lacking)

    def _is_current(self, there: pa.Schema) -> bool:
        """Whether the table has the columns, with values of this version."""
        return all(field.name in there.names and _same(there.field(field.name), field) for field in self._fields)

    def _continues(self, found: pa.Schema) -> bool:
        return found.names == self._schema.names and all(_same(found.field(f.name), f) for f in self._fields)


def drop_filled(store: Store, name: str) -> list[str]:
    """Drops columns that a function filled; returns them, as in voices.dnsmos. The next compaction frees their bytes.

    Versions of the store that are older than this, and tags of them, keep the columns until they are pruned.

    Args:
        store: the store.
        name: of the column, or the spec that opens the function; the function itself is not needed.

    Raises:
        StoreError: no filled column is of this name or function, or a job is writing.
    """
    check_alone(store.db, "embed")
    filled = {table: schema.filled_of(store.db.open_table(table).schema) for table in VIDEO_TABLES}
    chosen = {
        table: [column for column, field in found.items() if name in (column, field.metadata[FUNCTION_KEY].decode())]
        for table, found in filled.items()
    }
    dropped = [f"{table}.{column}" for table, columns in chosen.items() for column in columns]
    if not dropped:
        known = ", ".join(f"{table}.{column}" for table, found in filled.items() for column in found)
        raise StoreError(f"column '{name}': the store has no such filled column; it has {known or 'none'}")
    with store.run({"job": "embed", "drop": dropped}, {}):
        for table, columns in chosen.items():
            retry(store.db, table, partial(_drop, store, table, columns))
    return dropped


def _drop(store: Store, table: str, columns: Sequence[str]) -> None:
    rows = store.db.open_table(table).to_lance()
    if left := [column for column in columns if column in rows.schema.names]:
        rows.drop_columns(left)


def _same(found: pa.Field, wanted: pa.Field) -> bool:
    marks = [{name: (of.metadata or {}).get(name) for name in (FUNCTION_KEY, FUNCTION_VERSION_KEY)} for of in
             (found, wanted)]  # fmt: skip
    return found.type == wanted.type and marks[0] == marks[1]


def _type(name: str, kind: type) -> pa.DataType:
    if not _NAME.fullmatch(name):
        raise StoreError(f"column '{name}': expected a name of lower-case letters, digits and '_', as in loudness_db")
    if kind not in TYPES:
        known = ", ".join(of.__name__ for of in TYPES)
        raise StoreError(f"column '{name}': of type {getattr(kind, '__name__', kind)}, expected one of {known}")
    return TYPES[kind]
