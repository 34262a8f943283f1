"""Voices for faces: speakers drawn once, scored for all faces in one product; each face gets the best that differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.config import Config, GenerateConfig
from pipelines.progress import say
from vclip.association.protocol import Association
from vclip.errors import InputError
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.known import likeness_bound, nearest_known
from vclip.speakers.retrieval import expected_voices, pick, suitability
from vclip.speakers.signature import TTSSignature


@dataclass(frozen=True)
class Voice:
    """One voice chosen for a face."""

    speaker: np.ndarray  # (dim,) float32, the vector given to the TTS
    expected: np.ndarray  # (d_voice,) float32, what it will sound like
    score: float  # cosine with the face
    log_likelihood: float  # under the speaker generator
    nearest_known: float  # cosine with the nearest speaker of the bank
    seed: int  # of the draw


class Candidates:
    """Speakers drawn from the generator, without those that a known person could be taken for.

    Args:
        model: scores them.
        generator: draws them.
        signature: of the TTS, for the informed score; None for the naive one.
        settings: how many, from which seed, and the bound of the guard.

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
        drawn = generator.sample(settings.candidates, settings.seed)
        nearest = nearest_known(drawn, generator.bank)
        bound = settings.known_similarity
        bound = likeness_bound(generator.bank) if bound is None else bound
        free = nearest <= bound
        self.refused = int((~free).sum())
        if not free.any():
            raise InputError(
                f"all {len(drawn)} candidates are nearer than {bound:.2f} to a known speaker, expected some that are "
                "nobody's; raise generate.known_similarity, or fit the generator to more speakers"
            )
        self._model, self._seed = model, settings.seed
        self._max_similarity = settings.max_similarity
        self._speakers, self._nearest = drawn[free], nearest[free]
        self._expected = expected_voices(self._speakers, generator.space, model, signature)
        self._likelihood = generator.log_likelihood(self._speakers)

    def scores(self, faces: np.ndarray) -> np.ndarray:
        """Returns the cosines (faces, candidates) of face vectors (n, d_face) with the candidates' voices."""
        return suitability(self._model, faces, self._expected)

    def best(self, scores: np.ndarray, k: int) -> tuple[list[Voice], bool]:
        """Returns the k best that differ, of scores (candidates,), and whether they differ as much as they should.

        Raises:
            InputError: there are fewer than k candidates.
        """
        picked, limit = pick(scores, self._expected, k, self._max_similarity)
        return [self._voice(i, float(scores[i])) for i in picked], limit <= self._max_similarity

    def _voice(self, i: int, score: float) -> Voice:
        likelihood, nearest = float(self._likelihood[i]), float(self._nearest[i])
        return Voice(self._speakers[i], self._expected[i], score, likelihood, nearest, self._seed)


def choose_voices(
    faces: np.ndarray,
    model: Association,
    generator: SpeakerGenerator,
    signature: TTSSignature | None,
    config: Config,
    k: int,
) -> list[list[Voice]]:
    """Returns k voices for each face vector (n, d_face); tells what the guard left out and where voices are alike."""
    candidates = Candidates(model, generator, signature, config.generate)
    chosen = [candidates.best(row, k) for row in candidates.scores(faces)]
    tell(config.generate, candidates.refused, [differ for _, differ in chosen])
    return [voices for voices, _ in chosen]


def tell(settings: GenerateConfig, refused: int, differ: Sequence[bool]) -> None:
    """Says what the choice of voices had to leave out, or to let pass."""
    if refused:
        say(f"{refused} of {settings.candidates} candidates are too near to a known speaker and were not used")
    if alike := len(differ) - sum(differ):
        limit = f"{settings.max_similarity:.2f} (generate.max_similarity)"
        say(f"for {alike} of {len(differ)} faces, no such number of voices differs by {limit}; took more alike ones")
