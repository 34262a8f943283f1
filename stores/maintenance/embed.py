"""Another embedding space for the media that a store has: vectors gather in a table beside it, and become a column of
all rows in one commit. Until then readers see nothing of them; a killed job goes on with those that are there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lance import LanceDataset
from lancedb.db import DBConnection

from stores import schema as schemas
from stores.errors import StoreError, reason
from stores.maintenance.erase import SCRATCH, check_alone
from stores.retry import retry
from stores.schema import EMBEDDED, KEYS

_AT_ONCE = 4096  # vectors that are moved at once


@dataclass(frozen=True)
class Todo:
    """Rows of one version of a table that lack a vector."""

    version: int
    places: np.ndarray  # (n,) int64 in that version, for `Store.media`
    keys: list[str]  # of each, for `Embedding.add`
    done: int  # rows that have one


class Embedding:
    """The vectors of one space, in the making.

    Args:
        db: the store's connection.
        table: `faces` or `voices`.
        space: its name.
        dim: of its vectors.
        encoder: the spec that opens its encoder, which the column records.

    Raises:
        StoreError: the table has no media; its column is taken by another space; a job is writing.
    """

    def __init__(self, db: DBConnection, table: str, space: str, dim: int, encoder: str = ""):
        if table not in EMBEDDED:
            raise StoreError(f"embed: table '{table}', expected one of {', '.join(EMBEDDED)}")
        self._db, self._table, self._column = db, table, schemas.vector_column(space)
        self._field = schemas.schema(table, {space: dim}, {space: encoder} if encoder else None).field(self._column)
        taken = {schemas.vector_column(name): name for name in schemas.spaces_of(self._rows().schema)}
        if taken.get(self._column, space) != space:
            raise StoreError(f"embed: space '{space}' would share the column of '{taken[self._column]}'; rename it")
        self._scratch = f"{SCRATCH}{table}_{self._column}"
        kinds = pa.schema([pa.field("key", pa.string(), nullable=False), pa.field("vector", self._field.type)])
        if self._scratch not in db.list_tables(limit=1000).tables:
            db.create_table(self._scratch, schema=kinds)
        elif (found := db.open_table(self._scratch).schema.field("vector").type) != self._field.type:
            raise StoreError(f"embed: vectors of '{space}' were of {found}, now {self._field.type}; another encoder?")

    def todo(self) -> Todo:
        """Returns the rows that have no vector yet."""
        check_alone(self._db, "embed")
        rows = self._rows()
        keys = self._keys(rows)
        lacking = pc.invert(pc.is_in(keys, self._known()))
        places = np.flatnonzero(lacking.to_numpy(zero_copy_only=False))
        return Todo(rows.version, places, keys.filter(lacking).to_pylist(), len(keys) - len(places))

    def add(self, keys: list[str], vectors: np.ndarray) -> None:
        """Keeps vectors (n, dim) float32 of rows; may be repeated.

        Raises:
            StoreError: a vector is not finite, or of another length.
        """
        dim = self._field.type.list_size
        if vectors.shape != (len(keys), dim) or not np.isfinite(vectors).all():
            raise StoreError(f"embed: found vectors of shape {vectors.shape}, expected ({len(keys)}, {dim}), finite")
        flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
        data = pa.table({"key": keys, "vector": pa.FixedSizeListArray.from_arrays(flat, type=self._field.type)})
        retry("the vectors", lambda: self._db.open_table(self._scratch).add(data))

    def finish(self) -> bool:
        """Makes the vectors a column, in place of one of this space; False if rows lack theirs, or others came.

        Raises:
            StoreUnavailable: the disk is full, or the connection did not come back.
        """
        rows, known = self._rows(), self._known()
        places = pc.index_in(self._keys(rows), known)
        if places.null_count:
            return False
        if self._column in rows.schema.names:
            rows.drop_columns([self._column])
        schema = pa.schema([self._field])
        vectors = pa.RecordBatchReader.from_batches(schema, self._batches(places.to_numpy(), schema))
        try:
            rows.add_columns(vectors)
        except OSError as error:
            if "conflict" in str(error).lower():
                return False  # a commit came in between, whose rows have no vectors
            raise StoreError(f"embed: {self._table} took no column ({reason(error)}); run it again") from None
        self._db.drop_table(self._scratch)
        return True

    def _batches(self, places: np.ndarray, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        vectors = self._db.open_table(self._scratch).to_lance()
        for start in range(0, len(places), _AT_ONCE):
            part = vectors.take(places[start : start + _AT_ONCE], columns=["vector"])["vector"].combine_chunks()
            yield pa.RecordBatch.from_arrays([part.cast(self._field.type)], schema=schema)

    def _rows(self) -> LanceDataset:
        return self._db.open_table(self._table).to_lance()

    def _keys(self, rows: LanceDataset) -> pa.Array:
        """What a vector belongs to: an id may have other media in another run."""
        found = rows.to_table(columns=[KEYS[self._table], "run_id"])
        return pc.binary_join_element_wise(*found.columns, "@").combine_chunks()

    def _known(self) -> pa.Array:
        return self._db.open_table(self._scratch).to_lance().to_table(columns=["key"])["key"].combine_chunks()


def drop(db: DBConnection, table: str, keep: str) -> list[str]:
    """Drops the vectors of all spaces but one; returns those spaces. Their bytes go with the next compaction."""
    spaces = [space for space in schemas.spaces_of(db.open_table(table).schema) if space != keep]
    if spaces:
        columns = [schemas.vector_column(space) for space in spaces]
        retry(table, lambda: db.open_table(table).to_lance().drop_columns(columns))
    return spaces
