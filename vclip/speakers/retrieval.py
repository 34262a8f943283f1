"""Which of many candidate speakers suit a face.

naive:     cos(phi_v(e), phi_i(f_i(x)))         only where e lies in the space of f_v
informed:  cos(phi_v(s(e)), phi_i(f_i(x)))      s is the TTS signature           (Vclip, section 2.4)
"""

from collections.abc import Iterable

import numpy as np

from vclip.association.protocol import Association
from vclip.errors import InputError, SpaceError
from vclip.speakers.signature import TTSSignature


def expected_voices(
    speakers: np.ndarray, space: str, model: Association, signature: TTSSignature | None
) -> np.ndarray:
    """Returns the voices (n, d_voice) that candidates are scored by: s(e) with a signature, else e itself.

    Args:
        speakers: (n, dim) candidate speaker vectors.
        space: theirs.
        model: the association model that will score them.
        signature: for the informed score; None for the naive one.

    Raises:
        SpaceError: the candidates, or what the signature makes of them, are not in the model's voice space.
    """
    if signature is None:
        if space != model.voice_space:
            raise SpaceError(space, model.voice_space, "naive score of the candidates")
        return speakers
    if signature.voice_space != model.voice_space:
        raise SpaceError(signature.voice_space, model.voice_space, f"signature of the TTS '{signature.tts}'")
    return signature.predict(speakers, space)


def suitability(model: Association, faces: np.ndarray, voices: np.ndarray) -> np.ndarray:
    """Returns the cosines (faces, voices) float32 of face vectors (m, d_face) with voices (n, d_voice)."""
    return model.embed_faces(faces) @ model.embed_voices(voices).T


def pick(scores: np.ndarray, voices: np.ndarray, k: int, max_similarity: float = 1.0) -> tuple[list[int], float]:
    """Returns the k best candidates that differ, the best first, and the similarity limit that was kept.

    Greedy: the best candidate whose cosine with every voice already picked is below the limit. Where the candidates
    give fewer than k such voices, the limit is raised by steps of 0.02 until they do.

    Args:
        scores: (n,) higher is better.
        voices: (n, dim) unit norm, the voices expected of the candidates.
        k: how many.
        max_similarity: cosine limit between picked voices; 1 is the plain top k.

    Raises:
        InputError: k is below one or above the number of candidates.
    """
    if not 1 <= k <= len(scores):
        raise InputError(f"asked for {k} voices of {len(scores)} candidates, expected 1 to {len(scores)}")
    order = np.argsort(-scores, kind="stable")
    limit = max_similarity
    while True:
        picked = _greedy(order, voices, k, limit)
        if len(picked) == k:
            return picked, limit
        limit += 0.02


def _greedy(order: Iterable[int], voices: np.ndarray, k: int, limit: float) -> list[int]:
    picked: list[int] = []
    closest = np.full(len(voices), -np.inf, np.float32)
    for row in order:
        if limit >= 1 or closest[row] < limit:
            picked.append(int(row))
            if len(picked) == k:
                break
            closest = np.maximum(closest, voices @ voices[row])
    return picked
