"""The choice of voices for faces: k candidates that suit the face, differ, and are not a known speaker's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.config import GenerateConfig
from pipelines.progress import say
from pipelines.wording import count
from vclip.association.base import Association
from vclip.speakers.bank import known_similarity_limit, nearest_known
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.signature import TTSSignature
from vclip.speakers.voice_search import Search, face_directions


@dataclass(frozen=True)
class ChosenVoice:
    """One voice chosen for a face."""

    speaker: np.ndarray  # (dim,) float32, the vector given to the TTS
    expected: np.ndarray  # (d_voice,) float32, the voice embedding that its speech is expected to have
    score: float  # cosine with the face
    log_likelihood: float  # under the speaker generator
    nearest_known: float  # cosine with the nearest known speaker
    seed: int  # of the draw


class VoiceChooser:
    """Chooses voices that suit faces and are not too similar to a known speaker's. The candidates are drawn once.

    Args:
        model: the association model that scores candidates.
        generator: the speaker generator that candidates are drawn from.
        signature: the signature of the TTS; None for the naive score.
        settings: the settings of the search, its seed and the limit of the known-speaker guard.

    Raises:
        InputError: the spaces differ, or the guard leaves no candidate.
    """

    def __init__(
        self,
        model: Association,
        generator: SpeakerGenerator,
        signature: TTSSignature | None,
        settings: GenerateConfig,
    ):
        bound = settings.known_similarity
        bound = known_similarity_limit(generator.bank) if bound is None else bound
        self._model, self._bank, self._seed = model, generator.bank, settings.seed
        self._search = Search(model, generator, signature, settings, bound)
        if refused := self._search.refused:
            candidates = count(settings.candidates, "candidate")
            say(f"{refused:,} of {candidates} left out: too similar to a known speaker")

    def choose(self, faces: np.ndarray, k: int, person: Sequence[int] | None = None) -> list[list[ChosenVoice]]:
        """Returns k voices for each person, the best first.

        Args:
            faces: (n, d_face) face vectors.
            k: voices per person.
            person: (n,) the person 0..m - 1 of each face; None if each face is another person.

        Raises:
            InputError: there are fewer than k candidates.
        """
        found = self._search.find(face_directions(self._model, faces, person), k)
        people = len(found.speakers)
        nearest = nearest_known(found.speakers.reshape(people * k, -1), self._bank).reshape(people, k)
        columns = found.speakers, found.expected, found.scores, found.log_likelihood, nearest
        return [
            [
                ChosenVoice(speaker, expected, float(score), float(likelihood), float(known), self._seed)
                for speaker, expected, score, likelihood, known in zip(*rows, strict=True)
            ]
            for rows in zip(*columns, strict=True)
        ]
