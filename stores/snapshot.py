"""A consistent view of the store: fixed versions of all tables, and of these only the committed rows.

A commit writes the data, then the ledger, then removes the rows that were superseded. So versions of the data tables
that were opened while the ledger did not change hold every row that this ledger names: the ledger's version is read
before and after, and all again if it moved. Uncommitted rows (of crashed or running commits) are excluded by SQL, so
that limits, orders and searches act on visible rows only.

Corrections by hand (`stores.corrections`) replace the values that were ingested, and rejected clips are not read at
all, unless the snapshot is raw.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from lancedb.db import DBConnection
from lancedb.query import ColumnOrdering, LanceQueryBuilder
from lancedb.table import Table

from stores.arrow import compute
from stores.corrections import NONE, ROW_ID, Corrections, effect_of, in_force
from stores.errors import REMOVED, StoreError, StoreGone, is_file_gone, nearest, reason
from stores.filters import parsed
from stores.schema import EMBEDDED, LATER, MEDIA, PINNED, TABLES, VIDEO_TABLES, check_table, spaces_of
from stores.sql import explained, rows_of

if TYPE_CHECKING:
    from lance import LanceDataset

# Parts of LanceDB's messages.
_TIMEOUT, _NO_TABLE = "Query timeout", "was not found"
_FILTER = ("applying filter expression", "Cannot access field")


class Snapshot:
    """Reads one state of the store, whatever is committed meanwhile.

    Args:
        db: the connection.
        versions: table -> version, as `version` gave them; None reads the newest state.
        last: an earlier snapshot, whose list of uncommitted rows is reused if it is of the same version.
        raw: reads the ingested values, without the edits.

    Raises:
        StoreError: a version is gone.
    """

    def __init__(
        self,
        db: DBConnection,
        versions: Mapping[str, int] | None = None,
        last: "Snapshot | None" = None,
        raw: bool = False,
    ):
        self._tables = _newest(db) if versions is None else _checked_out(db, versions)
        self._raw = raw or "edits" not in self._tables
        same = last if last is not None and last.version == self.version else None
        self._uncommitted: dict[str, dict[str, list[str]]] = same._uncommitted if same else {}
        self._corrections = same._corrections if same and same._raw == self._raw else None

    def summary(self) -> str:
        """Returns a line with the number of videos and clips, and the spaces of faces and voices."""
        parts = [
            f"{count:,} {noun}{'' if count == 1 else 's'}"
            for noun, count in (("video", self.count("videos", "state != 'deleted'")), ("clip", self.count("clips")))
        ]
        parts += [f"{table} in {', '.join(spaces_of(self.schema(table))) or 'no space'}" for table in EMBEDDED]
        return ", ".join(parts)

    @property
    def version(self) -> dict[str, int]:
        """table -> version of this state; without `runs`, which changes with every heartbeat."""
        return {name: self._tables[name].version for name in PINNED if name in self._tables}

    def schema(self, table: str) -> pa.Schema:
        """Returns the columns of a table; raises StoreError if there is no such table."""
        check_table(table)
        return self._tables[table].schema

    def table(self, table: str) -> Table:
        """Returns the LanceDB table at this version; it also holds rows that readers do not see (see `filter`)."""
        check_table(table)
        return self._tables[table]

    @contextmanager
    def reading(self, table: str) -> Iterator[None]:
        """Turns what LanceDB raises while the block reads `table` into StoreError."""
        try:
            yield
        except StoreError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            if is_file_gone(error):
                version = self._tables[table].version
                raise StoreError(f"{table}: version {version} cannot be read any more: {REMOVED}") from None
            if isinstance(error, OSError):
                raise
            if isinstance(error, ValueError):
                raise StoreError(f"{table}: {explained(error, self.schema(table).names)}") from None
            if _TIMEOUT in str(error):
                raise StoreError(f"{table}: the query exceeded its time limit; narrow the filter") from None
            if any(text in str(error) for text in _FILTER):
                raise StoreError(f"{table}: {explained(error, self.schema(table).names)}") from None
            raise StoreError(
                f"{table}: version {self._tables[table].version} cannot be read ({reason(error)})"
            ) from None

    @property
    def corrections(self) -> Corrections:
        """The corrections of the edits in force."""
        if self._corrections is None:
            self._corrections = NONE if self._raw else self._read_corrections()
        return self._corrections

    @cached_property
    def ledger(self) -> dict[str, dict]:
        """video_id -> {run_id, config_hash, state, reason, uris} of every committed video."""
        columns = ["video_id", "run_id", "config_hash", "state", "reason", "uris"]
        with self.reading("videos"):
            rows = self._tables["videos"].search().select(columns).to_arrow().to_pylist()
        return {row.pop("video_id"): row for row in rows}

    def query(
        self,
        table: str,
        select: Sequence[str] | Mapping[str, str] | None = None,
        where: str | None = None,
        limit: int | None = None,
        order: str | Sequence[str] = (),
        limit_s: float | None = None,
    ) -> pa.Table:
        """Returns the rows of `table` that match; arguments and errors are those of `Store.query`.

        Args:
            limit_s: seconds after which the query is ended with a StoreError; None for no limit.
        """
        with self.reading(table):
            if self._corrected(table):
                return self._both(table, select, where, limit, order, limit_s)
            return self._builder(table, select, where, limit, order).to_arrow(timeout=_timeout(limit_s))

    def batches(
        self, table: str, select: Sequence[str] | None = None, where: str | None = None, rows: int = 1 << 14
    ) -> Iterator[pa.RecordBatch]:
        """Yields the rows that `query` returns, at most `rows` at a time, for tables that do not fit into memory."""
        with self.reading(table):
            yield from self._builder(table, select, where).to_batches(rows)
            if self._corrected(table):
                columns = self._selected(table, select)
                yield from _built(self.corrections.table, columns, self._of_corrected(where)).to_batches(rows)

    def dataset(self, table: str) -> "LanceDataset":
        """Returns the table at this version as a Lance dataset.

        It also holds uncommitted rows, and `corrections` are not applied.
        """
        check_table(table)
        with self.reading(table):
            return self._tables[table].to_lance()

    def row_ids(self, table: str, select: Sequence[str] | None, where: str | None = None) -> pa.Table:
        """Returns the rows of `query` with a column `_rowid`, by which `take` finds them again."""
        with self.reading(table):
            found = self._builder(table, select, where).with_row_id(True).to_arrow()
            rows = self.corrections.rows if table == "clips" else None
            if rows is None:
                return found
            wanted = _built(self.corrections.table, ["clip_id"], self._of_corrected(where)).to_arrow()["clip_id"]
            rows = rows.filter(compute.is_in(rows["clip_id"], wanted.combine_chunks())).select(found.column_names)
            return pa.concat_tables([found, rows.cast(found.schema)])

    def take(self, table: str, row_ids: np.ndarray, columns: Sequence[str]) -> pa.Table:
        """Returns the rows of these row ids (n,) uint64, in their order; an id may come several times."""
        unique, place = np.unique(row_ids, return_inverse=True)
        with self.reading(table):
            key = [] if table != "clips" or "clip_id" in columns else ["clip_id"]
            rows = self._tables[table].take_row_ids(unique.tolist()).select([*columns, *key, ROW_ID]).to_arrow()
        rows = rows.sort_by(ROW_ID).drop([ROW_ID])
        rows = self.corrections.applied(rows) if table == "clips" else rows
        return rows.drop(key).take(place)

    def count(self, table: str, where: str | None = None) -> int:
        """Returns the number of rows of `table` that match."""
        check_table(table)
        with self.reading(table):
            stored = self._tables[table].count_rows(self.filter(table, where))
            return stored + (
                self.corrections.table.count_rows(self._of_corrected(where)) if self._corrected(table) else 0
            )

    def uncommitted(self, table: str) -> dict[str, list[str]]:
        """Returns run_id -> the video_ids whose rows of that run are not committed."""
        if table not in self._uncommitted:
            keys = ["video_id", "run_id"]
            with self.reading(table):
                ledger = self._tables["videos"].search().select(keys).to_arrow()
                batches = self._tables[table].search().select(keys).to_batches(1 << 16)
                # Part by part: the keys of 15 million faces together would take gigabytes.
                parts = [pa.Table.from_batches([batch]).group_by(keys).aggregate([]) for batch in batches]
            rows = pa.concat_tables(parts).group_by(keys).aggregate([]) if parts else ledger.slice(0, 0)
            outside = rows.join(ledger, keys, join_type="left anti")
            found: dict[str, list[str]] = {}
            for row in outside.sort_by("video_id").to_pylist():
                found.setdefault(row["run_id"], []).append(row["video_id"])
            self._uncommitted[table] = found
        return self._uncommitted[table]

    def parsed(self, table: str, where: str) -> str:
        """Returns a user's filter as SQL that can be part of a longer filter; see `stores.filters`."""
        return parsed(where, [*self.schema(table).names, ROW_ID], table)

    def filter(self, table: str, where: str | None) -> str | None:
        """Returns the SQL of the visible, uncorrected rows that match `where`, or None where that is all rows.

        Raises:
            StoreError: `where` is not one SQL expression.
        """
        parts = [] if where is None else [f"({self.parsed(table, where)})"]
        if table in VIDEO_TABLES and (outside := self.uncommitted(table)):
            parts.append(f"NOT ({rows_of(outside)})")
        if table in VIDEO_TABLES and (
            edited := self.corrections.touches if table == "clips" else self.corrections.hides
        ):
            parts.append(f"NOT ({edited})")
        return " AND ".join(parts) or None

    def _builder(
        self,
        table: str,
        select: Sequence[str] | Mapping[str, str] | None,
        where: str | None,
        limit: int | None = None,
        order: str | Sequence[str] = (),
    ) -> LanceQueryBuilder:
        select = self._selected(table, select)
        if limit is not None and limit < 1:
            raise StoreError(f"{table}: limit {limit}, expected at least 1")
        orderings = self._orderings(table, order)
        return _built(self._tables[table], select, self.filter(table, where), limit, orderings)

    def _selected(
        self, table: str, select: Sequence[str] | Mapping[str, str] | None
    ) -> list[str] | Mapping[str, str]:
        names = self.schema(table).names
        if select is None:
            return [name for name in names if name != MEDIA.get(table)]
        if isinstance(select, Mapping):
            return select
        select = [select] if isinstance(select, str) else list(select)
        for name in select:
            _check_column(table, name, [*names, ROW_ID])
        return select

    def _orderings(self, table: str, order: str | Sequence[str]) -> list[ColumnOrdering]:
        names = self.schema(table).names
        return [_ordering(table, key, names) for key in ([order] if isinstance(order, str) else order)]

    def _corrected(self, table: str) -> bool:
        return table == "clips" and self.corrections.rows is not None

    def _of_corrected(self, where: str | None) -> str | None:
        return None if where is None else self.parsed("clips", where)

    def _both(
        self,
        table: str,
        select: Sequence[str] | Mapping[str, str] | None,
        where: str | None,
        limit: int | None,
        order: str | Sequence[str],
        limit_s: float | None,
    ) -> pa.Table:
        """Returns the rows of `query` from the stored clips and the corrected ones."""
        orderings, select = self._orderings(table, order), self._selected(table, select)
        wanted = list(select)
        more = [ordering.column_name for ordering in orderings if ordering.column_name not in wanted]
        select = {**select, **{name: name for name in more}} if isinstance(select, Mapping) else [*select, *more]
        stored = self._builder(table, select, where, limit, order).to_arrow(timeout=_timeout(limit_s))
        stored = stored.replace_schema_metadata(None)
        edited = _built(self.corrections.table, select, self._of_corrected(where), limit, orderings).to_arrow()
        rows = pa.concat_tables([stored, edited.replace_schema_metadata(None)], promote_options="permissive")
        if orderings:
            keys = [(o.column_name, "ascending" if o.ascending else "descending") for o in orderings]
            rows = rows.sort_by(keys)
        return rows.slice(0, limit).select(wanted)

    def _read_corrections(self) -> Corrections:
        with self.reading("edits"):
            every = self._tables["edits"].search().to_arrow().to_pylist()
        every.sort(key=lambda row: row["edit_id"])
        if not every:
            return NONE
        raw = copy(self)
        raw._raw, raw._corrections = True, NONE
        return effect_of(in_force(every), lambda where: raw.row_ids("clips", None, where))


