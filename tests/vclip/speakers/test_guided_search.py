"""Guided search ends higher than draws do, never below the floor, off the range or too near a known speaker."""

import numpy as np
import pytest
import torch

from vclip.errors import InputError
from vclip.speakers.guided_search import GuidedConfig, GuidedSearch
from vclip.speakers.voice_search import Search, SearchConfig

QUICK = GuidedConfig(draws=300, climbers=16, steps=20, step_size=0.3, smoothing=0.0)
FREE = QUICK.model_copy(update={"floor": 0.2})  # of these few draws, the median leaves little room


def _informed(model, signature, faces, speakers):
    m, k, dim = speakers.shape
    voices = model.embed_voices(signature.predict(speakers.reshape(m * k, dim))).reshape(m, k, -1)
    return np.einsum("md,mkd->mk", faces, voices)


@pytest.mark.parametrize("floor", [0.2, 0.5, 0.8])
def test_higher_than_thousands_of_draws_and_no_less_likely_than_the_floor(world, faces, floor):
    generator, model, signature = world
    search = GuidedSearch(model, generator, signature, QUICK.model_copy(update={"floor": floor}))
    found = search.find(faces)
    draws = generator.sample(5000, seed=1)
    draws = draws[generator.log_likelihood(draws) >= search.floor]
    best = (faces @ model.embed_voices(signature.predict(draws)).T).max(axis=1)
    assert (_informed(model, signature, faces, found)[:, 0] > best).mean() >= 0.8
    assert _informed(model, signature, faces, found).mean() > best.mean() + 0.01
    assert generator.log_likelihood(found[:, 0]).min() >= search.floor - 1e-3
    likelihood = generator.log_likelihood(generator.sample(QUICK.draws, 0))
    assert search.floor == pytest.approx(np.quantile(likelihood, floor), abs=1e-2)


def test_results_lie_on_the_encoders_range(world, faces):
    generator, model, signature = world
    found = GuidedSearch(model, generator, signature, QUICK).find(faces, 2)
    assert found.shape == (5, 2, generator.bank.vectors.shape[1])
    assert found.dtype == np.float32
    assert found.min() >= 0
    np.testing.assert_allclose(np.linalg.norm(found, axis=2), 1, atol=1e-5)


def test_no_climb_ends_below_its_start(world, faces):
    """One step of almost no length is the start itself."""
    generator, model, signature = world
    free = QUICK.model_copy(update={"floor": 0.0})
    start, climbed = (
        _informed(model, signature, faces, GuidedSearch(model, generator, signature, config).find(faces))
        for config in (free.model_copy(update={"steps": 1, "step_size": 1e-9}), free)
    )
    assert (climbed >= start - 1e-5).all()
    assert climbed.mean() > start.mean() + 0.05


def test_diversity_makes_voices_differ_and_costs_score(world, faces):
    generator, model, signature = world
    search = GuidedSearch(model, generator, signature, QUICK)
    alike, score = [], []
    for diversity in (0.0, 0.7):
        found = search.find(faces, 3, diversity)
        heard = signature.predict(found.reshape(15, -1)).reshape(5, 3, -1)
        alike.append(np.einsum("mid,mjd->mij", heard, heard)[:, *np.triu_indices(3, 1)].mean())
        score.append(_informed(model, signature, faces, found).mean())
    assert alike[1] < alike[0] - 0.05
    assert score[1] < score[0]


def _alike(signature, speakers):
    """The mean predicted cosine of two voices of each face."""
    m, k, dim = speakers.shape
    heard = signature.predict(speakers.reshape(m * k, dim)).reshape(m, k, -1)
    return np.einsum("mid,mjd->mij", heard, heard)[:, *np.triu_indices(k, 1)].mean(axis=1)


