"""Vector indices for tables that do not fit memory: built, measured against exact search, and asked.

IVF: the vectors stand in cells around centroids, and a query looks into the `nprobes` nearest cells. How many cells a
recall needs is measured when the index is built, and stands in the table's configuration. A cell keeps four bits of
each dimension (RaBitQ), and the best by these are compared once more in full. One bit is enough for queries that are
like the rows (50,000 x 512 clustered, all cells: recall@10 of .998), not for others, as a text among faces (random
directions: .32; with four bits .997).
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from lancedb.db import DBConnection
from lancedb.index import IvfFlat, IvfRq

from stores import schema
from stores.errors import StoreError, reason
from stores.pairs import matrix, space_column
from stores.ranking import Ranking, unit
from stores.retry import retry
from stores.snapshot import ROW_ID, Snapshot
from stores.vector_cache import batches

FEWEST = 256  # rows that centroids can be learned from
BITS = 4  # of a dimension
REFINE = 5  # times k vectors are compared in full
PROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True)
class Built:
    """An index, and how well it finds."""

    table: str
    space: str
    kind: str  # IVF_RQ | IVF_FLAT
    rows: int
    nprobes: int  # cells that a query looks into
    recall_at_10: float  # against exact search, over `queries` rows of the table that nprobes was not chosen on
    queries: int
    build_s: float
    query_ms: float  # median, one query at a time


def build(
    db: DBConnection, table: str, space: str | None = None, recall: float = 0.95, sample: int = 200, seed: int = 0
) -> Built:
    """Builds the index of a table's vectors, or builds it anew; as `Store.build_index` says."""
    snapshot = Snapshot(db)
    column = space_column(snapshot, table, space)
    field = snapshot.schema(table).field(column)
    rows, dim = snapshot.count(table), field.type.list_size
    if rows < FEWEST:
        raise StoreError(f"{table}: {rows} rows are too few for an index, expected at least {FEWEST}")
    # The codes fill whole bytes.
    coded = dim % 8 == 0
    config = IvfRq(distance_type="cosine", num_bits=BITS) if coded else IvfFlat(distance_type="cosine")
    start_s = time.perf_counter()
    retry("the index", lambda: _create(db, table, column, config))
    build_s = time.perf_counter() - start_s

    snapshot = Snapshot(db)
    queries, exact = _exact(snapshot, table, column, sample, seed)
    chosen_on, reported = slice(0, len(queries) // 2), slice(len(queries) // 2, None)
    for nprobes in PROBES:
        found, _ = _recall(snapshot, table, column, queries[chosen_on], exact[chosen_on], nprobes)
        if found >= recall:
            break
    found, query_ms = _recall(snapshot, table, column, queries[reported], exact[reported], nprobes)
    key = {_setting(column): str(nprobes)}
    retry("the index's settings", lambda: db.open_table(table).to_lance().update_config(key))
    name = field.metadata[schema.SPACE_KEY].decode()
    return Built(
        table,
        name,
        "IVF_RQ" if coded else "IVF_FLAT",
        rows,
        nprobes,
        found,
        len(queries[reported]),
        build_s,
        query_ms,
    )


def exists(snapshot: Snapshot, table: str, column: str) -> bool:
    """Returns whether the vectors have an index."""
    return any(column in index.columns for index in snapshot.indices(table))


def search(
    snapshot: Snapshot, table: str, column: str, queries: np.ndarray, k: int, where: str | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns query, row id and cosine of what the index finds, as `Ranking.best`."""
    nprobes = int(snapshot.settings(table).get(_setting(column), PROBES[-1]))
    found = [_one(snapshot, table, column, query, k, where, nprobes) for query in queries]
    query = np.repeat(np.arange(len(found)), [len(cosine) for _, cosine in found])
    return query, *(np.concatenate(parts) for parts in zip(*found, strict=True))


def _one(
    snapshot: Snapshot, table: str, column: str, query: np.ndarray, k: int, where: str | None, nprobes: int
) -> tuple[np.ndarray, np.ndarray]:
    key = schema.KEYS[table]
    rows = snapshot.near(table, [key, column, ROW_ID], column, query, k, where, nprobes, REFINE)
    ranking = Ranking(query[None], k)
    if len(rows):
        keys = rows[key].to_numpy().astype(str)
        ranking.see(unit(matrix(rows[column])), keys, rows[ROW_ID].to_numpy())
    return ranking.best()[1:]


def _create(db: DBConnection, table: str, column: str, config: Any) -> None:
    try:
        db.open_table(table).create_index(column, config=config, replace=True)
    except ValueError as error:
        raise StoreError(f"{table}: no index ({reason(error)})") from None


def _exact(
    snapshot: Snapshot, table: str, column: str, sample: int, seed: int
) -> tuple[np.ndarray, list[tuple[int, set[int]]]]:
    """Returns vectors drawn from the table, and of each its own row id and those of the ten nearest others."""
    ids = np.sort(snapshot.query(table, [ROW_ID])[ROW_ID].to_numpy())
    drawn = np.random.default_rng(seed).permutation(ids)[:sample]
    queries = matrix(snapshot.take(table, drawn, [column])[column])
    usable = unit(queries).any(1)
    drawn, queries = drawn[usable], queries[usable]
    ranking = Ranking(queries, 11)
    for rows in batches(snapshot, table, column, None):
        keys = rows[schema.KEYS[table]].to_numpy().astype(str)
        ranking.see(unit(matrix(rows[column])), keys, rows[ROW_ID].to_numpy())
    query, row, _ = ranking.best()
    return queries, [(int(own), _others(row[query == number], int(own))) for number, own in enumerate(drawn)]


def _recall(
    snapshot: Snapshot, table: str, column: str, queries: np.ndarray, exact: list[tuple[int, set[int]]], nprobes: int
) -> tuple[float, float]:
    """Returns the mean share of the ten nearest that were found, and the median milliseconds of a query."""
    shares, took_ms = [], []
    for query, (own, nearest) in zip(queries, exact, strict=True):
        start_s = time.perf_counter()
        row, _ = _one(snapshot, table, column, query, 11, None, nprobes)
        took_ms.append(1000 * (time.perf_counter() - start_s))
        shares.append(len(_others(row, own) & nearest) / max(len(nearest), 1))
    return float(np.mean(shares)), float(np.median(took_ms))


def _others(rows: np.ndarray, own: int) -> set[int]:
    """Returns the first ten that are not the row itself, which is found without any search."""
    return set([row for row in rows.tolist() if row != own][:10])


def _setting(column: str) -> str:
    return f"vclip.nprobes.{column}"
