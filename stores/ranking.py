"""The k vectors most similar to each of many queries, in whatever parts the vectors come.

Each part takes one matrix product in float32 and one comparison with the best so far; only candidates for the k best
are computed again in float64. So the cosines depend neither on the parts nor on the number of queries at once, and
equal vectors have equal cosines: among these the lower key comes first.
"""

import numpy as np

PART = 1 << 14  # vectors


class Ranking:
    """The k best vectors of each query so far.

    Args:
        queries: (m, dim) float32, finite, none zero; need not have unit norm.
        k: number of vectors to keep for each query.
        queries_at_once: in one matrix product.
        scores_at_once: in memory at a time, 4 bytes each.
        vectors_at_once: in one product in float64.
    """

    def __init__(
        self,
        queries: np.ndarray,
        k: int,
        queries_at_once: int = 1024,
        scores_at_once: int = 1 << 22,
        vectors_at_once: int = PART,
    ):
        self.k = k
        self._queries_at_once, self._scores_at_once = queries_at_once, scores_at_once
        self._vectors_at_once = vectors_at_once
        self._queries = unit(queries)
        # Error bound of the float32 product of unit vectors: dim units in the last place.
        self._slack = np.float32(2 * queries.shape[1] * np.finfo(np.float32).eps)
        self._bound = np.full(len(queries), -np.inf, np.float32)  # lowest cosine that can be among the k
        self._kept: list[tuple[np.ndarray, ...]] = []  # query, cosine, key, row of the candidates
        self._waiting = 0

    def add(self, vectors: np.ndarray, keys: np.ndarray, rows: np.ndarray) -> None:
        """Compares a part of the vectors with the queries.

        Args:
            vectors: (n, dim) float32, unit norm or zero.
            keys: (n,) of any kind that sorts; break ties.
            rows: (n,) names for `best` to return.
        """
        for first in range(0, len(self._queries), self._queries_at_once):
            some = slice(first, min(first + self._queries_at_once, len(self._queries)))
            part = max(self._scores_at_once // (some.stop - first), 1)
            for start in range(0, len(vectors), part):
                self._add(some, vectors, slice(start, start + part), keys, rows)

    def best(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns query number, row and cosine (float32) of the k best of each query, by query, the best first."""
        self._merge()
        query, cosine, _, row = self._kept[0] if self._kept else (np.empty(0, np.int64),) * 4
        return query, row, cosine.astype(np.float32)

    def _add(self, some: slice, vectors: np.ndarray, part: slice, keys: np.ndarray, rows: np.ndarray) -> None:
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
        for start in range(0, len(hits), self._vectors_at_once):
            few = slice(start, start + self._vectors_at_once)
            pairs = self._queries[query[few]].astype(np.float64), vectors[row[few]].astype(np.float64)
            cosine[few] = np.einsum("nd,nd->n", *pairs)
        # Equal in float32 is equal: unit norm itself is no more exact.
        self._kept.append((query, cosine.astype(np.float32), keys[part][row], rows[part][row]))
        self._waiting += len(hits)
        if self._waiting > max(self.k * len(self._queries), self._vectors_at_once):
            self._merge()

    def _merge(self) -> None:
        """Keeps the k best candidates of each query, and raises its bound to the worst of them."""
        if not self._kept:
            return
        query, cosine, key, row = (np.concatenate(column) for column in zip(*self._kept, strict=True))
        order = np.lexsort((key, -cosine, query))
        ordered = query[order]
        place = np.arange(len(order)) - np.searchsorted(ordered, ordered)
        order = order[place < self.k]
        self._kept = [(query[order], cosine[order], key[order], row[order])]
        number, first, counts = np.unique(query[order], return_index=True, return_counts=True)
        full = counts == self.k
        worst = cosine[order][first[full] + self.k - 1]
        self._bound[number[full]] = np.maximum(self._bound[number[full]], worst - self._slack)
        self._waiting = 0


def unit(vectors: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Returns (n, dim) float32 of unit norm; zero where a vector is zero or not finite."""
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))[:, None]
    usable = np.isfinite(norms) & (norms > 0)
    out = np.zeros(vectors.shape, np.float32) if out is None else out
    return np.divide(vectors, norms, out=out, where=usable, casting="same_kind")
