"""Build the vector index of a table that does not fit memory, and measure it against exact search.

Four bits for each dimension are kept. One bit is enough for queries that resemble the rows (50,000 x 512 clustered,
all cells: recall@10 of .998), not for others, such as a text among faces (random directions: .32; with four bits
.997).
"""

import time
from dataclasses import dataclass

import numpy as np
from lancedb.db import DBConnection
from lancedb.index import IvfFlat, IvfRq

from stores import schema
from stores.errors import StoreError, reason
from stores.pairs import matrix, space_column
from stores.ranking import Ranking, unit
from stores.retry import retry
from stores.search import PROBES, nprobes_key, search_index
from stores.snapshot import ROW_ID, Snapshot
from stores.store import Store
from stores.vector_cache import batches

FEWEST = 256  # rows that the centroids need
BITS = 4  # for each dimension


@dataclass(frozen=True)
class IndexReport:
    """An index, and the recall that was measured."""

    table: str
    space: str
    kind: str  # IVF_RQ | IVF_FLAT
    rows: int
    nprobes: int  # cells that a query looks into
    recall_at_10: float  # against exact search, on `queries` rows of the table that nprobes was not chosen on
    queries: int
    build_s: float
    query_ms: float  # median, one query at a time


def build_index(
    store: Store, table: str, space: str | None = None, recall: float = 0.95, sample: int = 200, seed: int = 0
) -> IndexReport:
    """Builds the vector index of a table, in place of an older one, and measures its recall.

    Rows that are committed later are found without the index, more slowly; build it again after many.

    Args:
        store: the store.
        table: faces or voices.
        space: may be left out where the table has but one.
        recall: the recall to reach on one half of the sample; searches read as many cells as that needs.
        sample: number of rows to search for; the reported recall is measured on the other half.
        seed: of the random sample.

    Raises:
        StoreError: the table has no such space, or too few rows.
    """
    snapshot = store.snapshot()
    column = space_column(snapshot, table, space)
    field = snapshot.schema(table).field(column)
    rows, dim = snapshot.count(table), field.type.list_size
    if rows < FEWEST:
        raise StoreError(f"{table}: {rows} rows are too few for an index, expected at least {FEWEST}")
    # The codes fill whole bytes.
    coded = dim % 8 == 0
    config = IvfRq(distance_type="cosine", num_bits=BITS) if coded else IvfFlat(distance_type="cosine")
    start_s = time.perf_counter()
    retry(store.db, "the index", lambda: _create(store.db, table, column, config))
    build_s = time.perf_counter() - start_s

    snapshot = store.snapshot()
    queries, exact = _exact(snapshot, table, column, sample, seed)
    chosen_on, reported = slice(0, len(queries) // 2), slice(len(queries) // 2, None)
    nprobes = PROBES[-1]
    for nprobes in PROBES:
        reached, _ = _recall(snapshot, table, column, queries[chosen_on], exact[chosen_on], nprobes)
        if reached >= recall:
            break
    measured, query_ms = _recall(snapshot, table, column, queries[reported], exact[reported], nprobes)
    key: dict[str, str | None] = {nprobes_key(column): str(nprobes)}
    retry(store.db, "the index's settings", lambda: store.db.open_table(table).to_lance().update_config(key))
    return IndexReport(
        table=table,
        space=field.metadata[schema.SPACE_KEY].decode(),
        kind="IVF_RQ" if coded else "IVF_FLAT",
        rows=rows,
        nprobes=nprobes,
        recall_at_10=measured,
        queries=len(queries[reported]),
        build_s=build_s,
        query_ms=query_ms,
    )


def _create(db: DBConnection, table: str, column: str, config: IvfRq | IvfFlat) -> None:
    try:
        db.open_table(table).create_index(column, config=config, replace=True)
    except ValueError as error:
        raise StoreError(f"{table}: no index ({reason(error)})") from None


def _exact(
    snapshot: Snapshot, table: str, column: str, sample: int, seed: int
) -> tuple[np.ndarray, list[tuple[int, set[int]]]]:
    """Returns vectors drawn from the table, and for each its own row id and those of its ten nearest neighbours."""
    ids = np.sort(snapshot.query(table, [ROW_ID])[ROW_ID].to_numpy())
    drawn = np.random.default_rng(seed).permutation(ids)[:sample]
    queries = matrix(snapshot.take(table, drawn, [column])[column])
    usable = unit(queries).any(1)
    drawn, queries = drawn[usable], queries[usable]
    ranking = Ranking(queries, 11)
    for rows in batches(snapshot, table, column):
        keys = rows[schema.KEYS[table]].to_numpy().astype(str)
        ranking.add(unit(matrix(rows[column])), keys, rows[ROW_ID].to_numpy())
    query, row, _ = ranking.best()
    return queries, [(int(own), _others(row[query == number], int(own))) for number, own in enumerate(drawn)]


def _recall(
    snapshot: Snapshot, table: str, column: str, queries: np.ndarray, exact: list[tuple[int, set[int]]], nprobes: int
) -> tuple[float, float]:
    """Returns the mean share of the ten nearest that the index finds, and the median milliseconds of a query."""
    shares, took_ms = [], []
    for query, (own, nearest) in zip(queries, exact, strict=True):
        start_s = time.perf_counter()
        row, _ = search_index(snapshot, table, column, query, 11, None, nprobes)
        took_ms.append(1000 * (time.perf_counter() - start_s))
        shares.append(len(_others(row, own) & nearest) / max(len(nearest), 1))
    return float(np.mean(shares)), float(np.median(took_ms))


def _others(rows: np.ndarray, own: int) -> set[int]:
    """Returns the first ten rows other than `own`, which any search finds."""
    return set([row for row in rows.tolist() if row != own][:10])
