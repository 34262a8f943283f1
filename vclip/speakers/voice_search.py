"""Voices for faces: naive, informed or guided, as different from each other as asked.

naive, informed: the best of many draws by `retrieval`;    guided: climbed by `guided`
"""

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from vclip.association.base import Association
from vclip.association.scores import Level
from vclip.config import Settings
from vclip.errors import InputError
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.guided_search import GuidedConfig, GuidedSearch
from vclip.speakers.known_speakers import nearest_known
from vclip.speakers.retrieval import expected_voices, face_directions, pick_diverse, top_k
from vclip.speakers.signature import TTSSignature

SCORES = ("informed", "naive", "guided")


class SearchConfig(Settings):
    """How voices are found for a face."""

    score: str = Field(
        "informed", pattern=f"^({'|'.join(SCORES)})$", description="informed (by the TTS signature), naive, or guided"
    )
    candidates: int = Field(5000, ge=1, description="speakers drawn from the generator, for naive and informed")
    diversity: float = Field(
        0.5, ge=0, lt=1, description="0: plain top k; 0.5: 0.1 more alike in cosine must be 0.1 better in score"
    )
    guided: GuidedConfig = GuidedConfig()
    seed: int = 0


@dataclass(frozen=True)
class Found:
    """k voices for each of m faces, the best score first."""

    speakers: np.ndarray  # (m, k, dim) float32, the vectors given to the TTS
    expected: np.ndarray  # (m, k, d_voice) float32, what they are expected to sound like
    scores: np.ndarray  # (m, k) float32, cosines with the face: naive, or informed
    log_likelihood: np.ndarray  # (m, k) under the generator


class Search:
    """Everything that does not depend on the face, done once.

    Args:
        model: the association model.
        generator: of the candidates.
        signature: of the TTS. The naive score needs none, but where there is one it says which voices sound alike.
        config: defaults to SearchConfig().
        known_similarity: the cosine that a voice may have with a known speaker of the generator's bank, at most.
        cohort: (c, d_face) faces of other people. A candidate's score then counts by how far it stands out among
            those that its voice gets with them (the voice's half of s-norm; the face's changes no order).

    Raises:
        SpaceError: generator, signature and model do not fit.
        InputError: nobody is unlike enough to known speakers; for guided: a cohort.
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
        self._model, self._generator = model, generator
        self._scored_by = None if self.config.score == "naive" else signature
        self._heard_by = signature
        self._guided, self.refused = None, 0  # candidates too near to a known speaker
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
        self._heard = self._heard_as(drawn)
        self._level = None if cohort is None else Level.between(self._voices, face_directions(model, cohort))

    def find(self, faces: np.ndarray, k: int) -> Found:
        """Returns k voices for each face.

        Args:
            faces: (m, d) unit norm, see `retrieval.face_directions`.
            k: how many.

        Raises:
            InputError: k is below one or above the number of candidates.
        """
        if self._guided:
            speakers = self._guided.find(faces, k, self.config.diversity)
        elif self.config.diversity == 0 and self._level is None:
            speakers = self._drawn[top_k(faces, self._voices, k, self._device)[0]]
        else:
            rows = [pick_diverse(self._ranked(face), self._heard, k, self.config.diversity) for face in faces]
            speakers = self._drawn[np.array(rows, int).reshape(len(faces), k)]
        return self._found(faces, speakers)

    def _ranked(self, face: np.ndarray) -> np.ndarray:
        """Returns the scores (candidates,) of a face; of a cohort's scale, put back on that of cosines."""
        scores = self._voices @ face
        if self._level is None:
            return scores
        return (scores - self._level.mean) / self._level.std * self._level.std.mean()

    def _found(self, faces: np.ndarray, speakers: np.ndarray) -> Found:
        m, k, dim = speakers.shape
        flat = speakers.reshape(m * k, dim)
        voices = self._model.embed_voices(expected_voices(flat, self._generator.space, self._model, self._scored_by))
        scores = np.einsum("md,mkd->mk", faces, voices.reshape(m, k, -1))
        order = np.argsort(-scores, axis=1, kind="stable")
        parts = speakers, self._heard_as(flat).reshape(m, k, -1)
        speakers, expected = (np.take_along_axis(part, order[..., None], 1) for part in parts)
        likelihood = self._generator.log_likelihood(speakers.reshape(m * k, dim)).reshape(m, k)
        return Found(speakers, expected, np.take_along_axis(scores, order, 1), likelihood)

    def _heard_as(self, speakers: np.ndarray) -> np.ndarray:
        return speakers if self._heard_by is None else self._heard_by.predict(speakers, self._generator.space)

    @property
    def _device(self) -> str:
        parameters = getattr(self._model, "parameters", tuple)
        return str(next((parameter.device for parameter in parameters()), "cpu"))
