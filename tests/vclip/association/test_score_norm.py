"""Score normalisation against its formula, and what it is for.

Tolerances: float32 scores divided by standard deviations near 1.
"""

import numpy as np
import pytest

from vclip.association.evaluation import evaluate
from vclip.association.scores import Level, Scores, normalise
from vclip.errors import InputError


def _unit(*shape, seed=0):
    vectors = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def s_norm(scores, face_with_cohort, voice_with_cohort, top=None):
    return normalise(scores, Level.of(face_with_cohort, top), Level.of(voice_with_cohort, top))


@pytest.mark.parametrize("top", [None, 2, 5, 9, 100])
def test_s_norm_is_its_formula(top):
    rng = np.random.default_rng(0)
    scores, face, voice = rng.normal(size=(4, 3)), rng.normal(size=(4, 9)), rng.normal(size=(3, 9))
    expected = np.empty((4, 3))
    for i in range(4):
        for j in range(3):
            x, e = sorted(face[i])[-(top or 9) :], sorted(voice[j])[-(top or 9) :]
            expected[i, j] = ((scores[i, j] - np.mean(x)) / np.std(x) + (scores[i, j] - np.mean(e)) / np.std(e)) / 2
    np.testing.assert_allclose(s_norm(scores, face, voice, top), expected, atol=1e-5)


def test_a_face_that_suits_every_voice_no_longer_does():
    """A score of its own added to each face and each voice is taken away again, whatever its size."""
    rng = np.random.default_rng(0)
    scores, face, voice = rng.normal(size=(5, 5)), rng.normal(size=(5, 40)), rng.normal(size=(5, 40))
    biased, centred = np.zeros((5, 1)), s_norm(scores, face, voice)
    biased[2] = 7.0
    moved = s_norm(scores + biased, face + biased, voice) - centred
    assert np.abs(np.delete(moved, 2, axis=0)).max() < 1e-6
    assert np.ptp(s_norm(scores, face + biased, voice) - centred, axis=1).max() < 1e-5  # a shift of the whole row


@pytest.mark.parametrize("top", [None, 3])
def test_scores_of_blocks_and_of_trials_are_those_of_the_whole(top):
    faces, voices, cohort_faces, cohort_voices = (_unit(n, 6, seed=n) for n in (7, 8, 12, 13))
    levels = (Level.between(*sides, top, rows=3) for sides in ((faces, cohort_voices), (voices, cohort_faces)))
    scores = Scores(faces, voices, *levels)
    # The reference in float64. A cosine in float32 is good to 1e-6; divided by the deviation of the three highest,
    # which may be as small as 0.01, it is good to 1e-4.
    faces, voices, cohort_faces, cohort_voices = (
        side.astype(np.float64) for side in (faces, voices, cohort_faces, cohort_voices)
    )
    expected = s_norm(faces @ voices.T, faces @ cohort_voices.T, voices @ cohort_faces.T, top)
    tolerance = {"rtol": 1e-4, "atol": 1e-4}
    rows, columns = np.array([5, 0, 3]), np.array([1, 7])
    np.testing.assert_allclose(scores(rows, columns), expected[np.ix_(rows, columns)], **tolerance)
    some = np.array([0, 6, 6, 2]), np.array([3, 3, 0, 7])
    np.testing.assert_allclose(scores.of_trials(*some), expected[some], **tolerance)
    plain = Scores(scores.faces, scores.voices)
    np.testing.assert_allclose(plain.of_trials(*some), (faces @ voices.T)[some], atol=1e-6)  # float32


def test_a_cohort_mends_a_model_whose_faces_have_levels_of_their_own(planted, plain_model):
    """Every face gets a level of its own, which ruins the comparison of trials until it is taken away."""
    cohort, test, training = (planted(people=n, seed=n, noise=0.6) for n in (150, 60, 151))
    model = plain_model(training, face_offsets=True)
    plain, normalised = evaluate(model, test, draws=20), evaluate(model, test, cohort=cohort, draws=20)
    assert 1 - normalised.auc < 0.7 * (1 - plain.auc)
    assert (plain.cohort_clips, normalised.cohort_clips) == (0, 300)


@pytest.mark.parametrize(
    ("cohort", "top", "named"),
    [(1, None, "cohort of 1, expected at least 2"), (5, 1, "top of 1, expected at least 2")],
)
def test_too_small_a_cohort_is_an_error(cohort, top, named):
    with pytest.raises(InputError, match=named):
        Level.of(np.random.default_rng(0).normal(size=(3, cohort)), top)


def test_a_cohort_of_one_voice_is_an_error():
    with pytest.raises(InputError, match="all the same"):
        Level.of(np.full((3, 5), 0.25, np.float32))
