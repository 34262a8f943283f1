"""Batches of people for training, which depend on the seed and the step alone."""

import numpy as np

from vclip.association.pairs import Pairs


class Batches:
    """Batches of matching face and voice rows, which depend on the seed and the step alone.

    Each person is at most once in a batch, so nobody is their own negative. Each person is represented by one random
    clip, and each clip by `views` random faces and voices. An epoch has every person once.

    Args:
        pairs: clips with known identities.
        size: people in a batch; all of them if there are fewer.
        seed: of the order of the people and of the draws.
        views: faces and voices drawn per person.
        among: which clips (C,) bool to draw from, with all clips of each person; all if None.
    """

    def __init__(self, pairs: Pairs, size: int, seed: int, views: int = 1, among: np.ndarray | None = None):
        people = pairs.people()
        self._people = np.unique(people if among is None else people[among])
        self._clips, self._faces, self._voices = (
            _Groups(group) for group in (people, pairs.face_clip, pairs.voice_clip)
        )
        self.size, self.seed, self.views = min(size, len(self._people)), seed, views
        self._epoch, self._order = -1, np.zeros(0, np.int64)

    @property
    def epoch(self) -> int:
        """The number of steps in which every person is drawn once."""
        return len(self._people) // self.size

    def at(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the rows of faces and of voices, both (size, views), for a step from 1 on."""
        epoch, number = divmod(step - 1, self.epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self.seed, 0, epoch]).permutation(self._people)
        people = self._order[number * self.size : (number + 1) * self.size]
        rng = np.random.default_rng([self.seed, 1, step])
        clips = self._clips.draw(people, rng)
        draws = [(self._faces.draw(clips, rng), self._voices.draw(clips, rng)) for _ in range(self.views)]
        faces, voices = zip(*draws, strict=True)
        return np.stack(faces, axis=1), np.stack(voices, axis=1)


class _Groups:
    """Rows by group number, for drawing one random row of each of many groups at once."""

    def __init__(self, group: np.ndarray):
        self._rows = np.argsort(group, kind="stable")
        self._count = np.bincount(group)
        self._start = np.cumsum(self._count) - self._count

    def draw(self, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self._rows[self._start[groups] + rng.integers(self._count[groups])]
