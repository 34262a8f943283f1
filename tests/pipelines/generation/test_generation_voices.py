"""Voices for faces: the best candidates, and the guard against voices of known speakers."""

import numpy as np
import pytest

from pipelines.config import GenerateConfig
from pipelines.generation.choice import VoiceChooser
from vclip.errors import InputError
from vclip.speakers.bank import SpeakerBank, known_similarity_limit


def _unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


class Cosine:
    """An association model without weights: faces and voices are compared as they are."""

    face_space = voice_space = "space"

    def embed_faces(self, x):
        return _unit(x)

    def embed_voices(self, e):
        return _unit(e)


class Copies:
    """A speaker generator of which every second draw is a known speaker."""

    space = "space"

    def __init__(self):
        rng = np.random.default_rng(0)
        self.bank = SpeakerBank("space", np.arange(40).astype(str), _unit(rng.normal(size=(40, 16))), np.full(40, ""))
        self.fresh = _unit(rng.normal(size=(40, 16)))

    def sample(self, count, seed=0):
        rows = np.empty((count, 16), np.float32)
        rows[::2] = self.bank.vectors[np.arange((count + 1) // 2) % 40]
        rows[1::2] = self.fresh[np.arange(count // 2) % 40]
        return rows

    def log_likelihood(self, vectors):
        return np.zeros(len(vectors))


def _settings(**settings):
    return GenerateConfig(candidates=80, score="naive", diversity=0, **settings)


def _choose(faces, generator, settings, k):
    return VoiceChooser(Cosine(), generator, None, settings).choose(faces, k)


def test_a_known_speaker_is_not_chosen_even_for_a_face_that_it_suits_best(capsys):
    generator = Copies()
    faces = generator.bank.vectors[:10]  # each is best suited by a known speaker
    voices = _choose(faces, generator, _settings(known_similarity=0.999), 3)
    chosen = np.array([voice.speaker for row in voices for voice in row])
    assert (chosen @ generator.bank.vectors.T).max() < 0.999
    assert all(voice.nearest_known < 0.999 for row in voices for voice in row)
    assert "40 of 80 candidates left out: too similar to a known speaker" in capsys.readouterr().err
    by_default = _choose(faces, generator, _settings(), 1)
    assert max(row[0].nearest_known for row in by_default) <= known_similarity_limit(generator.bank)
    unguarded = _choose(faces, generator, _settings(known_similarity=1), 1)
    assert np.array([row[0].speaker for row in unguarded]) == pytest.approx(faces)


def test_the_best_are_those_of_all_that_are_left():
    generator, faces = Copies(), _unit(np.random.default_rng(3).normal(size=(4, 16)))
    chooser = VoiceChooser(Cosine(), generator, None, _settings(known_similarity=0.99))
    scores = faces @ generator.fresh.T
    for row, voices in zip(scores, chooser.choose(faces, 3), strict=True):
        assert [voice.score for voice in voices] == pytest.approx(np.sort(row)[::-1][:3], abs=1e-6)
        assert [voice.nearest_known for voice in voices] == pytest.approx(
            [(voice.speaker @ generator.bank.vectors.T).max() for voice in voices], abs=1e-6
        )


def test_a_bound_that_leaves_no_candidate_is_an_error():
    with pytest.raises(InputError, match="known_similarity"):
        VoiceChooser(Cosine(), Copies(), None, _settings(known_similarity=0.01))
