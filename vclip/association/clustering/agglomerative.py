"""Average-linkage clustering of clips by person: exact, without the matrix of all pairs.

Two groups are of one person if the mean score of all pairs of their clips is above a bound; the two groups farthest
above it are merged first. One clip that resembles two people does not chain them, as in single linkage.

- The bound controls the false discovery rate (Benjamini and Hochberg, 1995): of all pairs above it, one in twenty is
  expected to be of two people. Pairs within a video have a far lower bound of their own, because many of them are of
  one person.
- A mean above a bound implies a pair above it. So only groups with such a pair are compared, and those pairs, the
  edges, are found once, in tiles.
- Scores are products of vectors (`PairScores`), so the mean over two groups is the product of their sums: comparing
  large groups takes no longer than comparing small ones.
- Groups of clips known to be of two people (on screen at once, or with two identities) never merge.
"""

import heapq
from collections import Counter

import numpy as np

from vclip.association.clustering.pair_scores import EACH_AT_LEAST, PairScores, bound, chance

FALSE_SHARE = 0.05  # of the pairs above the bound
MOST_FALSE = 1.0  # false edges per clip to other videos, at most, before the bound is known
TILE = 2048  # clips compared with as many others at a time
MOST_EDGES = 64  # edges kept per clip, the best; enough to find a person with more clips

ROUNDING = 1e-4  # of a score in float32
NEAR = np.dtype([("clip", np.int64), ("other", np.int64), ("value", np.float32)])


