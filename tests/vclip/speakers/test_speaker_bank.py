"""A bank's vectors are the normed means of each speaker's utterances, and the figures are plain cosines."""

import numpy as np
import pytest

from vclip.speakers.bank import bank_of_utterances
from vclip.speakers.metrics import v2v


@pytest.mark.parametrize("gender", [None, "given"])
def test_bank_means(gender):
    rng = np.random.default_rng(0)
    speaker = rng.choice(["b", "a", "c10", "c9"], 30)
    vectors = rng.random((30, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    of = {"a": "f", "b": "m", "c10": "", "c9": "f"}
    bank = bank_of_utterances("space", speaker.tolist(), vectors, [of[s] for s in speaker] if gender else None)
    assert bank.space == "space"
    assert sorted(bank.speaker_id) == sorted(of)
    assert len(bank) == 4
    for name, vector, label in zip(bank.speaker_id, bank.vectors, bank.gender, strict=True):
        mean = vectors[speaker == name].mean(0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)
        assert label == (of[name] if gender else "")


def test_v2v_is_the_cosine_of_each_row_whatever_the_norms():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 6, 5))
    expected = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(v2v(3 * a, b), expected)
    np.testing.assert_allclose(v2v(a, a), 1)
