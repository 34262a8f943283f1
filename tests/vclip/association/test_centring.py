"""A centred model undoes what a domain does to all vectors alike, and says what it cannot centre on."""

from dataclasses import replace

import numpy as np
import pytest

from vclip.association.centring import centred
from vclip.association.evaluation import evaluate
from vclip.association.scores import clip_scores
from vclip.association.training import TrainConfig, train
from vclip.errors import InputError


@pytest.fixture(scope="module")
def model():
    from tests.support.planted_pairs import planted_pairs

    pairs = planted_pairs(people=100, noise=0.8)
    return train(pairs, "test/faces", "test/voices", TrainConfig(max_steps=0, device="cpu"))[0]


def _means(pairs):
    return pairs.faces.mean(0), pairs.voices.mean(0)


def test_a_shift_of_all_vectors_is_undone(model, planted):
    pairs, rng = planted(people=60, seed=1, noise=0.8), np.random.default_rng(0)
    sides = {"faces": pairs.faces, "voices": pairs.voices}
    moved = {name: side + rng.normal(size=side.shape[1]) / 4 for name, side in sides.items()}
    shifted = replace(pairs, **{name: side.astype(np.float32) for name, side in moved.items()})
    before, after = centred(model, *_means(pairs)), centred(model, *_means(shifted))
    np.testing.assert_allclose(clip_scores(after, shifted), clip_scores(before, pairs), atol=1e-3)
    plain, lost, back = (
        evaluate(*each, draws=2).auc for each in ((model, pairs), (model, shifted), (after, shifted))
    )
    assert lost < plain - 0.05
    assert back > plain - 0.02


def test_the_model_itself_stays_as_it_was_and_what_is_not_given_too(model, planted):
    pairs = planted(people=20, seed=1)
    scores = clip_scores(model, pairs)
    other = centred(model, pairs.faces.mean(0))
    np.testing.assert_array_equal(clip_scores(model, pairs), scores)
    np.testing.assert_array_equal(other.embed_voices(pairs.voices), model.embed_voices(pairs.voices))
    assert not np.allclose(other.embed_faces(pairs.faces), model.embed_faces(pairs.faces))
    assert np.array_equal(other.seen, model.seen)


def test_what_cannot_be_centred_is_an_error(model, planted, plain_model):
    pairs = planted(people=20)
    with pytest.raises(InputError, match="a _PlainModel has no means of its training"):
        centred(plain_model(pairs), *_means(pairs))
    with pytest.raises(InputError, match=r"a face mean of shape \(3,\), expected \(\d+,\)"):
        centred(model, np.ones(3))
    with pytest.raises(InputError, match="all finite"):
        centred(model, None, pairs.voices.mean(0) * np.nan)
