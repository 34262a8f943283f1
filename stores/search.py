"""Nearest neighbours by exact cosine similarity in memory.

LanceDB's brute force over 200k x 512 took 0.7 s, numpy 0.03 s; its IVF_PQ index took minutes to build and is not
exact. So vectors are read in batches and compared here, whatever their number; only k of them are kept.
"""

import numpy as np
import pyarrow as pa

from stores import schemas
from stores.errors import StoreError
from stores.pairs import matrix, space_column
from stores.snapshot import Snapshot, quoted

METRIC = "cosine"


def nearest(
    snapshot: Snapshot,
    table: str,
    vector: np.ndarray,
    space: str | None = None,
    k: int = 10,
    where: str | None = None,
) -> pa.Table:
    """Returns the k rows of `table` most similar to `vector`; as `Store.nearest` says."""
    column, key = space_column(snapshot, table, space), schemas.KEYS[table]
    dim = snapshot.schema(table).field(column).type.list_size
    probe = np.asarray(vector, np.float32)
    if probe.shape != (dim,) or not np.isfinite(probe).all() or not probe.any():
        raise StoreError(
            f"{table}: searched with an array of shape {probe.shape}, expected ({dim},) finite, not all zero"
        )
    if k < 1:
        raise StoreError(f"{table}: searched for k = {k} rows, expected at least 1")

    keys, similarity = np.empty(0, str), np.empty(0, np.float32)
    for batch in snapshot.batches(table, [key, column], where):
        rows = pa.Table.from_batches([batch])
        keys = np.concatenate([keys, rows[key].to_numpy().astype(str)])
        similarity = np.concatenate([similarity, cosine(matrix(rows[column]), probe)])
        top = np.argsort(-similarity, kind="stable")[:k]
        keys, similarity = keys[top], similarity[top]
    return _rows(snapshot, table, keys.tolist(), similarity)


def cosine(vectors: np.ndarray, probe: np.ndarray) -> np.ndarray:
    """Returns the cosine of every vector with the probe, 0 for a zero vector.

    Args:
        vectors: (n, dim) float32.
        probe: (dim,) float32, not zero.

    Returns:
        (n,) float32 in -1..1.
    """
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors)) * np.linalg.norm(probe)
    return np.divide(vectors @ probe, norms, out=np.zeros(len(vectors), np.float32), where=norms > 0)


def _rows(snapshot: Snapshot, table: str, keys: list[str], similarity: np.ndarray) -> pa.Table:
    key = schemas.KEYS[table]
    vectors = set(map(schemas.vector_column, schemas.spaces_of(snapshot.schema(table))))
    columns = [name for name in snapshot.schema(table).names if name not in vectors | {schemas.MEDIA.get(table)}]
    where = f"{key} IN ({', '.join(map(quoted, keys))})" if keys else "false"
    rows = snapshot.query(table, columns, where)
    place = {value: index for index, value in enumerate(rows[key].to_pylist())}
    rows = rows.take(pa.array([place[value] for value in keys], pa.int64()))
    return rows.append_column(METRIC, pa.array(similarity, pa.float32()))
