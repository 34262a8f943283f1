"""Speed and recall of searching a store, beside numpy's matrix product and FAISS, on the same rows in one run.

    python benchmarks/search.py [--rows 1000 10000 100000] [--queries 256] [--out search.json]

Rows are clustered like real embeddings. A person is drawn from a normal distribution whose variances fall as 1/i over
512 rotated dimensions, and each of their ten rows has the same spectrum around it; 27 % of the variance is within a
person (850 real clips: faces 23 %, voices 31 %), and half of each vector's squared length is common to all (faces 84
%, voices 56 %). Queries are further rows of the same people. All times are medians in milliseconds, of runs in turn.
`whole_answer` is the whole `Store.nearest`: it looks up the newest version and fetches the rows and their columns.
The benchmark needs 6.3 kB of memory and 4.2 kB of disk per row.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa

from stores import Store, connection, search
from stores.maintenance.index import build_index
from stores.ranking import Ranking, unit
from stores.schema import vector_column
from stores.snapshot import Snapshot
from stores.vector_cache import VectorCache

DIM, PER_PERSON, WITHIN, COMMON, K = 512, 10, 0.27, 0.5, 10
SPACE = "clustered/512"
CHUNK = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    results = []
    for rows in args.rows:
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(Path(folder) / "store", rows, args.queries, args.repeats))
        print(json.dumps(results[-1], indent=2), flush=True)
    if args.out:
        args.out.write_text(json.dumps(results, indent=2) + "\n")


def measure(folder: Path, rows: int, queries: int, repeats: int) -> dict[str, Any]:
    world = World(rows)
    store = filled(str(folder), rows, world)
    probes = world.draw(np.random.default_rng(1).integers(0, world.people, queries), seed=rows)
    start = time.perf_counter()
    store.nearest("faces", probes[0])
    result: dict[str, Any] = {
        "rows": rows, "dim": DIM, "queries": queries, "k": K, "threads": faiss.omp_get_max_threads(),
        "read_into_memory_s": round(time.perf_counter() - start, 2),
    }  # fmt: skip
    held = VectorCache().get(store.snapshot(), "faces", vector_column(next(iter(store.spaces("faces")))))
    vectors, probes = held.vectors, unit(probes)
    truth = best(held.row_ids, held.rank, vectors, probes)
    random = unit(np.random.default_rng(2).normal(size=(50, DIM)).astype(np.float32))
    truth_random = best(held.row_ids, held.rank, vectors, random)

    flat = faiss.IndexFlatIP(DIM)
    flat.add(vectors)
    for name, some in (("batch", probes), ("single", probes[:1])):
        times = in_turn(
            repeats,
            numpy_product=lambda some=some: some @ vectors.T,
            exact=lambda some=some: best(held.row_ids, held.rank, vectors, some),
            whole_answer=lambda some=some: store.nearest("faces", some, k=K),
            faiss_flat=lambda some=some: flat.search(some, K),
        )
        result[name] = times | {"exact_to_product": round(times["exact"] / times["numpy_product"], 2)}
    result["filtered_single"] = in_turn(
        repeats,
        **{f"{share:g}": lambda share=share: store.nearest("faces", probes[0], k=K, where=f"quality < {share}")
           for share in (0.001, 0.01, 0.1, 1.0)},
    )  # fmt: skip
    flat.reset()  # its rows, too, take memory

    built = build_index(store, "faces")
    indexed = {"kind": built.kind, "build_s": round(built.build_s, 1), "nprobes": built.nprobes}
    indexed["recall_at_10_as_built"] = round(built.recall_at_10, 3)
    ids = {"queries": (probes, truth), "random_directions": (random, truth_random)}
    for name, (some, right) in ids.items():
        some, took, found = some[:100], [], []
        for probe in some:
            begin = time.perf_counter()
            near = store.nearest("faces", probe, k=K, memory_bytes=0)
            took.append(1000 * (time.perf_counter() - begin))
            assert near.by == search.INDEX
            found.append([int(name) for name in near.rows["face_id"].to_pylist()])
        # A face's id is its row number.
        indexed[name] = {"recall_at_10": recall(found, right), "whole_answer_ms": round(float(np.median(took)), 2)}
    result["index"] = indexed

    start = time.perf_counter()
    cells = int(4 * rows**0.5) if rows >= 10_000 else 16
    ivf = faiss.IndexIVFFlat(faiss.IndexFlatIP(DIM), DIM, cells, faiss.METRIC_INNER_PRODUCT)
    ivf.train(vectors[np.random.default_rng(0).permutation(rows)[: 50 * cells]])
    ivf.add(vectors)
    built_s = time.perf_counter() - start
    for nprobe in 2 ** np.arange(12):
        ivf.nprobe = int(nprobe)
        found = [held.rank[row] for row in ivf.search(probes, K)[1]]
        if recall(found, truth) >= 0.95:
            break
    single = in_turn(repeats, ms=lambda: [ivf.search(probe[None], K) for probe in probes[:50]])["ms"] / 50
    result["faiss_ivf_flat"] = {
        "cells": cells, "nprobe": ivf.nprobe, "build_s": round(built_s, 1), "single_ms": round(single, 3),
        "queries": {"recall_at_10": recall(found, truth)},
        "random_directions": {"recall_at_10": recall([held.rank[r] for r in ivf.search(random, K)[1]], truth_random)},
    }  # fmt: skip
    return result


class World:
    """People, and rows of them."""

    def __init__(self, rows: int, seed: int = 0):
        rng = np.random.default_rng(seed)
        spread = np.arange(1, DIM + 1) ** -0.5
        self.scale = (spread / np.linalg.norm(spread) * (1 - COMMON) ** 0.5).astype(np.float32)
        self.rotation = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0].astype(np.float32)
        common = rng.normal(size=DIM)
        self.common = (common / np.linalg.norm(common) * COMMON**0.5).astype(np.float32)
        self.people = -(-rows // PER_PERSON)
        self.centres = rng.standard_normal((self.people, DIM), np.float32)

    def draw(self, people: np.ndarray, seed: int) -> np.ndarray:
        """Returns rows (n, DIM) float32, unit norm, of people (n,)."""
        own = np.random.default_rng([1, seed]).standard_normal((len(people), DIM), np.float32)
        mixed = np.float32((1 - WITHIN) ** 0.5) * self.centres[people] + np.float32(WITHIN**0.5) * own
        return unit((mixed * self.scale) @ self.rotation + self.common)


def filled(uri: str, rows: int, world: World) -> Store:
    """Returns a store of numbered faces, written without `commit`, which takes dicts."""
    store = Store.create(uri, faces={SPACE: DIM}, voices={SPACE: DIM})
    db = connection.connect(uri)
    order = np.random.default_rng(3).permutation(rows) // PER_PERSON
    db.open_table("faces").add(_faces(db.open_table("faces").schema, order, world))
    videos = {"video_id": ["video"], "run_id": ["run"], "state": ["done"], "n_faces": [rows]}
    db.open_table("videos").add(_table(db.open_table("videos").schema, 1, videos))
    assert Snapshot(db).count("faces") == rows
    return store


def _faces(schema: pa.Schema, people: np.ndarray, world: World) -> Iterator[pa.RecordBatch]:
    quality = np.random.default_rng(4).random(len(people), np.float32)
    for start in range(0, len(people), CHUNK):
        some = people[start : start + CHUNK]
        count, vectors = len(some), world.draw(some, start)
        yield _table(schema, count, {
            "face_id": [f"{start + i:09}" for i in range(count)],
            "clip_id": [f"{(start + i) // 4:09}" for i in range(count)],
            "video_id": ["video"] * count, "run_id": ["run"] * count, "quality": quality[start : start + count],
            schema.vector_column(SPACE): pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIM),
        }).to_batches()[0]  # fmt: skip


def _table(schema: pa.Schema, count: int, given: dict[str, Any]) -> pa.Table:
    """Returns rows with the columns given, and something of their type in the others."""

    def column(field: pa.Field) -> pa.Array:
        kind = field.type
        if field.name in given:
            return pa.array(given[field.name], kind)
        if pa.types.is_fixed_size_list(kind):
            return pa.FixedSizeListArray.from_arrays(
                pa.array(np.zeros(count * kind.list_size, np.float32)), kind.list_size
            )
        empty = {pa.string(): "", pa.large_binary(): b"", pa.timestamp("us", tz="UTC"): datetime.now(UTC)}
        return pa.array([None if field.nullable else empty.get(kind, 0)] * count, kind)

    return pa.table([column(field) for field in schema], schema=schema)


def best(row_ids: np.ndarray, rank: np.ndarray, vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Returns the ranks (m, K) of the nearest rows, by exact search."""
    ranking = Ranking(queries, K)
    ranking.add(vectors, rank, rank)
    return ranking.best()[1].reshape(len(queries), K)


def recall(found: list, right: np.ndarray) -> float:
    shares = [len(set(map(int, a)) & set(map(int, b))) / K for a, b in zip(found, right, strict=False)]
    return round(float(np.mean(shares)), 4)


def in_turn(repeats: int, **works: Callable[[], object]) -> dict[str, float]:
    """Returns the median milliseconds of each function; they run in turn, so that other load slows them equally."""
    took: dict[str, list[float]] = {name: [] for name in works}
    for number in range(repeats + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if number:
                took[name].append(1000 * (time.perf_counter() - start))
    return {name: round(float(np.median(times)), 3) for name, times in took.items()}


if __name__ == "__main__":
    main()
