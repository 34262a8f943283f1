"""A consistent view of the store: fixed versions of all tables, and of these only what the ledger vouches for.

A commit writes data, then the ledger, then removes what it superseded. So versions of the data tables that were
taken while the ledger stood still hold every row that this ledger vouches for: the ledger is read before and after,
and again if it moved. Rows it does not vouch for (of crashed or running commits) are excluded by SQL, which lets
limits, orders and searches act on vouched rows only.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import pyarrow as pa
from lancedb.db import DBConnection
from lancedb.index import IndexConfig
from lancedb.query import ColumnOrdering, LanceQueryBuilder
from lancedb.table import Table

from stores import schemas
from stores.errors import StoreError, nearest, reason
from stores.schemas import MEDIA, PINNED, TABLES, VOUCHED

_IN_LIST = 1000  # names to one SQL list
ROW_ID = "_rowid"  # LanceDB's own number of a row, valid for one version of its table


class Snapshot:
    """Reads one state of the store, whatever is committed meanwhile.

    Args:
        db: the connection.
        versions: table -> version, as `version` gave them; None reads the newest state.
        last: an earlier one; if it is of the same version, it knows already what the ledger vouches for.

    Raises:
        StoreError: a version is gone.
    """

    def __init__(self, db: DBConnection, versions: Mapping[str, int] | None = None, last: "Snapshot | None" = None):
        self._tables = _newest(db) if versions is None else _checked_out(db, versions)
        same = last is not None and last.version == self.version
        self._unvouched: dict[str, dict[str, list[str]]] = last._unvouched if same else {}

    @property
    def version(self) -> dict[str, int]:
        """table -> version of this state; without `runs`, which every heartbeat changes."""
        return {name: self._tables[name].version for name in PINNED}

    def schema(self, table: str) -> pa.Schema:
        """Returns the columns of a table; raises StoreError if there is no such table."""
        schemas.check_table(table)
        return self._tables[table].schema

    @cached_property
    def ledger(self) -> dict[str, dict]:
        """video_id -> {run_id, config_hash, state, reason, uris} of every committed video."""
        columns = ["video_id", "run_id", "config_hash", "state", "reason", "uris"]
        rows = self._tables["videos"].search().select(columns).to_arrow().to_pylist()
        return {row.pop("video_id"): row for row in rows}

    def query(
        self,
        table: str,
        select: Sequence[str] | Mapping[str, str] | None = None,
        where: str | None = None,
        limit: int | None = None,
        order: str | Sequence[str] = (),
    ) -> pa.Table:
        """Returns the rows of `table` that match, as `Store.query` says."""
        with self._explained(table):
            return self._builder(table, select, where, limit, order).to_arrow()

    def batches(
        self, table: str, select: Sequence[str] | None = None, where: str | None = None, rows: int = 1 << 14
    ) -> Iterator[pa.RecordBatch]:
        """Yields what `query` returns, at most `rows` at a time, for tables that do not fit into memory."""
        with self._explained(table):
            yield from self._builder(table, select, where).to_batches(rows)

    def take(self, table: str, row_ids: np.ndarray, columns: Sequence[str]) -> pa.Table:
        """Returns the rows of these row ids (n,) uint64, in their order; one may come several times."""
        unique, place = np.unique(row_ids, return_inverse=True)
        with self._explained(table):
            rows = self._tables[table].take_row_ids(unique.tolist()).select([*columns, ROW_ID]).to_arrow()
        return rows.sort_by(ROW_ID).drop([ROW_ID]).take(place)

    def count(self, table: str, where: str | None = None) -> int:
        """Returns how many rows of `table` match."""
        schemas.check_table(table)
        with self._explained(table):
            return self._tables[table].count_rows(self.filter(table, where))

    def near(
        self,
        table: str,
        select: Sequence[str],
        column: str,
        vector: np.ndarray,
        limit: int,
        where: str | None,
        nprobes: int,
        refine: int,
    ) -> pa.Table:
        """Returns the rows that the index of a vector column finds near a vector, of those that match.

        Args:
            select: columns.
            column: of the vectors.
            vector: (dim,) float32.
            limit: at most so many rows.
            where: an SQL filter, applied before the search.
            nprobes: cells of the index that are looked into; with a filter as many more as find `limit` rows.
            refine: times `limit` vectors are compared in full.
        """
        with self._explained(table):
            builder = self._tables[table].search(vector, vector_column_name=column, query_type="vector")
            builder = builder.distance_type("cosine").limit(limit).refine_factor(refine)
            # Where nothing is filtered, no limit (0) would look into every cell (lancedb 0.40).
            most = nprobes if where is None else 0
            builder = builder.minimum_nprobes(nprobes).maximum_nprobes(most).select([*select, "_distance"])
            if filter := self.filter(table, where):
                builder = builder.where(filter, prefilter=True)
            return builder.to_arrow()

    def indices(self, table: str) -> list[IndexConfig]:
        """Returns the indices of a table."""
        return list(self._tables[table].list_indices())

    def settings(self, table: str) -> dict[str, str]:
        """Returns what stands in the configuration of a table."""
        return dict(self._tables[table].to_lance().config())

    def unvouched(self, table: str) -> dict[str, list[str]]:
        """Returns run_id -> the video_ids whose rows of that run the ledger does not vouch for."""
        if table not in self._unvouched:
            keys = ["video_id", "run_id"]
            rows, ledger = (self._tables[name].search().select(keys).to_arrow() for name in (table, "videos"))
            outside = rows.group_by(keys).aggregate([]).join(ledger, keys, join_type="left anti")
            found: dict[str, list[str]] = {}
            for row in outside.sort_by("video_id").to_pylist():
                found.setdefault(row["run_id"], []).append(row["video_id"])
            self._unvouched[table] = found
        return self._unvouched[table]

    def filter(self, table: str, where: str | None) -> str | None:
        """Returns the SQL of the vouched rows that match `where`, or None for all rows.

        Raises:
            StoreError: the brackets or quotes of `where` do not match. Lance ignores what follows a stray bracket.
        """
        parts = []
        if where is not None:
            _check_brackets(table, where)
            parts.append(f"({where})")
        if table in VOUCHED and (outside := self.unvouched(table)):
            parts.append(f"NOT ({rows_of(outside)})")
        return " AND ".join(parts) or None

    def _builder(
        self,
        table: str,
        select: Sequence[str] | Mapping[str, str] | None,
        where: str | None,
        limit: int | None = None,
        order: str | Sequence[str] = (),
    ) -> LanceQueryBuilder:
        names = self.schema(table).names
        if select is None:
            select = [name for name in names if name != MEDIA.get(table)]
        if not isinstance(select, Mapping):
            select = [select] if isinstance(select, str) else list(select)
            for name in select:
                _check_column(table, name, [*names, ROW_ID])
        if limit is not None and limit < 1:
            raise StoreError(f"{table}: limit {limit}, expected at least 1")
        builder = self._tables[table].search().select(select)
        filter = self.filter(table, where)
        if orderings := [_ordering(table, key, names) for key in ([order] if isinstance(order, str) else order)]:
            builder = builder.order_by(orderings)
            # Without a filter, lancedb 0.40 fails to order by a column that is not selected ("TakeExec requires").
            filter = filter or "true"
        if filter:
            builder = builder.where(filter)
        return builder if limit is None else builder.limit(limit)

    @contextmanager
    def _explained(self, table: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except ValueError as error:
            raise StoreError(f"{table}: {_explain(error, self.schema(table).names)}") from None
        except RuntimeError as error:
            raise StoreError(
                f"{table}: version {self._tables[table].version} cannot be read ({reason(error)}); "
                "a compaction may have removed it, take a new snapshot"
            ) from None


def rows_of(runs: Mapping[str, Sequence[str]]) -> str:
    """Returns the SQL of the rows of these runs' (run_id ->) video_ids."""
    return " OR ".join(
        f"(run_id = {quoted(run)} AND video_id IN ({', '.join(map(quoted, videos))}))" for run, videos in runs.items()
    )


