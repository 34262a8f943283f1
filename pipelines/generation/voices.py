"""Voices for faces: what does not depend on the face is done once; each face gets the best that differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.config import Config, GenerateConfig
from pipelines.progress import say
from vclip.association.base import Association
from vclip.speakers.bank import known_similarity_limit, nearest_known
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.signature import TTSSignature
from vclip.speakers.voice_search import Search, face_directions


@dataclass(frozen=True)
class Voice:
    """One voice chosen for a face."""

    speaker: np.ndarray  # (dim,) float32, the vector given to the TTS
    expected: np.ndarray  # (d_voice,) float32, what it will sound like
    score: float  # cosine with the face
    log_likelihood: float  # under the speaker generator
    nearest_known: float  # cosine with the nearest speaker of the bank
    seed: int  # of the draw


class Casting:
    """Finds voices that suit faces, none of which a known person could be taken for.

    Args:
        model: scores them.
        generator: draws them.
        signature: of the TTS; the naive score needs none.
        settings: how they are found, and the bound of the guard.

    Raises:
        InputError: the spaces do not fit, or the guard leaves none.
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
        self.refused = self._search.refused

    def voices(self, faces: np.ndarray, k: int, person: Sequence[int] | None = None) -> list[list[Voice]]:
        """Returns k voices for each person, the best first.

        Args:
            faces: (n, d_face) face vectors.
            k: how many.
            person: (n,) whose face each is, as `face_directions` takes it; each is another person where None.

        Raises:
            InputError: there are fewer than k candidates.
        """
        found = self._search.find(face_directions(self._model, faces, person), k)
        people = len(found.speakers)
        nearest = nearest_known(found.speakers.reshape(people * k, -1), self._bank).reshape(people, k)
        columns = found.speakers, found.expected, found.scores, found.log_likelihood, nearest
        return [
            [
                Voice(speaker, expected, float(score), float(likelihood), float(known), self._seed)
                for speaker, expected, score, likelihood, known in zip(*rows, strict=True)
            ]
            for rows in zip(*columns, strict=True)
        ]


def choose_voices(
    faces: np.ndarray,
    model: Association,
    generator: SpeakerGenerator,
    signature: TTSSignature | None,
    config: Config,
    k: int,
    person: Sequence[int] | None = None,
) -> list[list[Voice]]:
    """Returns k voices for each person, as `Casting.voices`; tells what the guard left out."""
    casting = Casting(model, generator, signature, config.generate)
    tell(config.generate, casting.refused)
    return casting.voices(faces, k, person)


def tell(settings: GenerateConfig, refused: int) -> None:
    """Says how many candidates were not used."""
    if refused:
        say(f"{refused} of {settings.candidates} candidates are too near to a known speaker and were not used")
