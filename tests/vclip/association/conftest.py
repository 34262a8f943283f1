"""Made-up people whose faces and voices share a planted linear cause."""

import numpy as np
import pytest

from tests.support.planted_pairs import planted_pairs


@pytest.fixture(scope="session")
def planted():
    """A function that makes pairs."""
    return planted_pairs


class _PlainModel:
    """Ridge regression from faces to voices: a model without torch, that judges well and trains at once."""

    face_space, voice_space = "test/faces", "test/voices"

    def __init__(self, pairs, face_offsets=False):
        faces, voices = (np.stack([x.mean(0), x.std(0)]) for x in (pairs.faces, pairs.voices))
        self.scale, self.offsets = (faces, voices), face_offsets
        x, e = self._standard(pairs.faces, 0), self._standard(pairs.voices, 1)
        self.weight = np.linalg.solve(x.T @ x + 10 * np.eye(x.shape[1]), x.T @ e)
        self.seen = pairs.hashes()

    def _standard(self, x, side):
        return (x - self.scale[side][0]) / self.scale[side][1]

    def embed_faces(self, x):
        projected = self._standard(x, 0) @ self.weight
        # A direction that all voices share: each face gets a level of its own, and keeps its order of voices.
        own = np.abs(x[:, :1]) * 1e4 % 1 if self.offsets else np.zeros((len(x), 1))
        return _unit(np.hstack([_unit(projected), own]))

    def embed_voices(self, e):
        return _unit(np.hstack([_unit(self._standard(e, 1)), np.ones((len(e), 1))]))


def _unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="session")
def plain_model():
    """A class of models that are fitted to pairs."""
    return _PlainModel