def in_lists(names: Iterable[str]) -> Iterator[str]:
    """Yields the insides of SQL lists, of as many names each as a query takes well."""
    names = list(names)
    for start in range(0, len(names), _IN_LIST):
        yield ", ".join(map(quoted, names[start : start + _IN_LIST]))


def quoted(text: str) -> str:
    """Returns an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def _newest(db: DBConnection) -> dict[str, Table]:
    while True:
        tables = {name: db.open_table(name) for name in TABLES}  # `videos` is the first
        if db.open_table("videos").version == tables["videos"].version:
            return tables


def _checked_out(db: DBConnection, versions: Mapping[str, int]) -> dict[str, Table]:
    if set(versions) != set(PINNED):
        raise StoreError(f"store version names {', '.join(versions)}; expected all of {', '.join(PINNED)}")
    tables = {name: db.open_table(name) for name in TABLES}
    for name in PINNED:
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


def _explain(error: Exception, names: Sequence[str]) -> str:
    text = reason(error)
    _, found, rest = text.partition("No field named ")
    if found:
        name = rest.split(". Valid fields")[0].strip('"`. ')
        return f"unknown column '{name}'; {nearest(name, names)}"
    return f"not SQL that LanceDB understands: {text}; expected as in \"end_s - start_s > 2 AND gender = 'f'\""


def _check_brackets(table: str, where: str) -> None:
    depth, quote = 0, ""
    for character in where:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"`":
            quote = character
        else:
            depth += (character == "(") - (character == ")")
        if depth < 0:
            break
    if depth or quote:
        raise StoreError(f"{table}: the brackets or quotes of the filter do not match: {where}")
