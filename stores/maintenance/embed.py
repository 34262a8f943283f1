"""Embed the media of a store again, into another space.

The vectors are collected in a scratch table, and become a column of all rows in one commit: a new column, or new
values of a column that is there. Readers see all of them or none; a job that was killed continues with those that
were collected. Killed when the vectors were committed and the scratch table was still there, the next job finds that
they are equal, and removes it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from lance import LanceDataset, LanceOperation
from lancedb.db import DBConnection

from stores import schema
from stores.arrow import compute
from stores.errors import StoreError, reason
from stores.pairs import matrix
from stores.retry import is_conflict, is_lost_connection, retry
from stores.runs import check_alone
from stores.schema import EMBEDDED, KEYS, MEDIA
from stores.store import Store

SCRATCH = "embedding_"  # prefix of the tables of unfinished embeddings
_AT_ONCE = 4096  # vectors copied at once


@dataclass(frozen=True)
class Todo:
    """Rows of one version of a table that lack a vector."""

    version: int
    places: np.ndarray  # (n,) int64 positions in that version, for `media`
    keys: list[str]  # one for each row, for `Embedding.add`
    done: int  # number of rows that have a vector


class Embedding:
    """The collection of the vectors of a new space.

    Args:
        store: the store.
        table: `faces` or `voices`.
        space: name of the new space.
        dim: dimension of its vectors.
        encoder: the spec that opens its encoder, recorded with the column; "" if not known.

    Raises:
        StoreError: the table has no media, another space uses the name of the column, or the space has another
            dimension in the store.
    """

    def __init__(self, store: Store, table: str, space: str, dim: int, encoder: str = ""):
        if table not in EMBEDDED:
            raise StoreError(f"embed: table '{table}', expected one of {', '.join(EMBEDDED)}")
        db = self._db = store.db
        self._table, self._space, self._column = table, space, schema.vector_column(space)
        self._field = schema.schema(table, {space: dim}, {space: encoder} if encoder else None).field(self._column)
        spaces = schema.spaces_of(self._rows().schema)
        taken = {schema.vector_column(name): name for name in spaces}
        if taken.get(self._column, space) != space:
            raise StoreError(f"embed: space '{space}' would share the column of '{taken[self._column]}'; rename it")
        if spaces.get(space, dim) != dim:
            raise StoreError(
                f"embed: space '{space}' has {spaces[space]} dimensions in the store, the encoder gives {dim}; an "
                "encoder with other vectors needs a space of another name"
            )
        self._scratch = f"{SCRATCH}{table}_{self._column}"
        self._schema = pa.schema([pa.field("key", pa.string(), nullable=False), pa.field("vector", self._field.type)])
        retry(db, "the vectors", self._open_scratch)
        if space in spaces and self._is_committed():
            retry(db, "the vectors", lambda: drop(db, self._scratch))
            retry(db, "the vectors", self._open_scratch)

    def todo(self) -> Todo:
        """Returns the rows that have no vector yet; raises StoreError if a job is writing."""
        check_alone(self._db, "embed")
        rows = self._rows()
        keys = self._keys(rows)
        lacking = compute.invert(compute.is_in(keys, self._collected()))
        places = np.flatnonzero(lacking.to_numpy(zero_copy_only=False))
        return Todo(rows.version, places, keys.filter(lacking).to_pylist(), len(keys) - len(places))

    def add(self, keys: list[str], vectors: np.ndarray) -> None:
        """Stores vectors (n, dim) float32 of rows; may be repeated.

        Raises:
            StoreError: a vector is not finite, or of another dimension.
        """
        dim = self._field.type.list_size
        if vectors.shape != (len(keys), dim) or not np.isfinite(vectors).all():
            raise StoreError(f"embed: found vectors of shape {vectors.shape}, expected ({len(keys)}, {dim}), finite")
        flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
        data = pa.table({"key": keys, "vector": pa.FixedSizeListArray.from_arrays(flat, type=self._field.type)})
        retry(self._db, "the vectors", lambda: self._db.open_table(self._scratch).add(data))

    def finish(self) -> bool:
        """Makes the vectors a column, in place of an older one of this space.

        Returns:
            False if some rows have no vector, or rows were committed meanwhile; then nothing is written.

        Raises:
            StoreUnavailable: the disk is full, or the connection did not come back.
        """
        rows = self._rows()
        places = compute.index_in(self._keys(rows), self._collected())
        if places.null_count:
            return False
        try:
            committed = retry(self._db, "the vectors", lambda: self._commit(rows, places.to_numpy()), patience_s=0)
        except OSError as error:
            raise StoreError(
                f"embed: the vectors cannot be added to {self._table} ({reason(error)}); run the command again"
            ) from None
        # Rows that were added meanwhile have vectors already if the column was there, but of the encoder of before.
        if not committed or compute.index_in(self._keys(self._rows()), self._collected()).null_count:
            return False
        retry(self._db, "the vectors", lambda: drop(self._db, self._scratch))
        return True

    def _commit(self, rows: LanceDataset, places: np.ndarray) -> bool:
        """Writes the vectors as a column in one commit; returns False if another commit came in between."""
        try:
            if self._column in rows.schema.names:
                self._replace(rows, places)
            else:
                columns = pa.schema([self._field])
                rows.add_columns(pa.RecordBatchReader.from_batches(columns, self._batches(places, columns)))
        except (OSError, RuntimeError, ValueError) as error:
            if is_conflict(error, self._db.uri):
                return False
            raise
        return True

    def _replace(self, rows: LanceDataset, places: np.ndarray) -> None:
        """Gives the column of all rows new values, in one commit."""
        start, updated, modified = 0, [], set()
        columns = pa.schema([self._field])
        for fragment in rows.get_fragments():
            ids = fragment.scanner(columns=[], with_row_id=True).to_table()["_rowid"]
            vectors = pa.Table.from_batches(self._batches(places[start : start + len(ids)], columns), columns)
            fragment, fields = fragment.update_columns(vectors.append_column("_rowid", ids))
            updated.append(fragment)
            modified |= set(fields)
            start += len(ids)
        if updated:
            operation = LanceOperation.Update(
                updated_fragments=updated, fields_modified=sorted(modified), update_mode="rewrite_columns"
            )
            rows = LanceDataset.commit(rows, operation, read_version=rows.version)
        recorded = (self._field.metadata or {}).get(schema.ENCODER_KEY)
        if recorded and schema.encoders_of(rows.schema).get(self._space) != recorded.decode():
            rows.update_field_metadata({self._column: {schema.ENCODER_KEY.decode(): recorded.decode()}})

    def _open_scratch(self) -> None:
        """Creates the scratch table, or replaces what a killed creation or removal left of it."""
        db = self._db
        if self._scratch in db.list_tables(limit=1000).tables:
            try:
                found = db.open_table(self._scratch).schema.field("vector").type
                self._collected()
            except (OSError, RuntimeError, ValueError) as error:
                if is_lost_connection(error, db.uri):
                    raise
                found = None
            if found == self._field.type:
                return
            if found is not None:
                raise StoreError(
                    f"embed: vectors of '{self._space}' were of {found}, now {self._field.type}; another encoder?"
                )
            drop(db, self._scratch)
        db.create_table(self._scratch, schema=self._schema)

    def _is_committed(self) -> bool:
        """Whether the column holds the collected vectors already: of an embedding killed before its very end."""
        rows = self._rows()
        places = compute.index_in(self._keys(rows), self._collected())
        if places.null_count or not len(places):
            return False
        here, columns = rows.head(_AT_ONCE, columns=[self._column])[self._column], pa.schema([self._field])
        collected = pa.Table.from_batches(self._batches(places.to_numpy()[:_AT_ONCE], columns), columns)
        return bool(np.array_equal(matrix(here), matrix(collected[self._column])))

    def _batches(self, places: np.ndarray, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
        vectors = self._db.open_table(self._scratch).to_lance()
        for start in range(0, len(places), _AT_ONCE):
            part = vectors.take(places[start : start + _AT_ONCE], columns=["vector"])["vector"].combine_chunks()
            yield pa.RecordBatch.from_arrays([part.cast(self._field.type)], schema=columns)

    def _rows(self) -> LanceDataset:
        return self._db.open_table(self._table).to_lance()

    def _keys(self, rows: LanceDataset) -> pa.Array:
        """The key of each row: id and run, for an id may have other media in another run."""
        found = rows.to_table(columns=[KEYS[self._table], "run_id"])
        return compute.binary_join_element_wise(*found.columns, "@").combine_chunks()

    def _collected(self) -> pa.Array:
        return self._db.open_table(self._scratch).to_lance().to_table(columns=["key"])["key"].combine_chunks()


def drop(db: DBConnection, table: str) -> None:
    """Drops a table, also one of which a killed creation or removal left but a part; may be repeated."""
    if table not in db.list_tables(limit=1000).tables:
        return
    try:
        db.drop_table(table)
    except (OSError, RuntimeError, ValueError) as error:
        if "not found" not in str(error):
            raise


def discard(store: Store, table: str, space: str) -> None:
    """Removes the vectors that a killed embedding left, of a space that the table has by now."""
    scratch = f"{SCRATCH}{table}_{schema.vector_column(space)}"
    retry(store.db, "the vectors", lambda: drop(store.db, scratch))


def drop_spaces(store: Store, table: str, keep: str) -> list[str]:
    """Drops the vectors of all spaces but one; returns the dropped spaces. The next compaction frees their bytes."""
    spaces = [space for space in schema.spaces_of(store.db.open_table(table).schema) if space != keep]
    if spaces:
        columns = [schema.vector_column(space) for space in spaces]
        retry(store.db, table, lambda: store.db.open_table(table).to_lance().drop_columns(columns))
    return spaces


def media(store: Store, table: str, version: int, places: Sequence[int]) -> list[bytes]:
    """Returns the media of rows of a version of `faces` or `voices`, by their positions in it (see `Todo`)."""
    rows = store.db.open_table(table).to_lance().checkout_version(version)
    return rows.take(list(places), columns=[MEDIA[table]])[MEDIA[table]].to_pylist()
