"""What each system asks for, and that what is measured of it is what it says."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.speakers_world import D_FACE, D_VOICE, random_model
from vclip.association.metrics import Figure, draw_people
from vclip.association.pairs import Pairs
from vclip.speakers.baselines import CLONED, DIRECT, KNOWN, REFERENCES, SYSTEMS, DirectMapping, choose_speakers
from vclip.speakers.guided_search import GuidedConfig
from vclip.speakers.metrics import SpeechMetrics, held_out_likelihood, likelihood_model
from vclip.speakers.signature import TTSSignature
from vclip.speakers.voice_search import SearchConfig

QUICK = SearchConfig(candidates=200, guided=GuidedConfig(draws=60, climbers=3, steps=4))


def _pairs(people, seed, views=2):
    """People whose voice follows their face: linear and noisy, unit norm, non-negative; two views each."""
    rng = np.random.default_rng(seed)
    faces = rng.normal(size=(people, D_FACE))
    voices = np.maximum(1 + faces @ np.random.default_rng(1).normal(size=(D_FACE, D_VOICE)) / 3, 0)
    clip = np.repeat(np.arange(people), views)
    faces = faces[clip] + 0.1 * rng.normal(size=(people * views, D_FACE))
    voices = np.maximum(voices[clip] + 0.1 * rng.normal(size=(people * views, D_VOICE)), 0.01)
    voices /= np.linalg.norm(voices, axis=1, keepdims=True)
    names = np.array([f"{seed}-{i:02d}" for i in range(people)])
    no = np.full(people, "")
    return Pairs(faces.astype(np.float32), clip, voices.astype(np.float32), clip, names, names, names, no)


JUDGED, OTHERS = _pairs(6, 1), _pairs(60, 2)


def _ask(name, world, **changed):
    generator, model, signature = world
    arguments = {"others": OTHERS, "generator": generator, "signature": signature, **changed}
    return choose_speakers(name, JUDGED, model=model, config=QUICK, voices=3, **arguments)


@pytest.mark.parametrize("name", REFERENCES + SYSTEMS)
def test_every_system_asks_for_speakers_on_the_range(world, name):
    asked = _ask(name, world)
    k = 1 if name in (CLONED, DIRECT) else 3
    assert asked.speakers.shape == (6, k, D_VOICE)
    assert asked.speakers.min() >= 0
    np.testing.assert_allclose(np.linalg.norm(asked.speakers, axis=2), 1, atol=1e-5)
    if name != KNOWN:
        expected = likelihood_model(world[0].bank).log_likelihood(asked.speakers.reshape(6 * k, -1))
        np.testing.assert_allclose(asked.log_likelihood.ravel(), expected)


def test_known_speakers_are_judged_by_a_mixture_that_has_not_seen_them(world):
    bank, asked = world[0].bank, _ask(KNOWN, world)
    row = [(bank.vectors == speaker).all(axis=1).argmax() for speaker in asked.speakers.reshape(18, -1)]
    np.testing.assert_allclose(asked.log_likelihood.ravel(), held_out_likelihood(bank)[row])
    few = replace(bank, speaker_id=bank.speaker_id[:40], vectors=bank.vectors[:40], gender=bank.gender[:40])
    assert held_out_likelihood(few).mean() < likelihood_model(few).log_likelihood(few.vectors).mean() - 1


def test_across_speaker_spaces_only_what_the_signature_allows_is_left(world):
    generator = world[0]
    signature = TTSSignature("vits", "vits/table", "voices", D_VOICE, D_VOICE, 8, 0.1)
    own = type(generator).__new__(type(generator))
    own.__dict__ |= generator.__dict__ | {"space": "vits/table"}
    allowed = {name for name in REFERENCES + SYSTEMS if _ask(name, world, generator=own, signature=signature)}
    assert allowed == {KNOWN, "no retrieval", "informed", "guided"}
    assert _ask(DIRECT, world, others=OTHERS.select(np.arange(60) < 9)) is None


def test_the_direct_mapping_follows_the_faces():
    mapped = DirectMapping.fit(OTHERS)(JUDGED.faces)
    mapped /= np.linalg.norm(mapped, axis=1, keepdims=True)
    own = np.einsum("nd,nd->n", mapped, JUDGED.voices)
    constant = OTHERS.voices.mean(axis=0)
    assert own.mean() > (JUDGED.voices @ constant / np.linalg.norm(constant)).mean() + 0.02


def test_figures_are_means_over_people_and_a_difference_is_paired():
    rng = np.random.default_rng(0)
    evaluator, k = random_model(4), 3
    voices, true = rng.random((8, k, D_VOICE)).astype(np.float32), rng.random((8, D_VOICE)).astype(np.float32)
    faces = evaluator.embed_faces(rng.normal(size=(8, D_FACE)))
    likelihood, quality, pitch = (rng.normal(size=(8, k)) for _ in range(3))
    pitch[2] = np.nan  # a person without audio
    heard = SpeechMetrics.of(voices, likelihood, quality, pitch, faces, true, evaluator)
    for person in range(8):
        unit = voices[person] / np.linalg.norm(voices[person], axis=1, keepdims=True)
        assert heard.f2v[person] == pytest.approx(
            (evaluator.embed_voices(voices[person]) @ faces[person]).mean(), abs=1e-5
        )
        assert heard.v2v[person] == pytest.approx(
            (unit @ true[person]).mean() / np.linalg.norm(true[person]), abs=1e-5
        )
        alike = (unit[0] @ unit[1] + unit[0] @ unit[2] + unit[1] @ unit[2]) / 3
        assert heard.alike[person] == pytest.approx(alike, abs=1e-5)
    times = draw_people(8, 200, 0)
    shown = heard.figures(times).f2v
    assert shown.value == pytest.approx(heard.f2v.mean(), abs=1e-6)  # float32 means
    assert shown.low < shown.value < shown.high
    assert heard.minus(heard).figures(times).f2v == Figure(0, 0, 0)
    semitones = heard.figures(times).pitch
    assert semitones.value == pytest.approx(np.median(np.delete(pitch.mean(1), 2)))
    assert semitones.low < semitones.value < semitones.high
    assert heard.minus(heard).figures(times).pitch == Figure(0, 0, 0)
    nothing = np.zeros((8, 1))
    single = SpeechMetrics.of(voices[:, :1], nothing, nothing, nothing + np.nan, faces, true, evaluator)
    assert single.figures(times).alike == single.figures(times).pitch == Figure(None, None, None)
