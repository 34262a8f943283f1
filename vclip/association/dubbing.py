"""Whether clips are dubbed, by all evidence: lips, an association model, and the voices of the same person elsewhere.

Each kind of evidence is the log likelihood ratio, in nats, of "the voice is another person's" against "it is the
voice of the face", so the log odds of the lips and both ratios add up. The ratios are calibrated on the clips
themselves, against pairs of two people among them:

- Association: the score of a clip's face with its voice, normalised against other clips (s-norm,
  `vclip.association.scores`). A model has learned the pairs that it was trained on, dubbed or not, so clips of
  people whom it has seen get none.
- Other videos: the cosine of a clip's voice with the mean voice of the same person in other videos, where a clip
  counts by the probability that it is not dubbed itself. Clips of people in one video get none: a dub of the whole
  video has one voice as well.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from vclip.association.base import Association, training_people
from vclip.association.calibration import ScoreCalibration
from vclip.association.metrics.scored_trials import ScoredTrials
from vclip.association.pairs import Pairs, mean_direction, unit_norm
from vclip.association.scores import Scores

COHORT = 1000  # clips that the scores of each pair are normalised against
FEWEST_PEOPLE = 10  # whose pairs a ratio is calibrated on; fewer say nothing
STRANGERS = 50_000  # pairs of two people that the calibration draws
MISTAKEN = 0.05  # share of a person's other videos that show another person: identities and face clusters err
CERTAIN = 1e-6  # a probability of the lips is at least so far from 0 and 1


@dataclass(frozen=True)
class Dubbing:
    """The probability that each of C clips is dubbed, and the evidence beside its lips; 0 where there is none."""

    probability: np.ndarray  # (C,) float64, 0..1
    association: np.ndarray  # (C,) float64, nats, positive for dubbed
    other_videos: np.ndarray  # (C,) float64, likewise
    seen: np.ndarray  # (C,) bool, clips of people that the model was trained on


def dubbing(pairs: Pairs, lips: np.ndarray, model: Association | None = None, seed: int = 0) -> Dubbing:
    """Returns the probability that clips are dubbed, by all evidence.

    Args:
        pairs: C clips, each with an identity; found without their voices, which are what is judged.
        lips: (C,) the probability that each is dubbed by its lips alone, or the prior; 0..1.
        model: scores faces with voices; None leaves this evidence out.
        seed: draws the pairs of two people.

    Raises:
        InputError: a clip has no identity, or a vector holds NaN or infinity.
    """
    log_odds, people = logit(np.clip(lips, CERTAIN, 1 - CERTAIN)), pairs.people()
    seen = np.zeros(len(pairs), bool) if model is None else pairs.seen_in(training_people(model))
    association = np.zeros(len(pairs))
    if model is not None:
        association[~seen] = _association(pairs, log_odds < 0, model, people, ~seen, seed)
    log_odds = log_odds + association
    other_videos = _other_videos(pairs, expit(-log_odds), people, seed)
    return Dubbing(expit(log_odds + other_videos), association, other_videos, seen)


def _association(
    pairs: Pairs, trusted: np.ndarray, model: Association, people: np.ndarray, judged: np.ndarray, seed: int
) -> np.ndarray:
    """Returns the evidence of the model about the clips that are `judged`."""
    rng = np.random.default_rng(seed)
    cohort = np.isin(np.arange(len(pairs)), rng.permutation(len(pairs))[:COHORT])
    if len(set(people[cohort])) < FEWEST_PEOPLE:
        return np.zeros(int(judged.sum()))
    scores = Scores.of(model, pairs, pairs.select(cohort))
    own = scores.of_trials(*[np.flatnonzero(judged)] * 2)
    face, voice = _strangers(people, people, rng)
    calibration = _calibration(own[trusted[judged]], people[judged & trusted], scores.of_trials(face, voice))
    return -calibration.log_ratio(own) if calibration else np.zeros(len(own))


def _other_videos(pairs: Pairs, genuine: np.ndarray, people: np.ndarray, seed: int) -> np.ndarray:
    """Returns the evidence (C,) of the voices of the same people in other videos.

    Args:
        pairs: the clips.
        genuine: (C,) the probability that each is not dubbed, by its other evidence.
        people: (C,) the number of each clip's person.
        seed: draws the pairs of two people.
    """
    voices = mean_direction(pairs.voices, pairs.voice_clip, len(pairs))
    video = np.unique(pairs.video_id, return_inverse=True)[1]
    (person, _), place = np.unique(np.stack([people, video]), axis=1, return_inverse=True)
    place = place.ravel()  # of each clip, the person in the video; these are what is summed
    count = len(person)
    weight = np.bincount(place, genuine, count) / np.bincount(place, minlength=count)
    weighted = weight[:, None] * mean_direction(voices, place, count)
    others = np.flatnonzero(np.bincount(person)[people] > 1)  # the clips of people in several videos
    place, who = place[others], people[others]
    voice = unit_norm(_sums(person, weighted)[who] - weighted[place])
    total, squares = (np.bincount(person, of)[who] - of[place] for of in (weight, weight**2))
    trust = (1 - MISTAKEN) * np.clip(squares / np.maximum(total, 1e-12), 0, 1)

    own, other = _strangers(people, who, np.random.default_rng(seed))
    strangers = np.einsum("nd,nd->n", voices[own], voice[other])
    cosines, trusted = np.einsum("nd,nd->n", voices[others], voice), genuine[others] > 0.5
    calibration = _calibration(cosines[trusted], who[trusted], strangers)
    found = np.zeros(len(pairs))
    if calibration is not None:  # the mean voice may be another person's: then it says nothing, whatever the cosine
        ratios = calibration.log_ratio(cosines)
        found[others] = -np.logaddexp(np.log(np.maximum(trust, 1e-12)) + ratios, np.log1p(-trust))
    return found


def _calibration(own: np.ndarray, people: np.ndarray, strangers: np.ndarray) -> ScoreCalibration | None:
    """Returns the calibration of scores, or None if they are too few or do not tell one person from two.

    Args:
        own: scores of one person, as a rule.
        people: the person of each of these.
        strangers: scores of two people.
    """
    if len(set(people)) < FEWEST_PEOPLE or not len(strangers):
        return None
    same = np.arange(len(own) + len(strangers)) < len(own)
    found = ScoreCalibration.fit([ScoredTrials(np.concatenate([own, strangers]), same)])
    return found if found.scale > 0 else None


def _strangers(people: np.ndarray, others: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows (n,) of `people` and of `others` that are two people."""
    if not len(others):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    first, second = rng.integers(0, len(people), STRANGERS), rng.integers(0, len(others), STRANGERS)
    two_people = people[first] != others[second]
    return first[two_people], second[two_people]


def _sums(group: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns the sum of the rows (n, dim) of each group."""
    sums = np.zeros((int(group.max(initial=-1)) + 1, rows.shape[1]), rows.dtype)
    np.add.at(sums, group, rows)
    return sums
