"""Pair scores: how likely two clips are of one person, by face and voice together.

The score of two clips is z_face + z_voice, where z is a cosine in standard deviations above the mean of impostors,
that is, of pairs of two people. Scores of impostors have no heavier tail than a normal distribution, so the share of
impostors above any bound is known without a pair of one person.

The score is linear in both cosines, so the mean score of two groups of clips is a product of their mean vectors,
which makes average-linkage clustering exact and cheap (`agglomerative`).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from vclip.association.pairs import Pairs, mean_direction
from vclip.encoders.mirrored import MIRRORED
from vclip.errors import InputError

# Mean and standard deviation of the cosines of two people, by the encoder in the name of the space. Measured on
# the 360,787 pairs of two people among 850 real clips (AVSpeech) by benchmarks/identities.py. For other spaces they
# are estimated from the corpus, almost all of whose pairs are of two people.
IMPOSTORS = {"dlib": (0.840, 0.0349), "mirrored/dlib": (0.845, 0.0346), "resemblyzer": (0.556, 0.0685)}
# Standard deviation of the sum for impostors; their z_face and z_voice correlate, through gender and age. Of those
# pairs 335, 40, 5 and 1 are more than 3, 3.5, 4 and 4.5 standard deviations above the mean (487, 84, 11 and 1 for a
# normal distribution); of 36 pairs of one person, 36, 36, 35 and 33 are. Logistic regression weighs z_face and
# z_voice as 1.61 : 1.72, so they are simply added.
SPREAD = 1.52
# One kind of evidence is not enough: one interpreter would make one person of everyone whom they translate. Face and
# voice must each be this many standard deviations above the mean of impostors, as 1 in 44 impostors is.
EACH_AT_LEAST = 2.0
FEWEST_CLIPS, MOST_SAMPLED = 20, 200_000  # to estimate the cosines of impostors in other spaces


@dataclass(frozen=True)
class PairScores:
    """Vectors of C clips whose products are their pair scores; made by `score_pairs`."""

    faces: np.ndarray  # (C, d_face) float32; products are cosines in standard deviations of impostors
    voices: np.ndarray  # (C, d_voice) float32; the same
    face_mean: float  # mean product of impostors; z_face is a product minus this
    voice_mean: float

    def __len__(self) -> int:
        return len(self.faces)


def bound(chance: float) -> float:
    """Returns the score that a share `chance` (0..1) of the pairs of two people exceeds."""
    return -SPREAD * NormalDist().inv_cdf(min(max(chance, 1e-300), 0.5))


def chance(score: np.ndarray) -> np.ndarray:
    """Returns the share (0..1) of the pairs of two people that exceeds each score."""
    from scipy.special import ndtr

    return ndtr(-score / SPREAD)


def score_pairs(pairs: Pairs, face_space: str, voice_space: str) -> PairScores:
    """Returns the pair scores of all clips with each other.

    Args:
        pairs: C clips.
        face_space, voice_space: the spaces of the vectors.

    Raises:
        InputError: a space is not in IMPOSTORS, and there are too few clips to estimate its statistics.
    """
    faces = mean_direction(pairs.faces, pairs.face_clip, len(pairs))
    voices = mean_direction(pairs.voices, pairs.voice_clip, len(pairs))
    face_mean, face_spread = _impostors(faces, pairs, face_space)
    voice_mean, voice_spread = _impostors(voices, pairs, voice_space)
    return PairScores(
        faces=faces / np.float32(math.sqrt(face_spread)),
        voices=voices / np.float32(math.sqrt(voice_spread)),
        face_mean=face_mean / face_spread,
        voice_mean=voice_mean / voice_spread,
    )


def score_faces(pairs: Pairs, space: str) -> PairScores:
    """Returns the scores of all clips with each other by their faces alone: z_face, on the scale of `SPREAD`.

    Args:
        pairs: C clips.
        space: the space of their faces.

    Raises:
        InputError: as `score_pairs`.
    """
    faces = mean_direction(pairs.faces, pairs.face_clip, len(pairs))
    mean, spread = _impostors(faces, pairs, space)
    faces = faces * np.float32(math.sqrt(SPREAD / spread))
    return PairScores(faces, np.zeros((len(pairs), 1), np.float32), SPREAD * mean / spread, 0.0)


def is_measured(space: str) -> bool:
    """Returns whether IMPOSTORS has a space; the statistics of other spaces are estimated from the clips."""
    return _kind(space) in IMPOSTORS


def _kind(space: str) -> str:
    parts = space.split("/")
    return "/".join(parts[: 2 if parts[0] == MIRRORED else 1])


def _impostors(directions: np.ndarray, pairs: Pairs, space: str) -> tuple[float, float]:
    """Returns the mean and standard deviation of the cosines of clips of two people."""
    if is_measured(space):
        return IMPOSTORS[_kind(space)]
    if len(pairs) < FEWEST_CLIPS:
        raise InputError(
            f"space '{space}': expected at least {FEWEST_CLIPS} clips to estimate the similarity of different "
            f"people, found {len(pairs)}; give the clips identities, as with `vclip edit label`"
        )
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, len(pairs), (2, MOST_SAMPLED))
    named = (pairs.identity[first] != "") & (pairs.identity[first] == pairs.identity[second])
    video = pairs.videos()
    two_people = (video[first] != video[second]) & ~named
    if not two_people.any():
        raise InputError(
            f"space '{space}': found clips of one video only; give the clips identities, as with `vclip edit label`"
        )
    cosines = np.einsum("nd,nd->n", directions[first[two_people]], directions[second[two_people]])
    # From the lower half alone, because pairs of one person are in the upper half.
    low, middle = np.percentile(cosines, [15.87, 50])
    if middle - low < 1e-6:
        raise InputError(
            f"space '{space}': the vectors of all clips are the same; expected vectors of different people"
        )
    return float(middle), float(middle - low)
