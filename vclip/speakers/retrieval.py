"""Which of many candidate speakers suit a face.

naive:     cos(phi_v(e), phi_i(f_i(x)))         only where e lies in the space of f_v
informed:  cos(phi_v(s(e)), phi_i(f_i(x)))      s is the TTS signature           (Vclip, section 2.4)
"""

from collections.abc import Sequence

import numpy as np
import torch

from vclip.association.base import Association
from vclip.association.pairs import mean_direction
from vclip.errors import InputError, SpaceError
from vclip.speakers.signature import TTSSignature

FACES = 1024  # scored at once: with 5000 candidates 20 MB


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


def face_directions(model: Association, faces: np.ndarray, person: Sequence[int] | None = None) -> np.ndarray:
    """Returns what voices are scored against, (m, d) float32, unit norm: phi_i of faces (n, d_face).

    Args:
        model: the association model.
        faces: face vectors.
        person: (n,) 0..m - 1, whose face each is: several photos of one person count as the mean of their directions.
            Each is another person where None.
    """
    directions = model.embed_faces(faces)
    if person is None:
        return directions
    return mean_direction(directions, np.asarray(person), int(max(person)) + 1).astype(np.float32)


def top_k(
    faces: np.ndarray, voices: np.ndarray, k: int, device: str | torch.device = "cpu"
) -> tuple[np.ndarray, ...]:
    """Returns the k best voices of each face, the best first: their rows (m, k) and their scores (m, k) float32.

    One matrix product and one selection on the device, FACES faces at a time.

    Args:
        faces: (m, d) unit norm, see `face_directions`.
        voices: (n, d) unit norm, phi_v of the voices.
        k: how many.
        device: of torch.

    Raises:
        InputError: k is below one or above the number of voices.
    """
    expect_enough(k, len(voices))
    voices = torch.as_tensor(voices, device=device)
    scores, rows = [], []
    for block in torch.as_tensor(faces, device=device).split(FACES):
        best = (block @ voices.T).topk(k, dim=1)
        scores.append(best.values)
        rows.append(best.indices)
    return torch.cat(rows).cpu().numpy(), torch.cat(scores).cpu().numpy()


def pick_diverse(scores: np.ndarray, heard: np.ndarray, k: int, diversity: float) -> list[int]:
    """Returns the rows of k candidates by maximal marginal relevance (Carbonell and Goldstein, 1998), as picked.

    The first has the best score; each next one the highest (1 - d) score - d max cos(it, those picked). So at
    d = 0.5 a voice that is 0.1 more alike to one already picked must suit the face 0.1 better.

    Args:
        scores: (n,) cosines with the face.
        heard: (n, dim) unit norm, what each is expected to sound like: that is where voices must differ. The vectors
            given to a TTS differ more than what it makes of them.
        k: how many.
        diversity: d, from 0, the plain top k, to 1.

    Raises:
        InputError: k is below one or above the number of candidates.
    """
    expect_enough(k, len(scores))
    if diversity == 0:
        return np.argsort(-scores, kind="stable")[:k].tolist()
    picked = [int(np.argmax(scores))]
    alike = heard @ heard[picked[0]]
    while len(picked) < k:
        value = (1 - diversity) * scores - diversity * alike
        value[picked] = -np.inf
        picked.append(int(np.argmax(value)))
        alike = np.maximum(alike, heard @ heard[picked[-1]])
    return picked


def expect_enough(k: int, candidates: int) -> None:
    """Raises InputError unless k voices can be picked of so many candidates."""
    if not 1 <= k <= candidates:
        raise InputError(f"asked for {k} voices of {candidates} candidates, expected 1 to {candidates}")