def _built(
    source: Table,
    select: Sequence[str] | Mapping[str, str],
    where: str | None,
    limit: int | None = None,
    order: Sequence[ColumnOrdering] = (),
) -> LanceQueryBuilder:
    builder = source.search().select(dict(select) if isinstance(select, Mapping) else list(select))
    if order:
        builder = builder.order_by(list(order))
        # Without a filter, lancedb 0.40 fails to order by a column that is not selected ("TakeExec requires").
        where = where or "true"
    if where:
        builder = builder.where(where)
    return builder if limit is None else builder.limit(limit)


def _timeout(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _newest(db: DBConnection) -> dict[str, Table]:
    try:
        while True:
            tables = {name: db.open_table(name) for name in TABLES}  # `videos` is the first
            if db.open_table("videos").version == tables["videos"].version:
                return tables
    except ValueError as error:
        if _NO_TABLE not in str(error):
            raise
        raise StoreGone(f"the store at {db.uri} is gone ({reason(error)}); was it moved or deleted?") from None


def _checked_out(db: DBConnection, versions: Mapping[str, int]) -> dict[str, Table]:
    if {*versions, *LATER} != set(PINNED):
        raise StoreError(f"store version names {', '.join(versions)}; expected all of {', '.join(PINNED)}")
    tables = {name: db.open_table(name) for name in TABLES if name in versions or name not in PINNED}
    for name in versions:
        table = tables[name]
        try:
            table.checkout(versions[name])
        except (ValueError, RuntimeError):
            raise StoreError(
                f"{name}: version {versions[name]} is gone, the newest is {table.version}; "
                "compaction removes old versions, keep them longer"
            ) from None
    return tables


def _check_column(table: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise StoreError(f"{table}: unknown column '{name}'; {nearest(name, names)}")


def _ordering(table: str, key: str, names: Sequence[str]) -> ColumnOrdering:
    name = key.removeprefix("-")
    _check_column(table, name, names)
    return ColumnOrdering(column_name=name, ascending=not key.startswith("-"))
