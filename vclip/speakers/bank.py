"""Known speakers, one vector each: what the speaker generator learns from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vclip.association.pairs import mean_direction


@dataclass(frozen=True)
class SpeakerBank:
    """S known speakers in one embedding space."""

    space: str
    speaker_id: np.ndarray  # (S,) str
    vectors: np.ndarray  # (S, dim) float32, unit norm unless `length_counts`
    gender: np.ndarray  # (S,) str, "" where unknown
    length_counts: bool = False  # the TTS makes a difference of a vector's length, so nothing may norm it

    def __len__(self) -> int:
        return len(self.speaker_id)

    @property
    def directions(self) -> np.ndarray:
        """The vectors (S, dim) at unit norm: what cosines between speakers are taken of."""
        return unit_norm(self.vectors) if self.length_counts else self.vectors


def unit_norm(vectors: np.ndarray) -> np.ndarray:
    """Returns vectors (..., dim) at unit norm; zero vectors stay zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def bank_of_utterances(
    space: str, speaker: Sequence[str], vectors: np.ndarray, gender: Sequence[str] | None = None
) -> SpeakerBank:
    """Returns the bank whose vectors are the normed means of each speaker's utterances.

    Args:
        space: of the vectors.
        speaker: (n,) who speaks each utterance.
        vectors: (n, dim) unit norm.
        gender: (n,) or None.
    """
    ids, first, row = np.unique(np.asarray(speaker, dtype=str), return_index=True, return_inverse=True)
    genders = np.asarray(gender if gender is not None else [""] * len(row), dtype=str)[first]
    return SpeakerBank(space, ids, mean_direction(vectors, row, len(ids)), genders)
