"""What a task speaks is written whole, and known again by who made it."""

import json

import numpy as np
import pytest

from pipelines.config import GenerateConfig
from pipelines.files.output_store import Output
from pipelines.files.remote import RemoteConfig
from pipelines.generation.faces import Face
from pipelines.generation.synthesize import Recipe, Speaking, files_of
from pipelines.generation.utterances import Utterance
from pipelines.generation.voices import Voice
from tests.support.generation_world import asked, beeper

MODELS = {"association": {"folder": "a", "sha256": "1"}, "tts": {"name": "beeper"}}


def _utterance(text, seed=0, index=0):
    voice = Voice(np.random.default_rng(seed).normal(size=4).astype(np.float32), np.zeros(4), 0.5, 1.0, 0.7, seed)
    return Utterance(Face("a.jpg", "0" * 64, index, 2, np.zeros(4, np.float32)), voice, 1, text)


@pytest.fixture
def recipe(place):
    return Recipe(GenerateConfig(tts="beeper"), MODELS, Output(place, RemoteConfig()))


def _known(recipe, utterances, settings=None, models=MODELS):
    other = Recipe(settings or recipe.settings, models, recipe.output)
    return [utterance.text for utterance, _ in other.already_spoken(utterances)]


def test_what_was_spoken_is_known_again_and_only_to_the_same_models_and_settings(recipe, tmp_path):
    utterances = [_utterance("one"), _utterance("two", seed=3), _utterance("refuses this")]
    speaking = Speaking(recipe, beeper(tmp_path / "journal"), None)
    fates = speaking(utterances, False)
    assert [getattr(fate, "seconds", None) for fate in fates] == [pytest.approx(0.53, abs=1e-3)] * 2 + [None]
    assert "nothing to speak" in fates[2]
    assert set(recipe.output.names("speech")) == {name for u in utterances[:2] for name in files_of(u)}
    assert _known(recipe, utterances) == ["one", "two"]
    assert [measured for _, measured in recipe.already_spoken(utterances)] == fates[:2]
    moved, other = ({"association": of} for of in ({"folder": "b", "sha256": "1"}, {"folder": "a", "sha256": "2"}))
    assert _known(recipe, utterances, models=MODELS | moved) == ["one", "two"]
    assert _known(recipe, utterances, models=MODELS | other) == []
    assert _known(recipe, utterances, settings=GenerateConfig(tts="beeper", candidates=7)) == []
    assert len(asked(tmp_path / "journal")) == 3
    assert speaking(utterances[:2], True) == fates[:2]
    assert len(asked(tmp_path / "journal")) == 3
    speaking(utterances[:2], False)
    assert len(asked(tmp_path / "journal")) == 5


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"generate": 1, "models": 2}', None])
def test_a_sidecar_that_is_not_ours_vouches_for_nothing(recipe, tmp_path, content):
    utterance = _utterance("one")
    Speaking(recipe, beeper(tmp_path / "journal"), None)([utterance], False)
    if content is None:
        said = json.loads(recipe.output.read(files_of(utterance)[1]))
        content = json.dumps(said | {"scores": 5}).encode()
    recipe.output.write(files_of(utterance)[1], [content])
    assert _known(recipe, [utterance]) == []


def test_names_tell_face_text_and_voice_apart():
    utterances = [_utterance("one"), _utterance("two"), _utterance("one", seed=1), _utterance("one", index=1)]
    assert len({files_of(utterance) for utterance in utterances}) == 4
    assert files_of(_utterance("one")) == files_of(utterances[0])
