"""Statistics of a stream of any length in bounded memory, for runs of a million videos."""

import heapq
import itertools
import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


class Histogram:
    """Counts values in fixed bins; the outermost take what lies beyond them. Each bin keeps its least and most."""

    def __init__(self, edges: Sequence[float]):
        self.edges = [float(edge) for edge in edges]
        self.counts = [0] * (len(self.edges) - 1)
        self.total = 0.0
        self._least, self._most = (np.full(len(self.counts), limit) for limit in (np.inf, -np.inf))

    def add(self, value: float) -> None:
        place = min(max(bisect_right(self.edges, value) - 1, 0), len(self.counts) - 1)
        self.counts[place] += 1
        self.total += value
        self._least[place], self._most[place] = min(self._least[place], value), max(self._most[place], value)

    def add_all(self, values: np.ndarray) -> None:
        """Adds each of (n,) values."""
        places = np.clip(np.searchsorted(self.edges, values, "right") - 1, 0, len(self.counts) - 1)
        self.counts = (self.counts + np.bincount(places, minlength=len(self.counts))).tolist()
        self.total += float(np.sum(values, dtype=np.float64))
        np.minimum.at(self._least, places, values)
        np.maximum.at(self._most, places, values)

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """The mean of the values, not of the bins; 0 if there are none."""
        return self.total / max(1, self.count)

    def quantile(self, share: float) -> float:
        """Returns the quantile of a share 0..1, interpolated between the least and the most value of its bin."""
        left = share * self.count
        for low, high, count in zip(self._least, self._most, self.counts, strict=True):
            if count and left <= count:
                return float(low + (high - low) * left / count)
            left -= count
        return self.edges[-1]

    def to_json(self) -> dict[str, Any]:
        quantiles = {f"p{round(100 * q)}": self.quantile(q) for q in (0.05, 0.5, 0.95)}
        return {"count": self.count, "mean": self.mean, **quantiles, "edges": self.edges, "counts": self.counts}


def evenly(low: float, high: float, bins: int) -> list[float]:
    """Returns the edges of bins of one width."""
    return [low + (high - low) * i / bins for i in range(bins + 1)]


class Largest:
    """Keeps the items with the `limit` largest values."""

    def __init__(self, limit: int):
        self._limit, self._heap, self._order = limit, [], itertools.count()

    def add(self, value: float, item: Any) -> None:
        # The order breaks ties, so that items are never compared.
        heapq.heappush(self._heap, (value, next(self._order), item))
        if len(self._heap) > self._limit:
            heapq.heappop(self._heap)

    def items(self) -> list[Any]:
        """Returns the items kept, the largest value first."""
        return [item for _, _, item in sorted(self._heap, reverse=True)]


class Examples:
    """Keeps `limit` of the items seen, each as likely as any other (reservoir sampling; Vitter 1985, algorithm R)."""

    def __init__(self, limit: int, seed: int = 0):
        self.items: list[Any] = []
        self._limit, self._seen, self._random = limit, 0, random.Random(seed)

    def add(self, item: Any) -> None:
        self._seen += 1
        if len(self.items) < self._limit:
            self.items.append(item)
        elif (place := self._random.randrange(self._seen)) < self._limit:
            self.items[place] = item


@dataclass
class _Kind:
    count: int = 0
    examples: Examples = field(default_factory=lambda: Examples(3))


class Kinds:
    """Counts by name, with a few examples of each; names beyond the first `limit` are counted together as "other"."""

    OTHER = "other"

    def __init__(self, limit: int, examples: int):
        self._limit, self._examples = limit, examples
        self._kinds: dict[str, _Kind] = {}

    def add(self, name: str, example: Any = None) -> None:
        """Counts one more of a name; None is no example."""
        if name not in self._kinds and len(self._kinds) >= self._limit:
            name = self.OTHER
        kind = self._kinds.setdefault(name, _Kind(examples=Examples(self._examples)))
        kind.count += 1
        if example is not None:
            kind.examples.add(example)

    def most_common(self) -> list[tuple[str, int, list[Any]]]:
        """Returns name, count and examples, the most frequent first."""
        return [(k, v.count, v.examples.items) for k, v in sorted(self._kinds.items(), key=lambda i: -i[1].count)]

    def to_json(self) -> dict[str, int]:
        return {name: count for name, count, _ in self.most_common()}


class TimeBins:
    """Sums amounts in at most `bins` equal bins of time; when time runs beyond them, the bins get twice as wide."""

    def __init__(self, bins: int = 96, width_s: float = 1.0):
        self.width_s, self.sums = width_s, [0.0]
        self._bins = bins

    def add(self, time_s: float, amount: float) -> None:
        while time_s >= self.width_s * self._bins:
            even = [*self.sums, 0.0] if len(self.sums) % 2 else self.sums
            self.sums = [a + b for a, b in zip(even[::2], even[1::2], strict=True)]
            self.width_s *= 2
        place = max(0, int(time_s / self.width_s))
        self.sums += [0.0] * (place + 1 - len(self.sums))
        self.sums[place] += amount

    def to_json(self) -> dict[str, Any]:
        return {"bin_s": self.width_s, "sums": self.sums}