@pytest.mark.parametrize("diversity", [0.0, 0.3, 0.6])
def test_voices_as_diverse_as_the_informed_ones_suit_the_faces_better(world, faces, diversity):
    generator, model, signature = world
    config = SearchConfig(candidates=QUICK.draws, diversity=diversity)
    informed = Search(model, generator, signature, config).find(faces, 3).speakers
    guided = GuidedSearch(model, generator, signature, QUICK).find(faces, 3, diversity)
    assert (_alike(signature, guided) <= _alike(signature, informed) + 2e-3).all()
    better = _informed(model, signature, faces, guided).mean(axis=1)
    score = _informed(model, signature, faces, informed).mean()
    assert better.mean() > score + (0.01 if diversity else -0.02)  # informed voices have no floor
    free = GuidedSearch(model, generator, signature, FREE).find(faces, 3, diversity)
    assert (_alike(signature, free) <= _alike(signature, informed) + 2e-3).all()
    assert _informed(model, signature, faces, free).mean() > score + 0.01
    assert (
        generator.log_likelihood(guided.reshape(15, -1)).mean()
        > generator.log_likelihood(informed.reshape(15, -1)).mean()
    )


def test_a_voice_may_not_be_too_near_to_a_known_speaker(world, faces):
    generator, model, signature = world
    nearest = (generator.sample(QUICK.draws, 0) @ generator.bank.vectors.T).max(axis=1)
    bound = float(np.quantile(nearest, 0.4))
    free = GuidedSearch(model, generator, signature, QUICK).find(faces)[:, 0]
    assert (free @ generator.bank.vectors.T).max() > bound + 1e-3
    guarded = GuidedSearch(model, generator, signature, QUICK, known_similarity=bound).find(faces)[:, 0]
    assert (guarded @ generator.bank.vectors.T).max() <= bound + 1e-5
    with pytest.raises(InputError, match=f"found 0 of {QUICK.draws} draws to start from, expected {QUICK.climbers}"):
        GuidedSearch(model, generator, signature, QUICK, known_similarity=0.1)


def test_the_torch_likelihood_is_that_of_the_generator(world):
    generator, model, signature = world
    speakers = generator.sample(50, seed=2)
    found = GuidedSearch(model, generator, signature, QUICK).log_likelihood(torch.as_tensor(speakers))
    np.testing.assert_allclose(found.numpy(), generator.log_likelihood(speakers), atol=2e-3)


def test_faces_do_not_disturb_each_other_and_the_seed_decides(world, faces):
    generator, model, signature = world
    search = GuidedSearch(model, generator, signature, QUICK)
    together = search.find(faces, 2, 0.3)
    np.testing.assert_allclose(search.find(faces[2:3], 2, 0.3)[0], together[2], atol=1e-4)
    other = GuidedSearch(model, generator, signature, QUICK, seed=1).find(faces, 2, 0.3)
    assert np.abs(other - together).max() > 0.01
    assert search.find(faces[:0], 2).shape == (0, 2, together.shape[2])


def test_smoothing_expects_of_a_speaker_what_is_expected_around_it(world, faces):
    generator, model, signature = world
    speakers = torch.as_tensor(generator.sample(20, seed=3))
    rough, smooth = (
        GuidedSearch(model, generator, signature, QUICK.model_copy(update={"smoothing": amount}))
        for amount in (0.0, 0.5)
    )
    with torch.no_grad():
        exact = signature(speakers)
        torch.testing.assert_close(rough.predict_voices(speakers), exact)
        moved = (torch.as_tensor(generator.on_range((speakers + noise).numpy())) for noise in smooth.noise)
        around = torch.stack([signature(near) for near in moved]).mean(0)
        expected = torch.nn.functional.normalize(around, dim=1)
        torch.testing.assert_close(smooth.predict_voices(speakers), expected)
    assert (expected - exact).abs().max() > 0.01
    assert smooth.noise.norm(dim=2).mean() == pytest.approx(0.5, abs=0.1)
    assert np.abs(smooth.find(faces) - rough.find(faces)).max() > 0.01


def test_a_model_that_cannot_be_differentiated_is_refused(world):
    generator, model, signature = world

    class OnlyEmbeds:
        face_space, voice_space, face_input = model.face_space, model.voice_space, model.face_input
        calibration, encoders, seen = None, {}, model.seen
        embed_faces, embed_voices = model.embed_faces, model.embed_voices

    with pytest.raises(InputError, match=r"OnlyEmbeds.*project_voices.*informed"):
        GuidedSearch(OnlyEmbeds(), generator, signature, QUICK)
