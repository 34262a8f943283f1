"""Pairs: clips with their face vectors, voice vectors and identities; the data of training and evaluation."""

import hashlib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vclip.association.hashes import hashes_of, hashes_of_vectors, least_of_each
from vclip.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

LABELS = ("gender", "nationality", "language", "age")
PER_CLIP = ("clip_id", "video_id", "identity", *LABELS)


@dataclass(frozen=True, repr=False)
class Pairs:
    """C clips, each with one or more face vectors and voice vectors: views of one face-voice pair.

    Raises:
        InputError: the arrays are not of one length.
    """

    faces: np.ndarray  # (F, d_face) float32, converted if given otherwise
    face_clip: np.ndarray  # (F,) int, row in `clip_id`
    voices: np.ndarray  # (V, d_voice) float32, likewise
    voice_clip: np.ndarray  # (V,) int, row in `clip_id`
    clip_id: np.ndarray  # (C,) str
    video_id: np.ndarray  # (C,) str, "" where unknown
    identity: np.ndarray  # (C,) str, "" where unknown
    gender: np.ndarray  # (C,) str, "" where unknown
    # (C,) str, "" where unknown; all unknown if not given. An age is "34" or "30-39", say.
    nationality: np.ndarray = field(default_factory=lambda: np.empty(0, str))
    language: np.ndarray = field(default_factory=lambda: np.empty(0, str))
    age: np.ndarray = field(default_factory=lambda: np.empty(0, str))
    doubtful: "csr_matrix | None" = None  # (C, C) bool, symmetric: clips of two identities that may be one person

    def __post_init__(self) -> None:
        for name in ("faces", "voices"):  # torch takes no negative strides, and sums in half precision lose digits
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), np.float32))
        for name in ("nationality", "language", "age"):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.full(len(self.clip_id), "", dtype=str))
        for name, of in {"face_clip": "faces", "voice_clip": "voices", **dict.fromkeys(PER_CLIP, "clip_id")}.items():
            found, expected = len(getattr(self, name)), len(getattr(self, of))
            if found != expected:
                raise InputError(f"pairs: found {found} entries in `{name}`, expected {expected}, as `{of}` has")

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

    def at_most(self, count: int, seed: int, among: np.ndarray | None = None) -> "Pairs":
        """Returns at most `count` clips, drawn at random from those of the mask `among` (C,); from all if None."""
        if among is None and len(self) <= count:
            return self
        rows = np.arange(len(self)) if among is None else np.flatnonzero(among)
        chosen = np.zeros(len(self), bool)
        chosen[np.random.default_rng(seed).permutation(rows)[:count]] = True
        return self.select(chosen)

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

    def videos(self) -> np.ndarray:
        """Returns the number of each clip's video (C,); a clip whose video is unknown has one of its own."""
        number, unknown = np.unique(self.video_id, return_inverse=True)[1], self.video_id == ""
        number[unknown] = len(self) + np.arange(unknown.sum())
        return np.unique(number, return_inverse=True)[1]

    def doubts_among(self, clips: np.ndarray) -> np.ndarray | None:
        """Returns which of the clips (batch,) may be of one person, (batch, batch) bool; None without `doubtful`."""
        return None if self.doubtful is None else self.doubtful[clips][:, clips].toarray()

    def check_vectors(self) -> None:
        """Raises InputError if a vector holds NaN or infinity, or if all faces or all voices are the same vector."""
        sides = ("face", self.faces, self.face_clip), ("voice", self.voices, self.voice_clip)
        for kind, views, clip in sides:
            bad = ~np.isfinite(views).all(axis=1)
            if bad.any():
                raise InputError(
                    f"clip '{self.clip_id[clip[bad][0]]}': its {kind} vector holds NaN or infinity, expected numbers "
                    f"({len(set(clip[bad].tolist()))} of {len(self)} clips)"
                )
            if len(views) and not np.ptp(views, axis=0).any():
                raise InputError(f"training data: the {kind} vectors of all clips are the same; check the encoder")

    def hashes(self) -> np.ndarray:
        """Returns hashes (n,) int64 of identities, clips, faces and voices, which tell who a model was trained on.

        Of the faces and of the voices of a clip there is one: the least, which any copy with these views has too.
        """
        sides = (self._view_hashes(kind) for kind in ("face", "voice"))
        least = [least_of_each(hashes, clip, len(self)) for hashes, clip in sides]
        names = hashes_of("identity", self.identity), hashes_of("clip", self.clip_id)
        return np.unique(np.concatenate([*names, *least]))

    def seen_in(self, hashes: np.ndarray) -> np.ndarray:
        """Returns which clips (C,) bool are of people of whom an identity, a clip or a copy is among `hashes`.

        Clips are compared because another run may give the same person another pseudo-identity, and vectors because
        a clip may come back under another name.
        """
        seen = np.isin(hashes_of("identity", self.identity), hashes) | np.isin(
            hashes_of("clip", self.clip_id), hashes
        )
        return np.isin(self.identity, self.identity[seen | self.copied_in(hashes)])

    def copied_in(self, hashes: np.ndarray) -> np.ndarray:
        """Returns which clips (C,) bool have a face or a voice whose rounded vector is among `hashes`."""
        copied = np.zeros(len(self), bool)
        for kind in ("face", "voice"):
            of_views, clip = self._view_hashes(kind)
            copied[clip[np.isin(of_views, hashes)]] = True
        return copied

    def _view_hashes(self, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns the hashes (n,) of the faces or the voices, and the clip (n,) of each."""
        views, clip = (self.faces, self.face_clip) if kind == "face" else (self.voices, self.voice_clip)
        return hashes_of_vectors(kind, views), clip

    def folds(self, count: int, seed: int) -> np.ndarray:
        """Returns the fold (C,) int of each clip; all clips of a person are in one fold.

        Raises:
            InputError: fewer people than folds.
        """
        people = self.people()
        n_people = int(people.max(initial=-1)) + 1
        if n_people < count:
            raise InputError(f"expected at least {count} people to split them into {count} parts, found {n_people}")
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
            raise InputError(f"expected at least 4 people to train and to hold some out, found {n_people}")
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
    return unit_norm(clip_means(views, clip, n_clips))


def unit_norm(vectors: np.ndarray) -> np.ndarray:
    """Returns vectors (..., dim) scaled to unit norm; zero vectors stay zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


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
