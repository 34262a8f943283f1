"""Leaks: who, or what, is on two sides that must not share it.

A model that has seen a test person remembers instead of judging. Names are not enough: of 850 real pairs two stand
there twice, to the bit, under two names each. So the vectors are compared as well.

Near-identical are two vectors whose distance (1 - cosine) is at most a sixteenth of what it is in the middle between
clips of the two sides: a bound that holds for every space. On those pairs it is a cosine of 0.990 for faces (dlib)
and 0.972 for voices (Resemblyzer). Two recordings of one person reach 0.940 there and two people 0.866, copies aside,
while halves of one recording have 0.956 in the middle and reach 0.981: beyond the bound it is one recording. Crops of
one person from two clips are above it twice in 33 (0.991, 0.993), and two people reach 0.976: beyond it, it is one
picture, or the next one of that film.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from vclip.association.pairs import Pairs
from vclip.errors import InputError

NEAR = 1 / 16  # of the median distance
JOINED = 1.1 * NEAR  # a little more, so that no half of the joined clips leaks into the other
SAMPLE = 10_000  # distances that the median is taken of
SHOWN = 3
BLOCK = 16_000_000  # cosines in memory at a time
MOST_VIEWS = 50_000  # all against all: minutes


@dataclass(frozen=True)
class Leak:
    """One thing that both sides hold."""

    kind: str  # identity, clip, face or voice
    first: str  # its clip on the first side, or the identity
    second: str  # and on the second
    cosine: float  # of the two vectors; 1 for names

    def __str__(self) -> str:
        if self.kind in ("identity", "clip"):
            return f"{self.kind} '{self.first}'"
        return f"{self.kind} of clip '{self.second}' (cosine {self.cosine:.4f} with clip '{self.first}')"


def leaks(first: Pairs, second: Pairs) -> list[Leak]:
    """Returns what both sides hold: identities, clips, and views that are near-identical.

    Of the views of two clips only the most alike is given. Vectors of different dimension are not compared.
    """
    found = []
    for kind, name in (("identity", "identity"), ("clip", "clip_id")):
        both = set(getattr(first, name).tolist()) & set(getattr(second, name).tolist()) - {""}
        found += [Leak(kind, value, value, 1.0) for value in sorted(both)]
    sides = ((first.faces, first.face_clip, second.faces, second.face_clip, "face"),
             (first.voices, first.voice_clip, second.voices, second.voice_clip, "voice"))  # fmt: skip
    for a, a_clip, b, b_clip, kind in sides:
        best: dict[tuple[int, int], float] = {}
        for row, column, cosine in near_identical(a, b):
            clips = int(a_clip[row]), int(b_clip[column])
            best[clips] = max(best.get(clips, cosine), cosine)
        found += [
            Leak(kind, str(first.clip_id[i]), str(second.clip_id[j]), cosine)
            for (i, j), cosine in sorted(best.items())
        ]
    return found


def check_leaks(first: Pairs, second: Pairs, first_name: str, second_name: str) -> None:
    """Raises InputError where the two sides share anything; names the first few of what they share."""
    found = leaks(first, second)
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        shown = ", ".join(map(str, found[:SHOWN]))
        raise InputError(f"{first_name} and {second_name} share {shown}{more}; expected nothing in common")


def join_copies(pairs: Pairs) -> tuple[Pairs, list[Leak]]:
    """Returns the pairs with one identity for what stands there under several, and the copies that were found.

    Two clips are copies where a face or a voice of them is near-identical. Beyond MOST_VIEWS views of a kind nothing
    is compared.
    """
    if max(len(pairs.faces), len(pairs.voices)) > MOST_VIEWS:
        return pairs, []
    near = []
    for kind, views, clip in (("face", pairs.faces, pairs.face_clip), ("voice", pairs.voices, pairs.voice_clip)):
        found = near_identical(views, views, JOINED)
        near += [(int(clip[row]), int(clip[column]), kind, cosine) for row, column, cosine in found]
    copies, identity = [], pairs.identity.copy()
    for i, j, kind, cosine in sorted(near):
        if i < j and identity[i] != identity[j]:
            copies.append(Leak(kind, str(pairs.clip_id[i]), str(pairs.clip_id[j]), cosine))
            identity[identity == identity[j]] = identity[i]
    return replace(pairs, identity=identity), copies


def near_bound(a: np.ndarray, b: np.ndarray, share: float = NEAR) -> float:
    """Returns the cosine from which vectors (n, dim) and (m, dim), unit norm, of two sides are near-identical."""
    rng = np.random.default_rng(0)
    rows, columns = (rng.integers(len(side), size=SAMPLE) for side in (a, b))
    return 1 - share * float(np.median(1 - np.einsum("nd,nd->n", a[rows], b[columns])))


def near_identical(a: np.ndarray, b: np.ndarray, share: float = NEAR) -> Iterator[tuple[int, int, float]]:
    """Yields (row of a, row of b, cosine) of vectors (n, dim) and (m, dim) that are near-identical."""
    if not len(a) or not len(b) or a.shape[1] != b.shape[1]:
        return
    a, b = _unit(a), _unit(b)
    bound, step = near_bound(a, b, share), max(1, BLOCK // len(b))
    for start in range(0, len(a), step):
        cosines = a[start : start + step] @ b.T
        rows, columns = np.nonzero(cosines >= bound)
        yield from zip((rows + start).tolist(), columns.tolist(), cosines[rows, columns].tolist(), strict=True)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
