"""Leaks: identities, clips, faces or voices that training and test, or two other sides, share but must not.

A model remembers the people that it was trained on instead of judging them. Comparing identities is not enough: among
850 real pairs, two clips appear twice, bit for bit, under two identities each. So vectors are compared as well.

Two vectors are near-identical if their distance (1 - cosine) is at most a sixteenth of the median distance between
clips of the two sides, a bound that adapts to every space. On those pairs it is a cosine of 0.990 for faces (dlib)
and 0.972 for voices (Resemblyzer). Copies aside, two recordings of one person reach 0.940 and recordings of two
people 0.866, while the halves of one recording have a median of 0.956 and reach 0.981: above the bound, two voices
are from one recording. Crops of one person from two clips exceed it twice in 33 (0.991, 0.993), and crops of two
people reach 0.976: above the bound, two faces are from one frame or from neighbouring ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from vclip.association.pairs import Pairs, unit_norm
from vclip.errors import InputError

NEAR = 1 / 16  # of the median distance
JOINED = 1.1 * NEAR  # a little more, so that no two halves of the joined clips leak into each other
SAMPLE = 10_000  # distances behind the median
SHOWN = 3
BLOCK = 16_000_000  # cosines in memory at a time
MOST_VIEWS = 50_000  # comparing all with all takes minutes


@dataclass(frozen=True)
class Leak:
    """One identity, clip, face or voice that both sides share."""

    kind: str  # identity, clip, face or voice
    first: str  # its clip on the first side, or the identity
    second: str  # the same on the second side
    cosine: float  # of the two vectors; 1 for identities and clips

    def __str__(self) -> str:
        if self.kind in ("identity", "clip"):
            return f"{self.kind} '{self.first}'"
        return f"{self.kind} of clip '{self.second}' (cosine {self.cosine:.4f} with clip '{self.first}')"


def leaks(first: Pairs, second: Pairs, block: int = BLOCK) -> list[Leak]:
    """Returns the leaks between two sides: shared identities, shared clips, and near-identical faces and voices.

    Of the views of two clips only the most similar two are listed. Vectors of different dimensions are not compared.

    Args:
        first, second: the two sides.
        block: cosines in memory at a time.
    """
    found = []
    for kind, name in (("identity", "identity"), ("clip", "clip_id")):
        both = set(getattr(first, name).tolist()) & set(getattr(second, name).tolist()) - {""}
        found += [Leak(kind, value, value, 1.0) for value in sorted(both)]
    sides = ((first.faces, first.face_clip, second.faces, second.face_clip, "face"),
             (first.voices, first.voice_clip, second.voices, second.voice_clip, "voice"))  # fmt: skip
    for a, a_clip, b, b_clip, kind in sides:
        best: dict[tuple[int, int], float] = {}
        for row, column, cosine in near_identical(a, b, block=block):
            clips = int(a_clip[row]), int(b_clip[column])
            best[clips] = max(best.get(clips, cosine), cosine)
        found += [
            Leak(kind, str(first.clip_id[i]), str(second.clip_id[j]), cosine)
            for (i, j), cosine in sorted(best.items())
        ]
    return found


def check_leaks(first: Pairs, second: Pairs, first_name: str, second_name: str) -> None:
    """Raises InputError if the two sides share anything; the message names the first few leaks."""
    found = leaks(first, second)
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        shown = ", ".join(map(str, found[:SHOWN]))
        raise InputError(f"{first_name} and {second_name} share {shown}{more}; expected nothing in common")


def join_copies(pairs: Pairs) -> tuple[Pairs, list[Leak]]:
    """Returns the pairs with one identity for all copies of a clip, and the copies that had two identities.

    Two clips are copies if a face or a voice of theirs is near-identical. With more than MOST_VIEWS faces or voices,
    nothing is compared.
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
    """Returns the least cosine of near-identical vectors.

    Args:
        a, b: vectors (n, dim) and (m, dim) of two sides, unit norm.
        share: the distance of near-identical vectors, at most, in medians of the distance between the sides.
    """
    rng = np.random.default_rng(0)
    rows, columns = (rng.integers(len(side), size=SAMPLE) for side in (a, b))
    return 1 - share * float(np.median(1 - np.einsum("nd,nd->n", a[rows], b[columns])))


def near_identical(
    a: np.ndarray, b: np.ndarray, share: float = NEAR, block: int = BLOCK
) -> Iterator[tuple[int, int, float]]:
    """Yields (row of a, row of b, cosine) of each two near-identical vectors.

    Args:
        a, b: vectors (n, dim) and (m, dim) of two sides, of any norm.
        share: as of `near_bound`.
        block: cosines in memory at a time.
    """
    if not len(a) or not len(b) or a.shape[1] != b.shape[1]:
        return
    a, b = unit_norm(a), unit_norm(b)
    bound, step = near_bound(a, b, share), max(1, block // len(b))
    for start in range(0, len(a), step):
        cosines = a[start : start + step] @ b.T
        rows, columns = np.nonzero(cosines >= bound)
        yield from zip((rows + start).tolist(), columns.tolist(), cosines[rows, columns].tolist(), strict=True)
