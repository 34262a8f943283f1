"""The search for voices that suit a face, among many candidate speakers or by gradient ascent.

naive:     cos(phi_v(e), phi_i(f_i(x)))         only if e lies in the space of f_v
informed:  cos(phi_v(s(e)), phi_i(f_i(x)))      s is the TTS signature           (Vclip, section 2.4)
guided:    gradient ascent of the informed score inside the generator's mixture, see `vclip.speakers.guided_search`
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field

from vclip.association.base import Association, device_of
from vclip.association.pairs import mean_direction
from vclip.association.scores import Level
from vclip.config import Seed, Settings
from vclip.errors import InputError, SpaceError
from vclip.speakers.bank import nearest_known
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.guided_search import GuidedConfig, GuidedSearch
from vclip.speakers.signature import TTSSignature

SCORES = ("informed", "naive", "guided")
FACES = 1024  # scored at once; with 5000 candidates the scores take 20 MB


class SearchConfig(Settings):
    """How voices for a face are found."""

    score: str = Field(
        default="informed",
        pattern=f"^({'|'.join(SCORES)})$",
        description="informed (by the TTS signature), naive or guided",
    )
    candidates: int = Field(
        default=5000, ge=1, description="speakers drawn from the generator, for the naive and the informed score"
    )
    diversity: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="0: the plain top k; 0.5: a voice 0.1 more alike in cosine must score 0.1 higher",
    )
    guided: GuidedConfig = GuidedConfig()
    seed: Seed = 0


@dataclass(frozen=True)
class FoundVoices:
    """k voices for each of m faces, in order of falling scores."""

    speakers: np.ndarray  # (m, k, dim) float32, the vectors for the TTS
    expected: np.ndarray  # (m, k, d_voice) float32, the voices that the signature predicts, or else the vectors
    scores: np.ndarray  # (m, k) float32, the naive or informed cosine with the face
    log_likelihood: np.ndarray  # (m, k) under the generator


class Search:
    """Finds voices for faces. The candidates are drawn and embedded once.

    Args:
        model: the association model that scores voices.
        generator: draws the candidates.
        signature: the signature of the TTS. The naive score does not need one, but if there is one, it predicts which
            voices sound alike.
        config: the settings; None for the defaults.
        known_similarity: the highest cosine that a voice may have with a known speaker of the generator's bank.
        cohort: (c, d_face) faces of other people, or None. A candidate's score is then normalised by the scores of
            its voice with the cohort (the voice's half of s-norm; the face's half does not change the order).

    Raises:
        SpaceError: the spaces of generator, signature and model differ.
        InputError: every candidate is too similar to a known speaker, or a cohort is given with the guided score.
    """

    def __init__(
        self,
        model: Association,
        generator: SpeakerGenerator,
        signature: TTSSignature | None,
        config: SearchConfig | None = None,
        known_similarity: float = 1.0,
        cohort: np.ndarray | None = None,
    ):
        self.config = config or SearchConfig()
        self._model, self._generator, self._signature = model, generator, signature
        self._scored_by = None if self.config.score == "naive" else signature
        self.refused = 0  # candidates too similar to a known speaker
        self._guided: GuidedSearch | None = None
        if self.config.score == "guided":
            if cohort is not None:
                raise InputError("guided search: found a cohort, expected none; it climbs plain cosines")
            expected_voices(generator.bank.vectors[:1], generator.space, model, signature)  # do the spaces fit?
            self._guided = GuidedSearch(
                model, generator, signature, self.config.guided, self.config.seed, known_similarity
            )
            return
        drawn = generator.sample(self.config.candidates, self.config.seed)
        if known_similarity < 1:
            drawn = drawn[nearest_known(drawn, generator.bank) <= known_similarity]
            self.refused = self.config.candidates - len(drawn)
        if not len(drawn):
            raise InputError(
                f"all {self.config.candidates} candidates have a cosine above {known_similarity:.2f} with a known "
                "speaker, expected some below; raise known_similarity, or fit the generator to more speakers"
            )
        self._drawn = drawn
        self._voices = model.embed_voices(expected_voices(drawn, generator.space, model, self._scored_by))
        self._expected = self._predict(drawn)
        self._level = None if cohort is None else Level.between(self._voices, face_directions(model, cohort))

    def find(self, faces: np.ndarray, k: int) -> FoundVoices:
        """Returns k voices for each face.

        Args:
            faces: (m, d) unit norm, see `face_directions`.
            k: the number of voices for each face.

        Raises:
            InputError: k is less than one or more than the number of candidates.
        """
        if self._guided:
            speakers = self._guided.find(faces, k, self.config.diversity)
        elif self.config.diversity == 0 and self._level is None:
            speakers = self._drawn[top_k(faces, self._voices, k, device_of(self._model))[0]]
        else:
            rows = [pick_diverse(self._ranked(face), self._expected, k, self.config.diversity) for face in faces]
            speakers = self._drawn[np.array(rows, int).reshape(len(faces), k)]
        return self._sorted(faces, speakers)

    def _ranked(self, face: np.ndarray) -> np.ndarray:
        """Returns the scores (candidates,) of a face; normalised scores are put back on the scale of cosines."""
        scores = self._voices @ face
        if self._level is None:
            return scores
        return (scores - self._level.mean) / self._level.std * self._level.std.mean()

    def _sorted(self, faces: np.ndarray, speakers: np.ndarray) -> FoundVoices:
        m, k, dim = speakers.shape
        flat = speakers.reshape(m * k, dim)
        voices = self._model.embed_voices(expected_voices(flat, self._generator.space, self._model, self._scored_by))
        scores = np.einsum("md,mkd->mk", faces, voices.reshape(m, k, voices.shape[1]))
        order = np.argsort(-scores, axis=1, kind="stable")
        predicted = self._predict(flat)
        parts = speakers, predicted.reshape(m, k, predicted.shape[1])
        speakers, expected = (np.take_along_axis(part, order[..., None], 1) for part in parts)
        likelihood = self._generator.log_likelihood(speakers.reshape(m * k, dim)).reshape(m, k)
        return FoundVoices(speakers, expected, np.take_along_axis(scores, order, 1), likelihood)

    def _predict(self, speakers: np.ndarray) -> np.ndarray:
        if self._signature is None:
            return speakers
        return self._signature.predict(speakers, self._generator.space)


def expected_voices(
    speakers: np.ndarray, space: str, model: Association, signature: TTSSignature | None
) -> np.ndarray:
    """Returns the voices (n, d_voice) by which candidates are scored: s(e) with a signature, or else e itself.

    Args:
        speakers: (n, dim) candidate speaker vectors.
        space: the space of the speaker vectors.
        model: the association model that scores the voices.
        signature: the signature for the informed score; None for the naive one.

    Raises:
        SpaceError: the candidates, or the voices that the signature predicts, are not in the model's voice space.
    """
    if signature is None:
        if space != model.voice_space:
            raise SpaceError(space, model.voice_space, "naive score of the candidates")
        return speakers
    if signature.voice_space != model.voice_space:
        raise SpaceError(signature.voice_space, model.voice_space, f"signature of the TTS '{signature.tts}'")
    return signature.predict(speakers, space)


def suitability(model: Association, faces: np.ndarray, voices: np.ndarray) -> np.ndarray:
    """Returns the cosines (m, n) float32 of face vectors (m, d_face) with voice vectors (n, d_voice)."""
    return model.embed_faces(faces) @ model.embed_voices(voices).T


def face_directions(
    model: Association, faces: np.ndarray, person: Sequence[int] | np.ndarray | None = None
) -> np.ndarray:
    """Returns the directions (m, d) float32, unit norm, that voices are scored against: phi_i of faces (n, d_face).

    Args:
        model: the association model.
        faces: face vectors.
        person: (n,) the person 0..m - 1 of each face; a person is the mean direction of all their faces. None if each
            face is another person.
    """
    directions = model.embed_faces(faces)
    if person is None:
        return directions
    return mean_direction(directions, np.asarray(person), int(np.max(person)) + 1).astype(np.float32)


def top_k(
    faces: np.ndarray, voices: np.ndarray, k: int, device: str | torch.device = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows (m, k) and the scores (m, k) float32 of the k best voices of each face, the best first.

    Args:
        faces: (m, d) unit norm, see `face_directions`.
        voices: (n, d) unit norm, phi_v of the voices.
        k: the number of voices for each face.
        device: the device of the matrix products.

    Raises:
        InputError: k is less than one or more than the number of voices.
    """
    _expect_enough(k, len(voices))
    all_faces, all_voices = (torch.as_tensor(np.ascontiguousarray(x), device=device) for x in (faces, voices))
    scores, rows = [], []
    for block in all_faces.split(FACES):
        best = (block @ all_voices.T).topk(k, dim=1)
        scores.append(best.values)
        rows.append(best.indices)
    return torch.cat(rows).cpu().numpy(), torch.cat(scores).cpu().numpy()


