"""Embed the media of a store again, into another space.

The vectors are collected in a table of their own, and become a column of all rows in one commit. Until then readers
see none of them; a job that was killed continues with those that were collected.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from lance import LanceDataset

from stores import schema
from stores.arrow import compute
from stores.errors import StoreError, reason
from stores.retry import is_conflict, retry
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
        StoreError: the table has no media, or another space uses the name of the column.
    """

    def __init__(self, store: Store, table: str, space: str, dim: int, encoder: str = ""):
        if table not in EMBEDDED:
            raise StoreError(f"embed: table '{table}', expected one of {', '.join(EMBEDDED)}")
        db = self._db = store.db
        self._table, self._column = table, schema.vector_column(space)
        self._field = schema.schema(table, {space: dim}, {space: encoder} if encoder else None).field(self._column)
        taken = {schema.vector_column(name): name for name in schema.spaces_of(self._rows().schema)}
        if taken.get(self._column, space) != space:
            raise StoreError(f"embed: space '{space}' would share the column of '{taken[self._column]}'; rename it")
        self._scratch = f"{SCRATCH}{table}_{self._column}"
        kinds = pa.schema([pa.field("key", pa.string(), nullable=False), pa.field("vector", self._field.type)])
        if self._scratch not in db.list_tables(limit=1000).tables:
            db.create_table(self._scratch, schema=kinds)
        elif (found := db.open_table(self._scratch).schema.field("vector").type) != self._field.type:
            raise StoreError(f"embed: vectors of '{space}' were of {found}, now {self._field.type}; another encoder?")

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
        if self._column in rows.schema.names:
            rows.drop_columns([self._column])
        columns = pa.schema([self._field])
        vectors = pa.RecordBatchReader.from_batches(columns, self._batches(places.to_numpy(), columns))
        try:
            rows.add_columns(vectors)
        except OSError as error:
            if is_conflict(error, self._db.uri):
                return False  # a commit came in between, whose rows have no vectors
            raise StoreError(
                f"embed: the vectors cannot be added to {self._table} ({reason(error)}); run the command again"
            ) from None
        self._db.drop_table(self._scratch)
        return True

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
