"""The voices behind a signature are measured on Ray, saved while they arrive, and never measured twice."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from pipelines.config import Config
from pipelines.generation.distill import distill
from pipelines.generation.models import load_speakers
from tests.support.generation_world import Beeper, asked, beeper
from vclip.config import load
from vclip.errors import InputError
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.signature import TTSSignature

pytestmark = pytest.mark.slow
SPEAKERS, SENTENCES = 12, 2


@pytest.fixture(scope="module", autouse=True)
def in_workers() -> Iterator[None]:
    """Lets workers have what is defined in tests."""
    import ray.cloudpickle

    from tests.support import generation_world

    ray.cloudpickle.register_pickle_by_value(generation_world)
    yield
    ray.cloudpickle.unregister_pickle_by_value(generation_world)


def _config(*extra):
    few = (f"speakers={SPEAKERS}", f"sentences={SENTENCES}", "max_epochs=5", "hidden=16")
    return load(Config, None, [*(f"signature.{setting}" for setting in few), *extra])


@pytest.fixture
def folder(speakers, tmp_path):
    """A folder with a generator and nothing else."""
    shutil.copytree(speakers / "generator", tmp_path / "speakers" / "generator")
    return tmp_path / "speakers"


@pytest.fixture
def ctrl_c():
    """Ctrl-C as in a terminal: a shell starts its background jobs, and so perhaps the tests, with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupted_job_resumes_and_measures_nobody_twice(folder, tmp_path):
    expected = distill(folder, tmp_path / "undisturbed", _config(), beeper(tmp_path / "all"))
    assert len(set(asked(tmp_path / "all"))) == len(asked(tmp_path / "all")) == SPEAKERS * SENTENCES
    load_speakers(tmp_path / "undisturbed", "informed")  # the generator is there as well

    journal, job = tmp_path / "first", os.getpid()

    class Interrupting(Beeper):
        """Sends the job Ctrl-C when most speakers are spoken."""

        def synthesize(self, text, speaker, language=""):
            samples = super().synthesize(text, speaker, language)
            if len(asked(journal)) == 20:
                os.kill(job, signal.SIGINT)
                time.sleep(5)  # so that the job does not end before the signal reaches it
            return samples

    import ray

    serial = f"batch.task_cpus={int(ray.cluster_resources()['CPU'])}"  # one task after the other
    with pytest.raises(KeyboardInterrupt):
        distill(folder, folder, _config(serial), lambda spec: Interrupting(journal, 0.05))
    assert not (folder / "signature").exists()
    with np.load(folder / "heard.npz") as file:
        measured = len(file["of"])
    assert 0 < measured < SPEAKERS

    metrics = distill(folder, folder, _config(), beeper(tmp_path / "second"))
    assert len(asked(tmp_path / "second")) == (SPEAKERS - measured) * SENTENCES
    assert set(asked(tmp_path / "second")) <= set(asked(tmp_path / "all"))
    # The voices are the same; the fit's sums may differ in the last bits, depending on the number of threads.
    assert metrics.to_json() == pytest.approx(expected.to_json(), rel=1e-5)
    signatures = [TTSSignature.load(where / "signature") for where in (folder, tmp_path / "undisturbed")]
    speakers = SpeakerGenerator.load(folder / "generator").sample(5)
    again, whole = (signature.predict(speakers) for signature in signatures)
    np.testing.assert_allclose(again, whole, atol=1e-5)

    distill(folder, folder, _config("signature.hidden=8"), beeper(tmp_path / "other fit"))
    assert asked(tmp_path / "other fit") == []
    distill(folder, folder, _config("signature.sentences=1"), beeper(tmp_path / "other sentences"))
    assert len(asked(tmp_path / "other sentences")) == SPEAKERS


def test_a_speaker_whom_the_tts_cannot_speak_is_left_out(folder, tmp_path, capsys):
    chosen = tmp_path / "chosen"

    class Picky(Beeper):
        predicted_space = Beeper.space

        def predict_voices(self, speakers):
            return np.asarray(speakers)

        def synthesize(self, text, speaker, language=""):
            name = np.asarray(speaker, np.float32).tobytes()
            with suppress(FileExistsError), open(chosen, "xb") as file:  # one speaker, however many workers speak
                file.write(name)
            if chosen.read_bytes() == name:
                raise IndexError("out of range")
            return super().synthesize(text, speaker, language)

    config = _config("signature.predicted=50", "signature.predicted_epochs=2")
    metrics = distill(folder, folder, config, lambda spec: Picky(Path(tmp_path / "picky"), 0.0))
    assert metrics.speakers == SPEAKERS - 1
    said = capsys.readouterr().err
    assert (
        f"speak: {SPEAKERS} speakers to do; {SENTENCES} sentences each by {_config().with_tts().generate.tts}" in said
    )
    assert (
        "no speech for 1 speaker, left out; the first: internal error: IndexError: out of range (see errors/" in said
    )
    assert "fit signature: 5 epochs to do; before them a fit to 50 predicted voices" in said
    (kept,) = (folder / "errors").iterdir()
    assert 'raise IndexError("out of range")' in kept.read_text()


def test_a_folder_with_another_generator_is_refused(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    weights = other / "generator" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match="other: found another speaker generator than"):
        distill(folder, other, _config(), beeper(tmp_path / "none"))
    assert {path.name for path in other.iterdir()} == {"generator"}


def test_a_tts_that_fails_for_all_is_an_error_and_only_the_traceback_is_written(folder, tmp_path):
    class Mute(Beeper):
        def synthesize(self, text, speaker, language=""):
            raise IndexError("out of range")

    with pytest.raises(
        InputError, match=r"no speech for 12 speakers of 12; the first: internal error: IndexError: out of"
    ):
        distill(folder, folder, _config(), lambda spec: Mute(tmp_path / "mute", 0.0))
    assert {path.name for path in folder.iterdir()} == {"generator", "errors"}


def test_a_damaged_file_of_measured_voices_is_named(folder, tmp_path):
    (folder / "heard.npz").write_bytes(b"PK\x03\x04 no more")
    with pytest.raises(InputError, match=r"heard\.npz: unreadable .* delete it"):
        distill(folder, folder, _config(), beeper(tmp_path / "journal"))
    assert asked(tmp_path / "journal") == []
