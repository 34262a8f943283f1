"""Made-up people whose faces and voices share a planted linear cause."""

import numpy as np

from vclip.association.pairs import Pairs

D_FACE, D_VOICE, CAUSES = 24, 16, 6


def planted_pairs(people=120, clips_each=2, views=2, seed=0, related=True, noise=0.3, world=0):
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
