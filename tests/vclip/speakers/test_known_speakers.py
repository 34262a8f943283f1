"""The guard: what counts as too similar to a known speaker."""

import numpy as np
import pytest

from vclip.speakers.bank import SpeakerBank, known_similarity_limit, nearest_known


def _unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def bank():
    vectors = _unit(np.random.default_rng(0).normal(size=(200, 12)))
    return SpeakerBank("space", np.arange(200).astype(str), vectors, np.full(200, ""))


def test_the_nearest_known_speaker_is_found_whatever_the_length(bank):
    x = np.random.default_rng(1).normal(size=(7, 12))
    cosines = [[v @ k / np.linalg.norm(v) for k in bank.vectors] for v in x]
    assert nearest_known(x, bank) == pytest.approx(np.max(cosines, axis=1), abs=1e-6)
    assert nearest_known(3 * bank.vectors[:5], bank) == pytest.approx(1, abs=1e-6)


def test_nine_in_ten_known_speakers_keep_the_bound_and_a_copy_does_not(bank):
    bound = known_similarity_limit(bank)
    others = [nearest_known(bank.vectors[i : i + 1], _without(bank, i))[0] for i in range(len(bank))]
    assert np.mean(np.array(others) <= bound) == pytest.approx(0.9, abs=0.01)
    assert (nearest_known(bank.vectors, bank) > bound).all()


def _without(bank, i):
    rest = np.arange(len(bank)) != i
    return SpeakerBank(bank.space, bank.speaker_id[rest], bank.vectors[rest], bank.gender[rest])
