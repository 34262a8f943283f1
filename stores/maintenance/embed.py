"""Embed the media of a store again, into another space: a backfill of a column of vectors.

The vectors become a column of all rows in one commit: a new column, or new values of a column that is there.
"""

import numpy as np
import pyarrow as pa
from lance import LanceDataset

from stores import schema
from stores.errors import StoreError
from stores.maintenance.backfill import KEY, SCRATCH, Backfill, drop
from stores.retry import retry
from stores.schema import EMBEDDED
from stores.store import Store


class Embedding(Backfill):
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
        column = schema.vector_column(space)
        self._space = space
        self._field = schema.schema(table, {space: dim}, {space: encoder} if encoder else None).field(column)
        spaces = schema.spaces_of(store.db.open_table(table).schema)
        taken = {schema.vector_column(name): name for name in spaces}
        if taken.get(column, space) != space:
            raise StoreError(f"embed: space '{space}' would share the column of '{taken[column]}'; rename it")
        if spaces.get(space, dim) != dim:
            raise StoreError(
                f"embed: space '{space}' has {spaces[space]} dimensions in the store, the encoder gives {dim}; an "
                "encoder with other vectors needs a space of another name"
            )
        super().__init__(store, table, [self._field], column)

    def add(self, keys: list[str], vectors: np.ndarray) -> None:
        """Stores vectors (n, dim) float32 of rows; may be repeated.

        Raises:
            StoreError: a vector is not finite, or of another dimension.
        """
        dim = self._field.type.list_size
        if vectors.shape != (len(keys), dim) or not np.isfinite(vectors).all():
            raise StoreError(f"embed: found vectors of shape {vectors.shape}, expected ({len(keys)}, {dim}), finite")
        self.add_rows(vector_rows(self._space, keys, vectors))

    def _wanted(self, rows: LanceDataset) -> pa.Array:
        return pa.array(np.ones(rows.count_rows(), bool))

    def _continues(self, found: pa.Schema) -> bool:
        kind = found.field(self._field.name).type
        if kind != self._field.type:
            raise StoreError(
                f"embed: vectors of '{self._space}' were of {kind}, now {self._field.type}; another encoder?"
            )
        return True


def vector_rows(space: str, keys: list[str], vectors: np.ndarray) -> pa.Table:
    """Returns vectors (n, dim) float32 as rows for `Backfill.add_rows`."""
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    kind = pa.list_(pa.float32(), vectors.shape[1])
    return pa.table({KEY: keys, schema.vector_column(space): pa.FixedSizeListArray.from_arrays(flat, type=kind)})


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