def likely_edges(
    scores: PairScores,
    video: np.ndarray,
    false_each: float = MOST_FALSE,
    most_edges: int = MOST_EDGES,
    tile: int = TILE,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pairs of clips (m, 2) whose score is higher than chance explains, and their scores (m,).

    Args:
        scores: of C clips.
        video: (C,) the number of each clip's video.
        false_each: the expected number of pairs of two people among these, per clip.
        most_edges: pairs kept per clip, those with the highest scores.
        tile: clips compared with as many others at a time.
    """
    both = np.hstack([scores.faces, scores.voices])
    mean = scores.face_mean + scores.voice_mean
    near = _near(both, bound(false_each / max(len(both) - 1, 1)) + mean, most_edges, tile)
    found = [near[video[near["clip"]] != video[near["other"]]]]
    for members in _same(video):
        near = _near(both[members], bound(FALSE_SHARE) + mean, most_edges, tile)
        near["clip"], near["other"] = members[near["clip"]], members[near["other"]]
        found.append(near)
    near = np.concatenate(found)
    return np.column_stack([near["clip"], near["other"]]), near["value"] - mean


def cluster(
    scores: PairScores,
    video: np.ndarray,
    known: np.ndarray | None = None,
    apart: np.ndarray | None = None,
    bounds: tuple[float, float] | None = None,
    each_at_least: float = EACH_AT_LEAST,
    most_edges: int = MOST_EDGES,
    tile: int = TILE,
) -> np.ndarray:
    """Returns the cluster number (C,) of each clip.

    Args:
        scores: of C clips.
        video: (C,) the number of each clip's video.
        known: (C,) the number of each clip's person, -1 where unknown. Clips of one known person stay together and
            clips of two stay apart, whatever their scores.
        apart: (n, 2) rows of clips known to be of two people.
        bounds: the mean score above which groups are one person, for pairs across videos and for pairs within one;
            found by the false discovery rate if None.
        each_at_least: the least mean score of the face alone, and of the voice alone.
        most_edges, tile: as of `likely_edges`.
    """
    known = np.full(len(scores), -1) if known is None else known
    group = np.arange(len(scores))
    for members in _same(known):
        if known[members[0]] >= 0:
            group[members] = members[0]
    edges, value = likely_edges(scores, video, most_edges=most_edges, tile=tile)
    inside = video[edges[:, 0]] == video[edges[:, 1]]
    if bounds is None:
        size = np.bincount(video).astype(np.int64)
        pairs, pairs_inside = (int(np.sum(n * (n - 1) // 2)) for n in (np.array([len(video)]), size))
        bounds = (
            false_discovery_bound(value[~inside], pairs - pairs_inside),
            false_discovery_bound(value[inside], pairs_inside),
        )
    groups = _Groups(scores, video, known, group, bounds, each_at_least)
    groups.keep_apart(group[apart] if apart is not None else np.empty((0, 2), np.int64))
    groups.join(group[edges[value > np.where(inside, bounds[1], bounds[0])]])
    return groups.merge()


def false_discovery_bound(value: np.ndarray, pairs: int) -> float:
    """Returns the score above which FALSE_SHARE of the pairs is expected to be of two people.

    Args:
        value: (m,) the highest scores; those far below the bound may be missing.
        pairs: the number of all pairs, among which these are the highest.
    """
    rising = np.sort(value)
    beyond = np.arange(len(rising), 0, -1)
    fine = np.flatnonzero(pairs * chance(rising) <= FALSE_SHARE * beyond)
    # Otherwise the bound that would hold if every pair were due to chance.
    return float(rising[fine[0]]) - ROUNDING if len(fine) else bound(FALSE_SHARE / max(pairs, 1))


def _near(vectors: np.ndarray, least: float, most: int, tile: int) -> np.ndarray:
    """Returns the pairs whose product exceeds a bound: for each vector the `most` best with later vectors."""
    found = [np.empty(0, NEAR)]
    for start in range(0, len(vectors), tile):
        rows, starts = vectors[start : start + tile], range(start, len(vectors), tile)
        near = np.concatenate([_above(rows @ vectors[at : at + tile].T, least, start, at, most) for at in starts])
        near = near[np.lexsort((-near["value"], near["clip"]))]
        rank = np.arange(len(near)) - np.searchsorted(near["clip"], near["clip"])
        found.append(near[rank < most])
    return np.concatenate(found)


def _above(products: np.ndarray, least: float, first_row: int, first_column: int, most: int) -> np.ndarray:
    """Returns the products above a bound: for each row the `most` best with later clips."""
    if first_row == first_column:
        products[np.tril_indices(len(products))] = -np.inf
    for row in np.flatnonzero(np.count_nonzero(products > least, axis=1) > most):
        products[row, np.argpartition(-products[row], most)[most:]] = -np.inf
    row, column = np.nonzero(products > least)
    near = np.empty(len(row), NEAR)
    near["clip"], near["other"], near["value"] = row + first_row, column + first_column, products[row, column]
    return near


def _same(number: np.ndarray) -> list[np.ndarray]:
    """Returns the rows of each number that occurs more than once, numbers ascending."""
    order = np.argsort(number, kind="stable")
    return [rows for rows in np.split(order, np.flatnonzero(np.diff(number[order])) + 1) if len(rows) > 1]


class _Groups:
    """Groups of clips while they are merged, each named by one of its clips, with the sums of their vectors."""

    def __init__(
        self,
        scores: PairScores,
        video: np.ndarray,
        known: np.ndarray,
        group: np.ndarray,
        bounds: tuple[float, float],
        each_at_least: float,
    ):
        self._scores, self._group, self._known = scores, group, known.copy()
        self._faces, self._voices = scores.faces.astype(np.float64), scores.voices.astype(np.float64)
        self._count = np.ones(len(group))
        self._bound, self._less, self._each_at_least = bounds[0], bounds[0] - bounds[1], each_at_least
        self._videos = [Counter({int(number): 1}) for number in video]
        self._near: list[set[int]] = [set() for _ in group]
        self._apart: list[set[int]] = [set() for _ in group]
        self._age = np.zeros(len(group), np.int64)  # merges so far; -1 is a group that was merged into another
        for clip in np.flatnonzero(group != np.arange(len(group))):
            self._take(int(group[clip]), int(clip))

    def keep_apart(self, pairs: np.ndarray) -> None:
        for first, second in pairs.tolist():
            self._apart[first].add(second)
            self._apart[second].add(first)

    def join(self, edges: np.ndarray) -> None:
        for first, second in edges.tolist():
            if first != second:
                self._near[first].add(second)
                self._near[second].add(first)

    def merge(self) -> np.ndarray:
        """Merges until no two groups score above the bound; returns the group of each clip."""
        heap: list[tuple[float, int, int, int, int]] = []
        for group in range(len(self._near)):
            heap += self._candidates(group, [other for other in self._near[group] if other > group])
        heapq.heapify(heap)
        parent = self._group
        while heap:
            _, group, merged, *ages = heapq.heappop(heap)
            if [self._age[group], self._age[merged]] != ages:
                continue
            self._take(group, merged)
            parent[merged] = group
            for candidate in self._candidates(group, list(self._near[group])):
                heapq.heappush(heap, candidate)
        return _roots(parent)

    def _take(self, group: int, merged: int) -> None:
        """Moves all clips of the group `merged` into `group`."""
        self._faces[group] += self._faces[merged]
        self._voices[group] += self._voices[merged]
        self._count[group] += self._count[merged]
        self._videos[group].update(self._videos[merged])
        self._known[group] = max(self._known[group], self._known[merged])
        for kind in (self._near, self._apart):
            for neighbour in kind[merged]:
                kind[neighbour].discard(merged)
                if neighbour != group:
                    kind[neighbour].add(group)
                    kind[group].add(neighbour)
            kind[group].discard(merged)
            kind[merged] = set()
        self._age[group], self._age[merged] = self._age[group] + 1, -1
        self._videos[merged] = Counter()

    def _candidates(self, group: int, others: list[int]) -> list[tuple[float, int, int, int, int]]:
        """Returns heap entries for those of `others` that may merge with a group."""
        others = [
            other for other in others if other not in self._apart[group] and self._may_be_one_person(group, other)
        ]
        if not others:
            return []
        scores, clips = self._scores, self._count[group] * self._count[others]
        face = self._faces[others] @ self._faces[group] / clips - scores.face_mean
        voice = self._voices[others] @ self._voices[group] / clips - scores.voice_mean
        inside = np.array([_pairs_within_videos(self._videos[group], self._videos[other]) for other in others])
        above = face + voice - self._bound + self._less * inside / clips
        good = (above > 0) & (face >= self._each_at_least) & (voice >= self._each_at_least)
        return [
            (-float(above[i]), group, others[i], int(self._age[group]), int(self._age[others[i]]))
            for i in np.flatnonzero(good)
        ]

    def _may_be_one_person(self, group: int, other: int) -> bool:
        return self._known[group] < 0 or self._known[other] < 0 or self._known[group] == self._known[other]


def _pairs_within_videos(first: Counter, second: Counter) -> int:
    """Returns how many pairs of clips of two groups are of one video."""
    few, many = sorted((first, second), key=len)
    return sum(count * many[video] for video, count in few.items())


def _roots(parent: np.ndarray) -> np.ndarray:
    while True:
        above = parent[parent]
        if (above == parent).all():
            return parent
        parent = above
