"""The probability of dubbing on made-up people, some of whose clips have the voice of another."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from vclip.association.dubbing import dubbing

SHARE = 0.3


def _dubbed(pairs, which, whose):
    """Returns the pairs with the voices of clips `whose` in the place of those of clips `which`."""
    views = pairs.voices.reshape(len(pairs), -1, pairs.voices.shape[1]).copy()
    views[which] = views[whose]
    return replace(pairs, voices=views.reshape(-1, views.shape[2]))


@pytest.fixture(scope="module")
def genuine(planted):
    """60 people with three videos each."""
    pairs = planted(60, clips_each=3)
    return replace(pairs, video_id=pairs.clip_id)


@pytest.fixture(scope="module")
def model(planted, plain_model):
    return plain_model(planted(8, seed=1))  # few people, so that it does not tell all


@pytest.fixture(scope="module")
def world(genuine):
    """The same, with a share of the clips under the voice of the next person; and which those are."""
    rng, rows = np.random.default_rng(0), np.arange(len(genuine))
    dubbed = rng.random(len(genuine)) < SHARE
    return _dubbed(genuine, rows[dubbed], (rows[dubbed] + 3) % len(rows)), dubbed


def test_each_evidence_helps_and_the_probability_means_what_it_says(world, model):
    pairs, dubbed = world
    evidence = 1.5 * np.random.default_rng(1).normal(size=len(dubbed)) + np.where(dubbed, 1.5**2, -(1.5**2)) / 2
    lips = expit(logit(SHARE) + evidence)  # Gaussian log likelihood ratios
    found = dubbing(pairs, lips, model)
    some = lips, dubbing(pairs, lips).probability, expit(logit(lips) + found.association)
    alone, *with_one = (roc_auc_score(dubbed, of) for of in some)
    assert alone < min(with_one)
    assert max(with_one) < roc_auc_score(dubbed, found.probability)
    assert dubbed[found.probability < 0.05].mean() < 0.05
    assert dubbed[found.probability > 0.7].mean() > 0.7
    assert np.mean((found.probability < 0.05) | (found.probability > 0.7)) > 0.8


def test_the_voice_of_another_person_raises_the_probability_and_the_own_voice_lowers_it(genuine, model):
    lips, some = np.full(len(genuine), 0.1), np.arange(0, 60, 3)  # one clip of each of 20 people
    for given in (None, model):
        before = dubbing(genuine, lips, given).probability
        assert np.mean(before < 0.1) > 0.9
        after = dubbing(_dubbed(genuine, some, some + 60), lips, given).probability
        assert np.mean(after[some] > before[some]) > 0.9
        assert np.median(after[some]) > 0.15
        np.testing.assert_allclose(after[60:], before[60:], atol=0.1)


def test_of_two_videos_that_disagree_the_lips_tell_which_is_dubbed(planted):
    pairs = planted(40, clips_each=2)
    pairs = _dubbed(replace(pairs, video_id=pairs.clip_id), [0], [30])
    lips = np.full(len(pairs), 0.1)
    lips[[0, 1]] = 0.6, 0.02
    found = dubbing(pairs, lips)
    assert found.probability[0] > 0.9
    assert found.probability[1] < 0.1
    assert not found.seen.any()


def test_clips_of_one_video_do_not_speak_for_each_other(genuine):
    lips = np.linspace(0.01, 0.99, len(genuine))
    together = replace(genuine, video_id=genuine.identity)
    found = dubbing(_dubbed(together, [0, 1, 2], [30, 31, 32]), lips)
    assert not found.other_videos.any()
    np.testing.assert_allclose(found.probability, lips)


def test_a_model_says_nothing_of_people_whom_it_has_seen(genuine, plain_model):
    half = np.arange(len(genuine)) < 90
    found = dubbing(genuine, np.full(len(genuine), 0.1), plain_model(genuine.select(half)))
    assert found.seen.tolist() == half.tolist()
    assert not found.association[half].any()
    assert found.association[~half].all()


def test_few_people_say_nothing(genuine, model):
    few = genuine.select(np.arange(len(genuine)) < 15)
    found = dubbing(few, np.full(15, 0.3), model)
    assert not found.association.any()
    assert not found.other_videos.any()
    np.testing.assert_allclose(found.probability, 0.3)
