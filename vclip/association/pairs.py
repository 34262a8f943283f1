"""Pairs: clips with their face vectors, voice vectors and identities; the data of training and evaluation."""

import hashlib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vclip.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PER_CLIP = ("clip_id", "video_id", "identity", "gender", "nationality", "age")


@dataclass(frozen=True, repr=False)
class Pairs:
    """C clips, each with one or more face vectors and voice vectors: views of one face-voice pair."""

    faces: np.ndarray  # (F, d_face) float32
    face_clip: np.ndarray  # (F,) int, row in `clip_id`
    voices: np.ndarray  # (V, d_voice) float32
    voice_clip: np.ndarray  # (V,) int, row in `clip_id`
    clip_id: np.ndarray  # (C,) str
    video_id: np.ndarray  # (C,) str
    identity: np.ndarray  # (C,) str, "" where unknown
    gender: np.ndarray  # (C,) str, "" where unknown
    # (C,) str, "" where unknown; all unknown if not given. An age is "34" or "30-39", say.
    nationality: np.ndarray = field(default_factory=lambda: np.empty(0, str))
    age: np.ndarray = field(default_factory=lambda: np.empty(0, str))
    doubtful: "csr_matrix | None" = None  # (C, C) bool, symmetric: clips of two identities that may be one person

    def __post_init__(self) -> None:
        for name in ("nationality", "age"):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.full(len(self.clip_id), "", dtype=str))

    @classmethod
    def of(cls, arrays: Mapping[str, Any]) -> "Pairs":
        """Returns the pairs of arrays by name, such as `Store.pairs()` returns; other names are ignored."""
        needed = [
            f.name for f in fields(cls) if f.name in arrays or (f.default is MISSING and f.default_factory is MISSING)
        ]
        return cls(**{name: arrays[name] for name in needed})

    def __len__(self) -> int:
        return len(self.clip_id)

    def __repr__(self) -> str:
        people, unnamed = len(set(self.identity) - {""}), int(np.sum(self.identity == ""))
        return (
            f"Pairs({len(self):,} clips of {people:,} people{f', {unnamed:,} unnamed' if unnamed else ''}; "
            f"{len(self.faces):,} face vectors ({self.faces.shape[1]}), "
            f"{len(self.voices):,} voice vectors ({self.voices.shape[1]}))"
        )

    def select(self, clips: np.ndarray) -> "Pairs":
        """Returns the clips of a boolean mask (C,), with their views."""
        new_row = np.cumsum(clips) - 1
        face, voice = clips[self.face_clip], clips[self.voice_clip]
        return replace(
            self,
            faces=self.faces[face],
            face_clip=new_row[self.face_clip[face]],
            voices=self.voices[voice],
            voice_clip=new_row[self.voice_clip[voice]],
            **{name: getattr(self, name)[clips] for name in PER_CLIP},
            doubtful=None if self.doubtful is None else self.doubtful[clips][:, clips],
        )

    def people(self) -> np.ndarray:
        """Returns the number of each clip's person (C,); clips with the same identity have the same number.

        Raises:
            InputError: a clip has no identity, so a split cannot keep its person on one side.
        """
        unknown = int(np.sum(self.identity == ""))
        if unknown:
            raise InputError(
                f"{unknown} of {len(self)} clips have no identity; group them first (vclip.group_people)"
            )
        return np.unique(self.identity, return_inverse=True)[1]

    def doubts_among(self, clips: np.ndarray) -> np.ndarray | None:
        """Returns which of the clips (batch,) may be of one person, (batch, batch) bool; None without `doubtful`."""
        return None if self.doubtful is None else self.doubtful[clips][:, clips].toarray()

    def hashes(self) -> np.ndarray:
        """Returns hashes (n,) int64 of all identities and clips, by which a model records its training people."""
        return np.unique(np.concatenate([hashes_of("identity", self.identity), hashes_of("clip", self.clip_id)]))

    def seen_in(self, hashes: np.ndarray) -> np.ndarray:
        """Returns which clips (C,) bool are of people whose identity, or any of whose clips, is among `hashes`.

        Clips are compared because another run may give the same person another pseudo-identity.
        """
        seen = np.isin(hashes_of("identity", self.identity), hashes) | np.isin(
            hashes_of("clip", self.clip_id), hashes
        )
        return np.isin(self.identity, self.identity[seen])

    def folds(self, count: int, seed: int) -> np.ndarray:
        """Returns the fold (C,) int of each clip; all clips of a person are in one fold.

        Raises:
            InputError: fewer people than folds.
        """
        people = self.people()
        n_people = int(people.max(initial=-1)) + 1
        if n_people < count:
            raise InputError(f"found {n_people} people, expected at least {count} to split them into {count} parts")
        shuffled = np.random.default_rng(seed).permutation(n_people)
        return (shuffled % count)[people]

    def split(self, dev_fraction: float, seed: int) -> tuple["Pairs", "Pairs"]:
        """Returns the training pairs and the dev pairs, without a person in both; see `held_out`."""
        dev = self.held_out(dev_fraction, seed)
        return self.select(~dev), self.select(dev)

    def held_out(self, fraction: float, seed: int, most: int | None = None) -> np.ndarray:
        """Returns which clips (C,) bool are of a random `fraction` of the people, of at most `most` people.

        Raises:
            InputError: too few people for two sides of two people each.
        """
        people = self.people()
        n_people = int(people.max(initial=-1)) + 1
        n_dev = max(2, min(round(fraction * n_people), n_people if most is None else most))
        if n_people - n_dev < 2:
            raise InputError(f"found {n_people} people, expected at least 4 to train and to hold some out")
        return (np.random.default_rng(seed).permutation(n_people) < n_dev)[people]


