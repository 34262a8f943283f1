"""Each score finds what brute force over the same draws finds, in the right spaces, and says what it found."""

import numpy as np
import pytest

from vclip.association.scores import Level
from vclip.errors import InputError, SpaceError
from vclip.speakers.guided_search import GuidedConfig
from vclip.speakers.signature import TTSSignature
from vclip.speakers.voice_search import SCORES, Search, SearchConfig

FEW = SearchConfig(candidates=300, diversity=0.0, guided=GuidedConfig(draws=60, climbers=3, steps=5))


def _with(**changed):
    return FEW.model_copy(update=changed)


@pytest.mark.parametrize("score", ["naive", "informed"])
def test_the_plain_top_k_is_that_of_brute_force(world, faces, score):
    generator, model, signature = world
    found = Search(model, generator, signature, _with(score=score)).find(faces, 4)
    drawn = generator.sample(300, 0)
    voices = signature.predict(drawn) if score == "informed" else drawn
    scores = faces @ model.embed_voices(voices).T
    best = np.argsort(-scores, axis=1)[:, :4]
    np.testing.assert_allclose(found.speakers, drawn[best], atol=1e-6)
    np.testing.assert_allclose(found.scores, np.take_along_axis(scores, best, 1), atol=1e-4)
    flat = found.speakers.reshape(20, -1)
    np.testing.assert_allclose(found.expected.reshape(20, -1), signature.predict(flat), atol=1e-5)
    np.testing.assert_allclose(found.log_likelihood.ravel(), generator.log_likelihood(flat))


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("diversity", [0.0, 0.5])
def test_the_best_stands_first(world, faces, score, diversity):
    generator, model, signature = world
    scores = Search(model, generator, signature, _with(score=score, diversity=diversity)).find(faces, 3).scores
    assert scores.shape == (5, 3)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_naive_voices_differ_in_what_is_heard(world, faces):
    """With a signature the diversity of naive voices is that of s(e), so that systems can be compared."""
    generator, model, signature = world
    alike = {}
    for name, by in (("heard", signature), ("asked", None)):
        speakers = Search(model, generator, by, _with(score="naive", diversity=0.8)).find(faces, 3).speakers
        heard = signature.predict(speakers.reshape(15, -1)).reshape(5, 3, -1)
        alike[name] = np.einsum("mid,mjd->mij", heard, heard)[:, *np.triu_indices(3, 1)].mean()
    assert alike["heard"] < alike["asked"]


def test_several_faces_at_once_are_those_one_by_one(world, faces):
    generator, model, signature = world
    search = Search(model, generator, signature, _with(diversity=0.4))
    for i, found in enumerate(search.find(faces, 2).speakers):
        np.testing.assert_array_equal(search.find(faces[i : i + 1], 2).speakers[0], found)


def test_known_speakers_are_kept_away_from(world, faces):
    generator, model, signature = world
    nearest = (generator.sample(300, 0) @ generator.bank.vectors.T).max(axis=1)
    bound = float(np.quantile(nearest, 0.3))
    found = Search(model, generator, signature, FEW, known_similarity=bound).find(faces, 3).speakers
    assert (found.reshape(15, -1) @ generator.bank.vectors.T).max() <= bound + 1e-6
    with pytest.raises(InputError, match=r"all 300 candidates have a cosine above 0.10"):
        Search(model, generator, signature, FEW, known_similarity=0.1)


def test_with_a_cohort_what_stands_out_counts(world, faces):
    generator, model, signature = world
    cohort = np.random.default_rng(9).normal(size=(40, 7)).astype(np.float32)
    found = Search(model, generator, signature, FEW, cohort=cohort).find(faces, 1).speakers[:, 0]
    drawn = generator.sample(300, 0)
    voices = model.embed_voices(signature.predict(drawn))
    level = Level.of(voices @ model.embed_faces(cohort).T)
    expected = drawn[((faces @ voices.T - level.mean) / level.std).argmax(axis=1)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    plain = Search(model, generator, signature, FEW).find(faces, 1).speakers[:, 0]
    assert np.abs(found - plain).max() > 0.01
    with pytest.raises(InputError, match="found a cohort"):
        Search(model, generator, signature, _with(score="guided"), cohort=cohort)


@pytest.mark.parametrize("score", ["informed", "guided"])
def test_spaces_that_do_not_fit_are_refused(world, score):
    generator, model, _ = world
    other = TTSSignature("made-up", "voices", "ecapa", 12, 12, 8, 0.1)
    with pytest.raises(SpaceError, match="ecapa"):
        Search(model, generator, other, _with(score=score))


def test_more_voices_than_candidates_is_an_error(world, faces):
    generator, model, signature = world
    search = Search(model, generator, signature, _with(candidates=5))
    with pytest.raises(InputError, match="requested 6 voices of 5 candidates"):
        search.find(faces, 6)


@pytest.mark.parametrize("score", SCORES)
def test_fewer_than_one_voice_is_an_error_and_no_face_gets_none(world, faces, score):
    generator, model, signature = world
    search = Search(model, generator, signature, _with(score=score))
    for k in (0, -1):
        with pytest.raises(InputError, match=f"requested {k} voices of"):
            search.find(faces, k)
    found = search.find(faces[:0], 2)
    assert found.speakers.shape == (0, 2, generator.bank.vectors.shape[1])
    assert found.scores.shape == found.log_likelihood.shape == (0, 2)


@pytest.mark.parametrize("score", SCORES)
def test_faces_in_reversed_order_get_the_same_voices(world, faces, score):
    generator, model, signature = world
    search = Search(model, generator, signature, _with(score=score))
    np.testing.assert_allclose(search.find(faces[::-1], 2).scores, search.find(faces, 2).scores[::-1], atol=1e-6)
