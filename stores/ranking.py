"""The k vectors most similar to each of many queries, in whatever parts the vectors come.

One matrix product a part, in float32, and one comparison with what is best so far; only what could be among the k is
computed again in float64. So the figures depend neither on the parts nor on how many queries are asked at once, and
equal vectors have equal cosines: among these the lower key comes first.
"""

import numpy as np

QUERIES = 1024  # compared at once
SCORES = 1 << 22  # in memory at a time: 16 MB
PART = 1 << 14  # vectors, at least, in one product


class Ranking:
    """The k best so far of each query.

    Args:
        queries: (m, dim) float32, finite, none zero; need not have unit norm.
        k: how many are kept.
    """

    def __init__(self, queries: np.ndarray, k: int):
        self.k = k
        self._queries = unit(queries)
        # What the float32 product may be wrong by: of unit vectors, dim units in the last place.
        self._slack = np.float32(2 * queries.shape[1] * np.finfo(np.float32).eps)
        self._bound = np.full(len(queries), -np.inf, np.float32)  # no worse one is among the k
        self._kept: list[tuple[np.ndarray, ...]] = []  # query, cosine, key, row of what may be among them
        self._waiting = 0

    def see(self, vectors: np.ndarray, keys: np.ndarray, rows: np.ndarray) -> None:
        """Takes a part of the vectors into account.

        Args:
            vectors: (n, dim) float32, unit norm or zero.
            keys: (n,) of any kind that sorts; break ties.
            rows: (n,) what `best` shall name them by.
        """
        for first in range(0, len(self._queries), QUERIES):
            some = slice(first, min(first + QUERIES, len(self._queries)))
            part = max(SCORES // (some.stop - first), 1)
            for start in range(0, len(vectors), part):
                self._see(some, vectors, slice(start, start + part), keys, rows)

    def best(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the query, the row and the cosine (float32) of each that is kept, by query, the best first."""
        self._merge()
        query, cosine, _, row = self._kept[0] if self._kept else (np.empty(0, np.int64),) * 4
        return query, row, cosine.astype(np.float32)

    def _see(self, some: slice, vectors: np.ndarray, part: slice, keys: np.ndarray, rows: np.ndarray) -> None:
        vectors = vectors[part]
        scores = self._queries[some] @ vectors.T
        if len(vectors) > self.k and self._bound[some].min() == -np.inf:
            kth = np.partition(scores, len(vectors) - self.k, axis=1)[:, -self.k]
            self._bound[some] = np.maximum(self._bound[some], kth - self._slack)
        hits = np.flatnonzero(scores >= self._bound[some, None])
        if not len(hits):
            return
        query, row = np.divmod(hits, len(vectors))
        query += some.start
        cosine = np.empty(len(hits))
        for start in range(0, len(hits), PART):
            few = slice(start, start + PART)
            pairs = self._queries[query[few]].astype(np.float64), vectors[row[few]].astype(np.float64)
            cosine[few] = np.einsum("nd,nd->n", *pairs)
        # Equal in float32 is equal: unit norm itself is no more exact.
        self._kept.append((query, cosine.astype(np.float32), keys[part][row], rows[part][row]))
        self._waiting += len(hits)
        if self._waiting > max(self.k * len(self._queries), PART):
            self._merge()

    def _merge(self) -> None:
        """Keeps of each query the k best of what waits, and raises its bound to the worst of them."""
        if not self._kept:
            return
        query, cosine, key, row = (np.concatenate(column) for column in zip(*self._kept, strict=True))
        order = np.lexsort((key, -cosine, query))
        ordered = query[order]
        place = np.arange(len(order)) - np.searchsorted(ordered, ordered)
        order = order[place < self.k]
        self._kept = [(query[order], cosine[order], key[order], row[order])]
        asked, first, counts = np.unique(query[order], return_index=True, return_counts=True)
        full = counts == self.k
        worst = cosine[order][first[full] + self.k - 1]
        self._bound[asked[full]] = np.maximum(self._bound[asked[full]], worst - self._slack)
        self._waiting = 0


def unit(vectors: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Returns (n, dim) float32 of unit norm; zero where a vector is zero or not finite."""
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))[:, None]
    usable = np.isfinite(norms) & (norms > 0)
    out = np.zeros(vectors.shape, np.float32) if out is None else out
    return np.divide(vectors, norms, out=out, where=usable, casting="same_kind")