def clip_means(views: np.ndarray, clip: np.ndarray, n_clips: int) -> np.ndarray:
    """Returns the mean (n_clips, dim) float32 of the views of each clip.

    Args:
        views: (n, dim).
        clip: (n,) int, the clip of each view.
        n_clips: the number of clips.
    """
    if np.array_equal(clip, np.arange(n_clips)):
        return views  # one view each: avoids a copy of a million rows
    sums = np.zeros((n_clips, views.shape[1]), np.float32)
    np.add.at(sums, clip, views)
    return sums / np.maximum(np.bincount(clip, minlength=n_clips), 1)[:, None].astype(np.float32)


def mean_direction(views: np.ndarray, clip: np.ndarray, n_clips: int) -> np.ndarray:
    """Returns the means of `clip_means`, scaled to unit norm."""
    means = clip_means(views, clip, n_clips)
    return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)


def digest_of(pairs: Pairs, dev: Pairs | None = None, among: np.ndarray | None = None) -> str:
    """Returns a SHA-256 of training data: of all vectors, rows, names and labels.

    Args:
        pairs: the training clips.
        dev: the clips for early stopping, if there are any.
        among: which clips (C,) bool of `pairs` are trained on; all if None.
    """
    digest = hashlib.sha256()
    for part in (pairs, dev):
        for name in () if part is None else ("faces", "face_clip", "voices", "voice_clip", *PER_CLIP):
            array = np.ascontiguousarray(getattr(part, name))
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(array.data)
    doubts = None if pairs.doubtful is None else np.stack(pairs.doubtful.nonzero())
    for rows in (doubts, among):
        digest.update(b"none" if rows is None else np.ascontiguousarray(rows).tobytes())
    return digest.hexdigest()


def hashes_of(kind: str, names: np.ndarray) -> np.ndarray:
    """Returns hashes (n,) int64 of the names (n,) of one kind, "identity" or "clip"."""
    unique, row = np.unique(names, return_inverse=True)
    digests = (hashlib.blake2b(f"{kind}:{name}".encode(), digest_size=8).digest() for name in unique.tolist())
    return np.frombuffer(b"".join(digests), dtype="<i8")[row]
