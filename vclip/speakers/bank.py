"""Known speakers, one vector each: the speaker generator learns from them, and no generated voice may copy one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vclip.association.pairs import clip_means, mean_direction, unit_norm

KEPT_PERCENTILE = 90.0


@dataclass(frozen=True, repr=False)
class SpeakerBank:
    """S known speakers in one embedding space.

    Example:
        >>> import numpy as np
        >>> SpeakerBank("ge2e", np.array(["ann", "bob"]), np.eye(2, 4, dtype=np.float32), np.array(["f", ""]))
        SpeakerBank(2 speakers, 4-d, space 'ge2e', gender: 1 f, 1 unknown)
    """

    space: str
    speaker_id: np.ndarray  # (S,) str
    vectors: np.ndarray  # (S, dim) float32, unit norm unless `length_counts`
    gender: np.ndarray  # (S,) str, "" if unknown
    length_counts: bool = False  # whether the length of a vector changes the voice; then nothing normalises it

    def __len__(self) -> int:
        return len(self.speaker_id)

    def __repr__(self) -> str:
        names, counts = np.unique(self.gender, return_counts=True)
        genders = sorted(
            ((name or "unknown", count) for name, count in zip(names.tolist(), counts.tolist(), strict=True)),
            key=lambda item: (item[0] == "unknown", item[0]),
        )
        listed = ", ".join(f"{count} {name}" for name, count in genders)
        length = ", length counts" if self.length_counts else ""
        return (
            f"SpeakerBank({len(self)} speakers, {self.vectors.shape[1]}-d{length}, space '{self.space}', "
            f"gender: {listed})"
        )

    @property
    def directions(self) -> np.ndarray:
        """The vectors (S, dim) float32 scaled to unit norm, for cosines between speakers."""
        return unit_norm(self.vectors) if self.length_counts else self.vectors


def bank_of_utterances(
    space: str,
    speaker: Sequence[str],
    vectors: np.ndarray,
    gender: Sequence[str] | None = None,
    length_counts: bool = False,
) -> SpeakerBank:
    """Returns a bank with one vector for each speaker: the mean direction of the speaker's utterances, or their mean.

    Args:
        space: the embedding space of the vectors.
        speaker: (n,) the speaker of each utterance.
        vectors: (n, dim), unit norm unless `length_counts`.
        gender: (n,) the gender of each utterance's speaker, or None.
        length_counts: whether the length of a vector changes the voice; then the mean keeps it.
    """
    ids, first, row = np.unique(np.asarray(speaker, dtype=str), return_index=True, return_inverse=True)
    genders = np.asarray(gender if gender is not None else [""] * len(row), dtype=str)[first]
    mean = clip_means if length_counts else mean_direction
    return SpeakerBank(space, ids, mean(vectors, row, len(ids)), genders, length_counts)


def nearest_known(vectors: np.ndarray, bank: SpeakerBank) -> np.ndarray:
    """Returns the cosine (n,) of each speaker vector (n, dim) with the nearest known speaker."""
    return np.minimum((unit_norm(vectors) @ bank.directions.T).max(axis=1), 1.0)


def known_similarity_limit(bank: SpeakerBank) -> float:
    """Returns the cosine above which a generated voice counts as a known speaker's, unless the user sets another.

    Nine in ten known speakers have a lower cosine with the known speaker nearest to them. For 261 LibriSpeech
    speakers under GE2E the limit is .849. Two utterances of one speaker had a higher cosine for 9 of 10 speakers
    (range .814 to .956); the median of two different speakers is .594. 4 % of 5000 drawn candidates are refused.
    """
    cosines = bank.directions @ bank.directions.T
    np.fill_diagonal(cosines, -1.0)
    return float(np.percentile(cosines.max(axis=1), KEPT_PERCENTILE))
