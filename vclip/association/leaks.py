"""Leaks: who, or what, is on two sides that must not share it.

A model that has seen a test person remembers instead of judging. Names are not enough: of 850 real pairs two stand
there twice, to the bit, under two names each. So the vectors are compared as well.

The bounds, measured on those pairs (dlib and Resemblyzer vectors). Two recordings of one person reach cosines of
0.940, and two people (copies aside) 0.866; halves of one recording have 0.956 in the middle and reach 0.981. So a
voice above 0.97 is the same recording. Crops of one person from two clips reach 0.993, with 2 of 33 above 0.99; two
people reach 0.976. So a face above 0.99 is the same picture, or the next one of that film.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vclip.association.pairs import Pairs
from vclip.errors import InputError

SAME_PICTURE = 0.99
SAME_RECORDING = 0.97
SHOWN = 3
BLOCK = 16_000_000  # cosines in memory at a time


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
    sides = ((first.faces, first.face_clip, second.faces, second.face_clip, "face", SAME_PICTURE),
             (first.voices, first.voice_clip, second.voices, second.voice_clip, "voice", SAME_RECORDING))  # fmt: skip
    for a, a_clip, b, b_clip, kind, bound in sides:
        best: dict[tuple[int, int], float] = {}
        for row, column, cosine in _alike(a, b, bound):
            clips = int(a_clip[row]), int(b_clip[column])
            best[clips] = max(best.get(clips, bound), cosine)
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


def _alike(a: np.ndarray, b: np.ndarray, bound: float) -> Iterator[tuple[int, int, float]]:
    """Yields (row of a, row of b, cosine) where that is at least `bound`."""
    if not len(a) or not len(b) or a.shape[1] != b.shape[1]:
        return
    a, b = _unit(a), _unit(b)
    step = max(1, BLOCK // len(b))
    for start in range(0, len(a), step):
        cosines = a[start : start + step] @ b.T
        rows, columns = np.nonzero(cosines >= bound)
        yield from zip((rows + start).tolist(), columns.tolist(), cosines[rows, columns].tolist(), strict=True)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
