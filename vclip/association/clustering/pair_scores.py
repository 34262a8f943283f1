"""Pair scores: how likely two clips are of one person, by face and voice together, against what chance gives.

The score of two clips is z_face + z_voice, where z is a cosine in standard deviations above the mean of impostors,
that is, of pairs of two people. Scores of impostors have no heavier tail than a normal distribution, so the share of
them above any bound is known without a single clip of one person.

The score is linear in both cosines, so the mean score of two groups of clips is a product of their mean vectors,
which makes average linkage exact and cheap (`agglomerative`).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from vclip.association.pairs import Pairs, mean_direction
from vclip.errors import InputError

# Mean and standard deviation of two people's cosines, by the first part of the space's name. Measured on the 360,787
# pairs of two people among 850 real clips (AVSpeech) by benchmarks/identities.py. Those of other spaces are taken
# from the corpus itself, almost all of whose pairs are of two people.
IMPOSTORS = {"dlib": (0.840, 0.0349), "resemblyzer": (0.556, 0.0685)}
# Standard deviation of the sum; face and voice of two people correlate, in gender and age. Of those pairs 335, 40,
# 5 and 1 are more than 3, 3.5, 4 and 4.5 of it above the mean, where the normal distribution has 487, 84, 11 and 1;
# of 36 pairs of one person, 36, 36, 35 and 33. Logistic regression weighs the two z as 1.61 : 1.72: they are added.
SPREAD = 1.52
# One kind of evidence is not enough, or an interpreter's voice would make one person of all whom they speak for.
# Face and voice must each be this many standard deviations above their impostors' mean, as 1 in 44 of these is.
EACH_AT_LEAST = 2.0
FEWEST_CLIPS, MOST_SAMPLED = 20, 200_000  # for the impostors' cosines of a space that is not in IMPOSTORS


@dataclass(frozen=True)
class PairScores:
    """Vectors of C clips whose products are their pair scores; made by `score_pairs`."""

    faces: np.ndarray  # (C, d_face) float32; products are cosines in impostors' standard deviations
    voices: np.ndarray  # (C, d_voice) float32; likewise
    face_mean: float  # of impostors' products: z_face is a product less this
    voice_mean: float

    def __len__(self) -> int:
        return len(self.faces)


def bound(chance: float) -> float:
    """Returns the score that a share `chance` of the pairs of two people exceeds."""
    return -SPREAD * NormalDist().inv_cdf(min(max(chance, 1e-300), 0.5))


def chance(score: np.ndarray) -> np.ndarray:
    """Returns the share of the pairs of two people that exceeds each score."""
    from scipy.special import ndtr

    return ndtr(-score / SPREAD)


def score_pairs(pairs: Pairs, face_space: str, voice_space: str) -> PairScores:
    """Returns the pair scores of all clips with each other.

    Args:
        pairs: C clips.
        face_space, voice_space: the spaces of their vectors.

    Raises:
        InputError: a space is not in IMPOSTORS, and the clips are too few to measure it.
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


def is_measured(space: str) -> bool:
    """Returns whether IMPOSTORS holds a space; if not, its statistics are estimated from the clips."""
    return space.partition("/")[0] in IMPOSTORS


def _impostors(directions: np.ndarray, pairs: Pairs, space: str) -> tuple[float, float]:
    """Returns the mean and standard deviation of the cosines of clips of two people."""
    if is_measured(space):
        return IMPOSTORS[space.partition("/")[0]]
    if len(pairs) < FEWEST_CLIPS:
        raise InputError(
            f"space '{space}': {len(pairs)} clips are too few to tell people apart in it (expected {FEWEST_CLIPS}); "
            "give identities with --labels"
        )
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, len(pairs), (2, MOST_SAMPLED))
    named = (pairs.identity[one] != "") & (pairs.identity[one] == pairs.identity[other])
    two = (pairs.video_id[one] != pairs.video_id[other]) & ~named
    if not two.any():
        raise InputError(f"space '{space}': found clips of one video only; give identities with --labels")
    cosines = np.einsum("nd,nd->n", directions[one[two]], directions[other[two]])
    # From the lower half alone, since pairs of one person lie in the upper half.
    low, middle = np.percentile(cosines, [15.87, 50])
    if middle - low < 1e-6:
        raise InputError(f"space '{space}': the clips' vectors are all alike; expected those of different people")
    return float(middle), float(middle - low)
