"""Average linkage of clips into people, exact, without the matrix of all pairs.

Two groups are one person if the likeness of their clips, averaged over all pairs, is above a bound; the two the
furthest above are merged first. One clip that is like two people does not chain them, as it would with single links.

Notable:
- The bound is that of Benjamini and Hochberg (1995): of all pairs above it, one in twenty is expected to be of two
  people. Pairs within a video have a bound of their own, far lower, for many of them are of one person.
- A mean above a bound has a pair above it. So only groups with such a pair need be compared, and those pairs, the
  edges, are found once, in tiles.
- Likenesses are products of vectors (`likeness`), so their mean over two groups is the product of these groups' sums:
  a comparison takes as long however large the groups are.
- Clips may be apart (seen at once, of two known identities): then their groups never merge.
"""

import heapq
from collections import Counter

import numpy as np

from vclip.association.clustering.pair_scores import EACH_AT_LEAST, Likeness, bound, chance

FALSE_SHARE = 0.05  # of the pairs above the bound
MOST_FALSE = 1.0  # of a clip's pairs with clips of other videos, wherever that bound would be
TILE = 2048  # clips compared with as many others at a time
MOST_EDGES = 64  # of a clip to later ones, the best; a person of more clips is found through these

ROUNDING = 1e-4  # of a likeness in float32
NEAR = np.dtype([("clip", np.int64), ("other", np.int64), ("value", np.float32)])