def pick_diverse(scores: np.ndarray, voices: np.ndarray, k: int, diversity: float) -> list[int]:
    """Returns the rows of k candidates by maximal marginal relevance (Carbonell and Goldstein, 1998), in that order.

    The first one has the best score; each further one has the highest (1 - d) score - d (highest cosine with a voice
    already picked). At d = 0.5 a voice that is 0.1 more alike to a picked one must suit the face 0.1 better.

    Args:
        scores: (n,) cosines with the face.
        voices: (n, dim) unit norm, the predicted voices. The vectors given to a TTS differ more than the voices that
            it makes of them, so diversity is measured on the voices.
        k: the number of candidates to pick.
        diversity: d, from 0 (the plain top k) to 1.

    Raises:
        InputError: k is less than one or more than the number of candidates.
    """
    _expect_enough(k, len(scores))
    if diversity == 0:
        return np.argsort(-scores, kind="stable")[:k].tolist()
    picked = [int(np.argmax(scores))]
    alike = voices @ voices[picked[0]]
    while len(picked) < k:
        value = (1 - diversity) * scores - diversity * alike
        value[picked] = -np.inf
        picked.append(int(np.argmax(value)))
        alike = np.maximum(alike, voices @ voices[picked[-1]])
    return picked


def _expect_enough(k: int, candidates: int) -> None:
    if not 1 <= k <= candidates:
        raise InputError(f"requested {k} voices of {candidates} candidates, expected 1 to {candidates}")
