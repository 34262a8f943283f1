"""A third party's encoders, TTS, detector, active-speaker backend, method and loss do every job, by name and by path.

Nothing here or in the toolkit imports the package: it is installed into a folder on PYTHONPATH, where the commands'
processes and Ray's workers find its entry points.
"""

import json

import pytest

from stores import Store
from tests.support.distributions import install_plugins, with_plugins
from tests.support.vclip_command import OFFLINE, process
from vclip import checkpoint

pytestmark = pytest.mark.slow

BY_NAME = {
    "encoders.face": "tiny", "encoders.voice": "tiny:20", "extraction.tracks.detector": "tiny",
    "extraction.speaking.backend": "tiny",
}  # fmt: skip
VOICE_SPACE = "tiny-voices/bands-20"


def _set(**settings: object) -> list[str]:
    return [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module", params=[BY_NAME], ids=["name"])
def specs(request):
    return request.param


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The environment in which the package is installed."""
    return with_plugins(install_plugins(tmp_path_factory.mktemp("plugins")))


@pytest.fixture(scope="module")
def run(here):
    """Runs a command where the package is installed; returns what it printed as JSON, or None."""

    def run(*args: object):
        answer = process(*args, env=here)
        assert answer.code == 0, answer.err
        return answer.out

    return run


@pytest.fixture(scope="module")
def trained(specs, run, pair_files, tmp_path_factory):
    """A store of pairs, a model, and speakers with a signature, all by the package's plugins."""
    folder = tmp_path_factory.mktemp("made")
    store, model, speakers = folder / "store", folder / "model", folder / "speakers"
    tts = method = "tiny"
    voice = {"encoders.voice": specs["encoders.voice"], "generate.tts": tts}
    few = {"signature.speakers": 12, "signature.sentences": 1, "signature.max_epochs": 20}
    run("import", "pairs", pair_files / "pairs.csv", "--store", store, "--config", OFFLINE, *_set(**specs))
    run("train", "--store", store, "--out", model, "--method", method)
    run("fit-speakers", "--tts", tts, "--out", speakers)
    run("distill", "--speakers", speakers, "--out", speakers, *_set(**voice, **few))
    return store, model, speakers, tts


def test_train_and_generate(trained, run, photo, tmp_path):
    store, model, speakers, tts = trained
    assert checkpoint.encoders_of(json.loads((model / "config.json").read_text())) == Store.open(str(store)).encoders
    signature = json.loads((speakers / "signature" / "config.json").read_text())
    assert checkpoint.encoders_of(signature).keys() == {VOICE_SPACE}
    given = ["--model", model, "--speakers", speakers, "--text", "Nobody knew his name.", "--out", tmp_path / "out"]
    settings = {"generate.tts": tts, "generate.candidates": 200, "generate.known_similarity": 1}
    said = json.loads(run("generate", "--face", photo, *given, "-k", 2, *_set(**settings), "--json"))
    assert said
    assert len(list((tmp_path / "out").glob("*.wav"))) == 2


def test_a_loss_trains(trained, run, tmp_path):
    store, *_ = trained
    for name, loss in (("a", "tiny:0.5"), ("b", "python:tiny_plugins:tiny_loss")):
        more = _set(**{"train.loss": loss, "train.max_steps": 5, "train.cross_fit_below": 0})
        run("train", "--store", store, "--out", tmp_path / name, *more)
        assert (tmp_path / name / "model.safetensors").is_file()
