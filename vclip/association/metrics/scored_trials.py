"""Scored trials: a face, a voice, their score, and whether they are of one person."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

BLOCK = 4_000_000  # scores in memory at a time
Among = Callable[[np.ndarray, np.ndarray], np.ndarray]  # rows of faces (n,), of voices (m,) -> (n, m) bool


@dataclass(frozen=True)
class ScoredTrials:
    """Scored trials, with the people of each where intervals are computed."""

    scores: np.ndarray  # (trials,) float32, higher is more similar
    same: np.ndarray  # (trials,) bool
    face_person: np.ndarray | None = None  # (trials,) int, 0..people-1
    voice_person: np.ndarray | None = None  # (trials,) int

    def __iter__(self) -> Iterator["ScoredTrials"]:
        yield self

    @property
    def negatives(self) -> int:
        return int(np.sum(~self.same))

    def persons(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns `face_person` and `voice_person`.

        Raises:
            ValueError: the trials were made without them, as by `all_trials`.
        """
        if self.face_person is None or self.voice_person is None:
            raise ValueError("intervals over people need the people of the trials; give face_person and voice_person")
        return self.face_person, self.voice_person


class TrialSource(Protocol):
    """An iterable of scored trials, in parts that fit in memory; it yields the same parts each time."""

    def __iter__(self) -> Iterator[ScoredTrials]: ...

    @property
    def negatives(self) -> int:
        """The number of trials of two people."""
        ...


@dataclass(frozen=True)
class Crossing:
    """Every face with every voice, within groups of clips, scored a block at a time."""

    score: Callable[[np.ndarray, np.ndarray], np.ndarray]  # rows of faces (n,), of voices (m,) -> (n, m) float32
    people: np.ndarray  # (C,) int, 0..people-1
    groups: Sequence[np.ndarray] = field(default=())  # each (n,) rows of clips; one group of all clips if empty
    block: int = BLOCK  # scores in memory at a time
    among: Among | None = None  # which same-person trials count; all if None

    def __post_init__(self) -> None:
        if not self.groups:
            object.__setattr__(self, "groups", [np.arange(len(self.people))])

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields blocks of a group: rows (n,) of its faces and all its rows (m,)."""
        for group in self.groups:
            step = max(1, self.block // max(1, len(group)))
            for start in range(0, len(group), step):
                yield group[start : start + step], group

    def __iter__(self) -> Iterator[ScoredTrials]:
        for faces, voices in self.blocks():
            face_person, voice_person = self.people[faces][:, None], self.people[voices][None]
            shape = (len(faces), len(voices))
            persons = [np.broadcast_to(person, shape).ravel() for person in (face_person, voice_person)]
            scores, same = self.score(faces, voices).ravel(), (face_person == voice_person).ravel()
            if self.among is not None:
                kept = ~same | self.among(faces, voices).ravel()
                scores, same, persons = scores[kept], same[kept], [person[kept] for person in persons]
            yield ScoredTrials(scores, same, *persons)

    @property
    def negatives(self) -> int:
        """The number of trials of two people."""
        return sum(len(group) ** 2 - int(np.sum(np.bincount(self.people[group]) ** 2)) for group in self.groups)


def all_trials(scores: np.ndarray, people: np.ndarray, within: np.ndarray | None = None) -> ScoredTrials:
    """Returns the trials of every face with every voice.

    Args:
        scores: (C, C), face of clip i with voice of clip j.
        people: (C,) int, the person of each clip.
        within: (C,) str; if given, only trials of two clips with the same, non-empty label are returned.
    """
    same = people[:, None] == people[None, :]
    keep = np.ones_like(same)
    if within is not None:
        keep = (within[:, None] == within[None, :]) & (within != "")[:, None]
    return ScoredTrials(scores[keep], same[keep])