def likely_edges(
    likeness: Likeness, video: np.ndarray, false_each: float = MOST_FALSE
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pairs of clips (m, 2) that are more alike than chance would have them, and how alike they are (m,).

    Args:
        likeness: of C clips.
        video: (C,) the number of each clip's video.
        false_each: the pairs of two people to be expected among these, for each clip.
    """
    both = np.hstack([likeness.faces, likeness.voices])
    mean = likeness.face_mean + likeness.voice_mean
    near = _near(both, bound(false_each / max(len(both) - 1, 1)) + mean)
    found = [near[video[near["clip"]] != video[near["other"]]]]
    for members in _same(video):
        near = _near(both[members], bound(FALSE_SHARE) + mean)
        near["clip"], near["other"] = members[near["clip"]], members[near["other"]]
        found.append(near)
    near = np.concatenate(found)
    return np.column_stack([near["clip"], near["other"]]), near["value"] - mean


def link(
    likeness: Likeness, video: np.ndarray, known: np.ndarray | None = None, apart: np.ndarray | None = None
) -> np.ndarray:
    """Returns the group number (C,) of each clip.

    Args:
        likeness: of C clips.
        video: (C,) the number of each clip's video.
        known: (C,) the number of each clip's person, -1 where it is not known. Clips of one are together and clips of
            two apart, whatever they look and sound like.
        apart: (n, 2) clips that are of two people.
    """
    known = np.full(len(likeness), -1) if known is None else known
    group = np.arange(len(likeness))
    for members in _same(known):
        if known[members[0]] >= 0:
            group[members] = members[0]
    edges, value = likely_edges(likeness, video)
    inside = video[edges[:, 0]] == video[edges[:, 1]]
    size = np.bincount(video).astype(np.int64)
    pairs, pairs_inside = (int(np.sum(n * (n - 1) // 2)) for n in (np.array([len(video)]), size))
    across, within = _bound(value[~inside], pairs - pairs_inside), _bound(value[inside], pairs_inside)
    groups = _Groups(likeness, video, known, group, across, within)
    groups.keep_apart(group[apart] if apart is not None else np.empty((0, 2), np.int64))
    groups.join(group[edges[value > np.where(inside, within, across)]])
    return groups.merge()


def _bound(value: np.ndarray, pairs: int) -> float:
    """Returns the likeness above which FALSE_SHARE of the values, found in so many pairs, is expected by chance."""
    rising = np.sort(value)
    beyond = np.arange(len(rising), 0, -1)
    fine = np.flatnonzero(pairs * chance(rising) <= FALSE_SHARE * beyond)
    # Where there is none, what would do if each of the pairs were one of chance.
    return float(rising[fine[0]]) - ROUNDING if len(fine) else bound(FALSE_SHARE / max(pairs, 1))


def _near(vectors: np.ndarray, least: float) -> np.ndarray:
    """Returns the pairs whose products are above a bound, of each vector with later ones the MOST_EDGES best."""
    found = [np.empty(0, NEAR)]
    for start in range(0, len(vectors), TILE):
        rows, starts = vectors[start : start + TILE], range(start, len(vectors), TILE)
        near = np.concatenate([_above(rows @ vectors[at : at + TILE].T, least, start, at) for at in starts])
        near = near[np.lexsort((-near["value"], near["clip"]))]
        rank = np.arange(len(near)) - np.searchsorted(near["clip"], near["clip"])
        found.append(near[rank < MOST_EDGES])
    return np.concatenate(found)


def _above(products: np.ndarray, least: float, first_row: int, first_column: int) -> np.ndarray:
    """Returns the products above a bound, of each row with later clips the MOST_EDGES best."""
    if first_row == first_column:
        products[np.tril_indices(len(products))] = -np.inf
    for row in np.flatnonzero(np.count_nonzero(products > least, axis=1) > MOST_EDGES):
        products[row, np.argpartition(-products[row], MOST_EDGES)[MOST_EDGES:]] = -np.inf
    row, column = np.nonzero(products > least)
    near = np.empty(len(row), NEAR)
    near["clip"], near["other"], near["value"] = row + first_row, column + first_column, products[row, column]
    return near


def _same(number: np.ndarray) -> list[np.ndarray]:
    """Returns the rows of each number that several rows have, rising."""
    order = np.argsort(number, kind="stable")
    return [rows for rows in np.split(order, np.flatnonzero(np.diff(number[order])) + 1) if len(rows) > 1]


class _Groups:
    """Groups of clips, each under the number of one of its clips, and what they are compared by."""

    def __init__(
        self,
        likeness: Likeness,
        video: np.ndarray,
        known: np.ndarray,
        group: np.ndarray,
        across: float,
        within: float,
    ):
        self._likeness, self._group, self._known = likeness, group, known.copy()
        self._faces, self._voices = likeness.faces.astype(np.float64), likeness.voices.astype(np.float64)
        self._count = np.ones(len(group))
        self._bound, self._less = across, across - within
        self._videos = [Counter({int(number): 1}) for number in video]
        self._near: list[set[int]] = [set() for _ in group]
        self._apart: list[set[int]] = [set() for _ in group]
        self._age = np.zeros(len(group), np.int64)  # merges so far; -1 is a group that was merged into another
        for clip in np.flatnonzero(group != np.arange(len(group))):
            self._take(group[clip], clip)

    def keep_apart(self, pairs: np.ndarray) -> None:
        for one, other in pairs.tolist():
            self._apart[one].add(other)
            self._apart[other].add(one)

    def join(self, edges: np.ndarray) -> None:
        for one, other in edges.tolist():
            if one != other:
                self._near[one].add(other)
                self._near[other].add(one)

    def merge(self) -> np.ndarray:
        """Merges to the end; returns the group of each clip."""
        heap: list[tuple[float, int, int, int, int]] = []
        for one in range(len(self._near)):
            heap += self._candidates(one, [other for other in self._near[one] if other > one])
        heapq.heapify(heap)
        parent = self._group
        while heap:
            _, one, other, one_age, other_age = heapq.heappop(heap)
            if (self._age[one], self._age[other]) != (one_age, other_age):
                continue
            self._take(one, other)
            parent[other] = one
            for candidate in self._candidates(one, list(self._near[one])):
                heapq.heappush(heap, candidate)
        return _roots(parent)

    def _take(self, one: int, other: int) -> None:
        """Puts all of a group into another."""
        self._faces[one] += self._faces[other]
        self._voices[one] += self._voices[other]
        self._count[one] += self._count[other]
        self._videos[one].update(self._videos[other])
        self._known[one] = max(self._known[one], self._known[other])
        for kind in (self._near, self._apart):
            for third in kind[other]:
                kind[third].discard(other)
                if third != one:
                    kind[third].add(one)
                    kind[one].add(third)
            kind[one].discard(other)
            kind[other] = set()
        self._age[one], self._age[other] = self._age[one] + 1, -1
        self._videos[other] = Counter()

    def _candidates(self, one: int, others: list[int]) -> list[tuple[float, int, int, int, int]]:
        """Returns the groups of `others` that may be one with group `one`, as the heap holds them."""
        others = [other for other in others if other not in self._apart[one] and self._one_name(one, other)]
        if not others:
            return []
        like, clips = self._likeness, self._count[one] * self._count[others]
        face = self._faces[others] @ self._faces[one] / clips - like.face_mean
        voice = self._voices[others] @ self._voices[one] / clips - like.voice_mean
        inside = np.array([_in_common(self._videos[one], self._videos[other]) for other in others])
        above = face + voice - self._bound + self._less * inside / clips
        good = (above > 0) & (face >= EACH_AT_LEAST) & (voice >= EACH_AT_LEAST)
        return [
            (-float(above[i]), one, others[i], int(self._age[one]), int(self._age[others[i]]))
            for i in np.flatnonzero(good)
        ]

    def _one_name(self, one: int, other: int) -> bool:
        return self._known[one] < 0 or self._known[other] < 0 or self._known[one] == self._known[other]


def _in_common(one: Counter, other: Counter) -> int:
    """Returns how many pairs of clips of two groups are of one video."""
    few, many = sorted((one, other), key=len)
    return sum(count * many[video] for video, count in few.items())


def _roots(parent: np.ndarray) -> np.ndarray:
    while True:
        above = parent[parent]
        if (above == parent).all():
            return parent
        parent = above
