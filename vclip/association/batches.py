"""Batches of pairs for contrastive training. That of a step is a function of the seed and the step: a run that was
interrupted goes on with the batches that it would have had.
"""

import numpy as np

from vclip.association.pairs import Pairs


class Batches:
    """Rows of faces and voices that belong together.

    The people of a batch differ, so that nobody is their own negative; each stands for one clip, and each clip for
    `views` of its faces and voices, drawn anew each time. An epoch has everybody once.

    Args:
        pairs: clips with known people.
        size: people in a batch; all of them where there are fewer.
        seed: of the order and of what is drawn.
        views: faces and voices of each.
        among: clips (C,) bool, whole people, that are drawn from; all if None.
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
        """Steps in which everybody is drawn once."""
        return len(self._people) // self.size

    def at(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the rows of faces and those of voices, each (size, views), of a step, from 1 on."""
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
    """Rows by group number, for drawing a random row of each of many groups at once."""

    def __init__(self, group: np.ndarray):
        self._rows = np.argsort(group, kind="stable")
        self._count = np.bincount(group)
        self._start = np.cumsum(self._count) - self._count

    def draw(self, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self._rows[self._start[groups] + rng.integers(self._count[groups])]
