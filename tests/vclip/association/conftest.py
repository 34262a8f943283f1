"""Made-up people whose faces and voices share a planted linear cause."""

import numpy as np
import pytest

from vclip.association.pairs import Pairs

D_FACE, D_VOICE, CAUSES = 24, 16, 6


@pytest.fixture(scope="session")
def planted():
    """A function that makes pairs."""
    return _planted


def _planted(people=120, clips_each=2, views=2, seed=0, related=True, noise=0.3, world=0):
    """Returns pairs of `people` people.

    Args:
        seed: draws the people; no two seeds share one.
        related: False gives each person the voice of causes of their own: no relation to learn.
        noise: standard deviation of what differs between views of one person, against 1 for what they share.
        world: draws the relation.
    """
    fixed, rng = np.random.default_rng(world), np.random.default_rng([world, seed])
    to_face, to_voice = fixed.normal(size=(CAUSES, D_FACE)), fixed.normal(size=(CAUSES, D_VOICE))
    causes = rng.normal(size=(people, CAUSES))
    voice_causes = causes if related else rng.normal(size=(people, CAUSES))
    person = np.repeat(np.arange(people), clips_each)  # (C,)
    clip = np.repeat(np.arange(len(person)), views)  # (F,), (V,)

    def seen(cause, to_vector):
        vectors = cause[person][clip] @ to_vector / CAUSES**0.5
        vectors = vectors + noise * rng.normal(size=vectors.shape) + 0.5
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    return Pairs(
        faces=seen(causes, to_face),
        face_clip=clip,
        voices=seen(voice_causes, to_voice),
        voice_clip=clip.copy(),
        clip_id=np.array([f"clip{seed}-{i:04}" for i in range(len(person))]),
        video_id=np.array([f"video{i // 2:04}" for i in range(len(person))]),
        identity=np.array([f"id{seed}-{p:04}" for p in person]),
        gender=np.where(causes[person, 0] > 0, "f", "m"),
    )


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
