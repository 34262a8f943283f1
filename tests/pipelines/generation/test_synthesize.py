"""What a task of the batch speaks is written whole, and the next run recognises it."""

import json

import numpy as np
import pytest

from pipelines.files.output_store import Output
from pipelines.files.remote import RemoteConfig
from pipelines.generation.faces import TargetFace
from pipelines.generation.synthesize import SpeechFiles, Synthesizer, files_of, open_synthesis
from tests.support.generation_world import asked, beeper, utterance

MODELS = {"association": {"folder": "a", "sha256": "1"}, "tts": {"name": "beeper"}}
SETTINGS = {"tts": "beeper", "candidates": 5}


def _utterance(text, seed=0, index=0, models=MODELS, settings=SETTINGS):
    face = TargetFace("a.jpg", "0" * 64, index, 2, np.zeros(4, np.float32))
    return utterance(text, np.random.default_rng(seed).normal(size=4), face, models, settings | {"seed": seed})


@pytest.fixture
def files(place):
    return SpeechFiles(Output(place, RemoteConfig()))


def _task(files, journal):
    synthesize = open_synthesis(files, Synthesizer(beeper(journal), None), ["beeper"])
    return lambda utterances, again: [synthesize(utterance, again) for utterance in utterances]


def _recognised(files, utterances):
    return [utterance.text for utterance, _ in files.written(utterances)]


def _spoken(**others):
    return [_utterance("one", **others), _utterance("two", seed=3, **others)]


def test_speech_is_recognised_only_by_a_run_of_the_same_models_and_settings(files, tmp_path):
    utterances = [_utterance("one"), _utterance("two", seed=3), _utterance("refuses this")]
    task = _task(files, tmp_path / "journal")
    outcomes = task(utterances, False)
    # One sample at 16 kHz is 0.06 ms.
    assert [getattr(outcome, "seconds", None) for outcome in outcomes] == [pytest.approx(0.53, abs=1e-3)] * 2 + [None]
    assert "nothing to speak" in outcomes[2].reason
    assert set(files.output.names("speech")) == {name for u in utterances[:2] for name in files_of(u)}
    assert _recognised(files, utterances) == ["one", "two"]
    assert [spoken for _, spoken in files.written(utterances)] == outcomes[:2]
    moved, other = ({"association": of} for of in ({"folder": "b", "sha256": "1"}, {"folder": "a", "sha256": "2"}))
    assert _recognised(files, _spoken(models=MODELS | moved)) == ["one", "two"]
    assert _recognised(files, _spoken(models=MODELS | other)) == []
    assert _recognised(files, _spoken(settings=SETTINGS | {"candidates": 7})) == []
    assert len(asked(tmp_path / "journal")) == 3
    assert task(utterances[:2], True) == outcomes[:2]
    assert len(asked(tmp_path / "journal")) == 3
    task(utterances[:2], False)
    assert len(asked(tmp_path / "journal")) == 5


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"generate": 1, "models": 2}', None])
def test_a_damaged_or_foreign_sidecar_does_not_count(files, tmp_path, content):
    utterance = _utterance("one")
    _task(files, tmp_path / "journal")([utterance], False)
    if content is None:
        record = json.loads(files.output.read(files_of(utterance)[1]))
        content = json.dumps(record | {"scores": 5}).encode()
    files.output.write(files_of(utterance)[1], [content])
    assert _recognised(files, [utterance]) == []


def test_names_of_files_differ_by_face_text_and_voice():
    utterances = [_utterance("one"), _utterance("two"), _utterance("one", seed=1), _utterance("one", index=1)]
    assert len({files_of(utterance) for utterance in utterances}) == 4
    assert files_of(_utterance("one")) == files_of(utterances[0])
