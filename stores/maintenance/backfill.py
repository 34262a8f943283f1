"""Values for all rows of a table, computed elsewhere: collected in a scratch table, and committed as columns at once.

Readers see all values or none; a job that was killed continues with those that were collected. Killed when the values
were committed and the scratch table was still there, the next job finds that they are equal, and removes it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from lance import LanceDataset, LanceOperation
from lancedb.db import DBConnection

from stores import schema
from stores.arrow import compute
from stores.errors import StoreError, reason
from stores.exclusion import check_alone
from stores.retry import is_conflict, is_lost_connection, retry
from stores.schema import KEYS, MEDIA
from stores.store import Store

SCRATCH = "embedding_"  # prefix of all scratch tables, also of those without vectors
KEY = "_key"  # the scratch table's column that says which row the values belong to
_AT_ONCE = 4096  # rows copied at once


@dataclass(frozen=True)
class Todo:
    """Rows of one version of a table that lack their values."""

    version: int
    places: np.ndarray  # (n,) int64 positions in that version, for `media`
    keys: list[str]  # one for each row, for `Backfill.add_rows`
    done: int  # number of rows that have values


class Backfill(ABC):
    """The collection of the values of one or several columns of a table.

    Args:
        store: the store.
        table: clips, faces or voices.
        fields: the columns, with their metadata.
        scratch: the end of the scratch table's name.
        more: further columns of the scratch table.

    Raises:
        StoreError: what was collected earlier does not fit the columns.
    """

    def __init__(
        self, store: Store, table: str, fields: Sequence[pa.Field], scratch: str, more: Sequence[pa.Field] = ()
    ):
        self._db, self._table, self._fields = store.db, table, list(fields)
        self._columns = [field.name for field in fields]
        self._scratch = f"{SCRATCH}{table}_{scratch}"
        self._schema = pa.schema([pa.field(KEY, pa.string(), nullable=False), *fields, *more])
        retry(self._db, "the values", self._open_scratch)
        if self._is_committed():
            retry(self._db, "the values", lambda: drop(self._db, self._scratch))
            retry(self._db, "the values", self._open_scratch)

    @abstractmethod
    def _wanted(self, rows: LanceDataset) -> pa.Array:
        """Returns which rows, in their order, need a value: bool."""

    @abstractmethod
    def _continues(self, found: pa.Schema) -> bool:
        """Returns whether a scratch table of this schema holds values of these columns; StoreError if it should."""

    def todo(self) -> Todo:
        """Returns the rows that have no values yet; raises StoreError if a job is writing."""
        check_alone(self._db, "embed")
        rows = self._rows()
        keys, lacking = self._keys(rows), self._lacking(rows)
        places = np.flatnonzero(lacking.to_numpy(zero_copy_only=False))
        return Todo(rows.version, places, keys.filter(lacking).to_pylist(), len(keys) - len(places))

    def add_rows(self, rows: pa.Table) -> None:
        """Stores values of rows, with their KEY; may be repeated."""
        data = rows.select(self._schema.names).cast(self._schema)
        retry(self._db, "the values", lambda: self._db.open_table(self._scratch).add(data))

    def finish(self) -> bool:
        """Makes the values columns, or puts them in place of what the columns held for these rows.

        Returns:
            False if some rows have no values, or rows were committed meanwhile; then nothing is written.

        Raises:
            StoreUnavailable: the disk is full, or the connection did not come back.
        """
        rows = self._rows()
        if compute.any(self._lacking(rows)).as_py():
            return False
        places = compute.index_in(self._keys(rows), self._collected())
        if places.null_count < len(places) or not set(self._columns) <= set(rows.schema.names):
            try:
                committed = retry(self._db, "the values", lambda: self._commit(rows, places), patience_s=0)
            except OSError as error:
                raise StoreError(
                    f"embed: the values cannot be added to {self._table} ({reason(error)}); run the command again"
                ) from None
            # Rows that were added meanwhile may have values already, but not of this job.
            if not committed or compute.any(self._lacking(self._rows())).as_py():
                return False
        self.discard()
        return True

    def discard(self) -> None:
        """Removes what was collected."""
        retry(self._db, "the values", lambda: drop(self._db, self._scratch))

    def _lacking(self, rows: LanceDataset) -> pa.Array:
        return compute.and_not(self._wanted(rows), compute.is_in(self._keys(rows), self._collected()))

    def _commit(self, rows: LanceDataset, places: pa.Array) -> bool:
        """Writes the values in one commit; returns False if another commit came in between."""
        try:
            new = [field for field in self._fields if field.name not in rows.schema.names]
            if len(new) == len(self._fields):
                reader = self._batches(places.to_numpy(), pa.schema(self._fields))
                rows.add_columns(pa.RecordBatchReader.from_batches(pa.schema(self._fields), reader))
            else:
                if new:  # empty columns first; their values come with those of the others
                    rows.add_columns(pa.schema(new))
                self._replace(rows, places)
        except (OSError, RuntimeError, ValueError) as error:
            if is_conflict(error, self._db.uri):
                return False
            raise
        return True

    def _replace(self, rows: LanceDataset, places: pa.Array) -> None:
        """Gives the rows that have a place in the scratch table its values, in one commit; the others keep theirs."""
        start, updated, modified = 0, [], set()
        columns = pa.schema(self._fields)
        for fragment in rows.get_fragments():
            ids = fragment.scanner(columns=[], with_row_id=True).to_table()["_rowid"]
            own = places.slice(start, len(ids))
            start += len(ids)
            if own.null_count == len(own):
                continue
            values = pa.Table.from_batches(self._batches(own.drop_null().to_numpy(), columns), columns)
            ids = ids.filter(own.is_valid())
            fragment, fields = fragment.update_columns(values.append_column("_rowid", ids))
            updated.append(fragment)
            modified |= set(fields)
        if updated:
            operation = LanceOperation.Update(
                updated_fragments=updated, fields_modified=sorted(modified), update_mode="rewrite_columns"
            )
            rows = LanceDataset.commit(rows, operation, read_version=rows.version)
        if changes := {field.name: found for field in self._fields if (found := _changed(field, rows.schema))}:
            rows.update_field_metadata(changes)

    def _open_scratch(self) -> None:
        """Creates the scratch table, or replaces what a killed creation or removal left of it."""
        db = self._db
        if self._scratch in db.list_tables(limit=1000).tables:
            try:
                found = db.open_table(self._scratch).schema
                if KEY in found.names:
                    self._collected()
            except (OSError, RuntimeError, ValueError) as error:
                if is_lost_connection(error, db.uri):
                    raise
                found = None
            if found is not None and KEY in found.names and self._continues(found):
                return
            drop(db, self._scratch)
        db.create_table(self._scratch, schema=self._schema)

    def _is_committed(self) -> bool:
        """Whether the columns hold the collected values already: of a job killed before its very end."""
        rows = self._rows()
        if any(name not in rows.schema.names for name in self._columns):
            return False
        if any(_changed(field, rows.schema) for field in self._fields):
            return False
        places = compute.index_in(self._keys(rows), self._collected())
        if places.null_count or not len(places):
            return False
        columns = pa.schema(self._fields)
        here = rows.head(_AT_ONCE, columns=self._columns).select(self._columns).cast(columns)
        collected = pa.Table.from_batches(self._batches(places.to_numpy()[:_AT_ONCE], columns), columns)
        return here.equals(collected)

    def _batches(self, places: np.ndarray, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
        collected = self._db.open_table(self._scratch).to_lance()
        for start in range(0, len(places), _AT_ONCE):
            part = collected.take(places[start : start + _AT_ONCE], columns=self._columns)
            yield from part.select(self._columns).cast(columns).combine_chunks().to_batches()

    def _rows(self) -> LanceDataset:
        return self._db.open_table(self._table).to_lance()

    def _keys(self, rows: LanceDataset) -> pa.Array:
        """The key of each row: id and run, for an id may have other media in another run."""
        found = rows.to_table(columns=[KEYS[self._table], "run_id"])
        return compute.binary_join_element_wise(*found.columns, "@").combine_chunks()

    def _collected(self) -> pa.Array:
        return self._db.open_table(self._scratch).to_lance().to_table(columns=[KEY])[KEY].combine_chunks()


def drop(db: DBConnection, table: str) -> None:
    """Drops a table, also one of which a killed creation or removal left but a part; may be repeated."""
    if table not in db.list_tables(limit=1000).tables:
        return
    try:
        db.drop_table(table)
    except (OSError, RuntimeError, ValueError) as error:
        if "not found" not in str(error):
            raise


def media(store: Store, table: str, version: int, places: Sequence[int]) -> list[bytes]:
    """Returns the media of rows of a version of `faces` or `voices`, by their positions in it (see `Todo`)."""
    rows = store.db.open_table(table).to_lance().checkout_version(version)
    return rows.take(list(places), columns=[MEDIA[table]])[MEDIA[table]].to_pylist()


def _changed(field: pa.Field, there: pa.Schema) -> dict[str, str | None]:
    """Returns what the metadata of a column there should say and does not."""
    found = there.field(field.name).metadata or {}
    wanted = {name: of for name, of in (field.metadata or {}).items() if name != schema.SPACE_KEY}
    return {name.decode(): of.decode() for name, of in wanted.items() if found.get(name) != of}
