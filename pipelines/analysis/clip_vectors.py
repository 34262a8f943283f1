"""What analyses read of a store: clips, and for each its direction in a space, a batch of vectors at a time."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from pyarrow import compute

from pipelines.progress import step
from stores import Snapshot
from stores.pairs import matrix, space_column
from vclip.errors import InputError

Embed = Callable[[np.ndarray], np.ndarray]  # (n, dim) -> (n, any)


def clips_with(
    snapshot: Snapshot, tables: Sequence[str], columns: Sequence[str], where: str | None = None
) -> pa.Table:
    """Returns the clips that have a row in each of the tables, in the order of their ids.

    Args:
        snapshot: the state to read.
        tables: faces, voices or both.
        columns: of the clips; clip_id comes first in any case.
        where: an SQL filter over clips.

    Raises:
        InputError: no clip is left.
    """
    clips = snapshot.query("clips", list(dict.fromkeys(["clip_id", *columns])), where)
    for table in tables:
        has = compute.unique(snapshot.query(table, ["clip_id"])["clip_id"])
        clips = clips.filter(compute.is_in(clips["clip_id"], has))
    if not len(clips):
        filtered = f" where {where}" if where else ""
        raise InputError(f"store: found no clip with {' and '.join(tables)}{filtered}; ingest or import some first")
    return clips.sort_by("clip_id")


def directions(
    snapshot: Snapshot, table: str, space: str | None, clips: pa.Table, embed: Embed | None = None
) -> np.ndarray:
    """Returns the normed mean (C, d) float32 of the vectors of each clip; (C, 1) zeros where there is none at all.

    Args:
        snapshot: the state to read.
        table: faces or voices.
        space: of the vectors; may be None where the table has but one.
        clips: C clips with a column clip_id.
        embed: what to make of the vectors before their mean is taken.

    Raises:
        StoreError: the table has no such space.
    """
    column, wanted = space_column(snapshot, table, space), clips["clip_id"].combine_chunks()
    sums = np.zeros((len(clips), 1), np.float32)
    with step(f"reading {table}", snapshot.count(table), "vectors") as reading:
        for batch in snapshot.batches(table, ["clip_id", column]):
            rows = pa.Table.from_batches([batch])
            row = compute.index_in(rows["clip_id"], wanted).fill_null(-1).to_numpy()
            vectors = matrix(rows[column])[row >= 0]
            vectors = embed(vectors) if embed and len(vectors) else vectors
            if len(vectors):
                if sums.shape[1] != vectors.shape[1]:
                    sums = np.zeros((len(clips), vectors.shape[1]), np.float32)
                np.add.at(sums, row[row >= 0], vectors)
            reading.advance(len(row))
    for start in range(0, len(sums), 1 << 14):
        part = sums[start : start + (1 << 14)]
        part /= np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12)
    return sums
