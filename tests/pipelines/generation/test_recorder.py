"""The rows of generated files in a store: one a file, so that a deletion finds every copy of a person's speech."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.config import Config
from pipelines.generation.faces import TargetFace
from pipelines.generation.models import Models
from pipelines.generation.session import SpeechSession
from pipelines.generation.utterances import Spoken, Utterance
from pipelines.maintenance.delete import delete
from stores import Store
from tests.support.generation_world import Beeper, beeper
from tests.support.generation_world import utterance as spoken_for
from tests.support.store_world import FACES, VOICES, video

MODEL = SimpleNamespace(space=Beeper.space)


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store.create(str(tmp_path / "store"), FACES, VOICES)
    store.commit([video(1), video(2)])
    return store


@pytest.fixture
def session(tmp_path) -> SpeechSession:
    """A session whose models only have the space of the TTS: nothing here chooses voices."""
    models = Models(MODEL, MODEL, None, None, {})
    return SpeechSession(models, Config(), beeper(tmp_path / "journal"))


@pytest.fixture
def utterance(store) -> Utterance:
    """A text spoken for the first face of the first video."""
    face = store.query("faces", ["face_id"], "video_id = 'video0001'", limit=1)["face_id"][0].as_py()
    target = TargetFace(f"{store.uri}#{face}", "", 0, 1, np.zeros(8, np.float32))
    return spoken_for("Hello.", np.ones(4), target)


def _record(session, store, utterance, *uris):
    """Records files of an utterance in one run, as a job does: those of which the store lacks the row."""
    added = 0
    with session.recording(store, {"job": "generate"}) as recorder:
        for uri in uris:
            if recorder.lacks(utterance.generation_id, uri):
                recorder.add(utterance.record(Spoken(1.0, {})), uri)
                added += 1
    return added


def _files_to_delete(store):
    return delete(store.uri, videos=["video0001"]).files


def test_a_deletion_lists_every_copy_of_a_persons_speech(store, session, utterance, tmp_path):
    copies = [str(tmp_path / out / "a.wav") for out in ("first", "second", "third")]
    assert _record(session, store, utterance, copies[0]) == 1
    assert _record(session, store, utterance, *copies[1:]) == 2
    assert _files_to_delete(store) == sorted(name for wav in copies for name in (wav, wav.replace(".wav", ".json")))
    rows = store.query("generations").to_pylist()
    assert {row["generation_id"].partition("-")[0] for row in rows} == {utterance.generation_id}
    assert {row["language"] for row in rows} == {utterance.language}
    # A run that resumes finds its rows, and one that speaks again replaces them.
    assert _record(session, store, utterance, *copies) == 0
    with session.recording(store, {"job": "generate"}) as recorder:
        recorder.add(utterance.record(Spoken(2.0, {})), copies[0])
    assert store.count("generations") == 3


def test_one_relative_name_in_two_folders_is_two_files(store, session, utterance, tmp_path, monkeypatch):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert _record(session, store, utterance, os.path.join("speech", "a.wav")) == 1
        assert _record(session, store, utterance, os.path.join("speech", "a.wav")) == 0
    listed = _files_to_delete(store)
    assert {str(tmp_path / name / "speech" / "a.wav") for name in ("here", "there")} <= set(listed)


def test_rows_of_version_0_1_are_found_kept_and_not_repeated(store, session, utterance, tmp_path):
    """Their id is that of the utterance alone."""
    old, new = str(tmp_path / "old.wav"), "s3://bucket/new.wav"
    assert _record(session, store, utterance, old) == 1
    (row,) = store.query("generations").to_pylist()
    as_written = Store.create(str(tmp_path / "old store"), FACES, VOICES)
    as_written.commit([video(1)])
    row = {name: value for name, value in row.items() if name != "scores"} | {"scores": {}}
    as_written.add_generations([row | {"generation_id": utterance.generation_id, "models": {}}])
    assert _record(session, as_written, utterance, old, new) == 1
    with session.recording(as_written, {"job": "generate"}) as recorder:
        recorder.add(utterance.record(Spoken(2.0, {})), old)
    rows = {row["audio_uri"]: row["generation_id"] for row in as_written.query("generations").to_pylist()}
    assert rows.keys() == {old, new}
    assert rows[old] == utterance.generation_id
    assert {old, new} <= set(_files_to_delete(as_written))


def test_a_run_that_fails_says_why_and_leaves_rows_of_the_files_it_wrote(store, session, utterance, tmp_path):
    def fail():
        with session.recording(store, {"job": "generate"}) as recorder:
            recorder.add(utterance.record(Spoken(1.0, {})), str(tmp_path / "a.wav"))
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert store.query("generations")["audio_uri"].to_pylist() == [str(tmp_path / "a.wav")]
    (run,) = store.query("runs").to_pylist()
    assert run["finished_at"] is not None
    assert '"ended_by": "OSError: disk full"' in run["summary"]
