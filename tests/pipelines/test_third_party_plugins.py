"""A third party's plugins, one of each kind, do every job, by name and by path.

Nothing here or in the toolkit imports the package: it is installed into a folder on the PYTHONPATH of one process,
which runs the commands, and of the Ray workers that it starts. The process of the tests does not have it.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stores import Store
from tests.support.command_session import CommandSession
from tests.support.distributions import install_plugins, with_plugins
from tests.support.vclip_command import OFFLINE
from vclip import checkpoint

pytestmark = pytest.mark.slow

FACE_SPACE, VOICE_SPACE = "tiny-faces/grey8/crop1", "tiny-voices/bands-20"


@dataclass(frozen=True)
class Specs:
    """What names each plugin, and the package that an error names where it is missing."""

    face: str
    voice: str
    tts: str
    method: str
    loss: str
    detector: str
    active_speaker: str
    package: str

    def settings(self) -> list[str]:
        """Returns the options of `vclip ingest` and `vclip import`."""
        return _set(
            **{
                "encoders.face": self.face,
                "encoders.voice": self.voice,
                "extraction.tracks.detector": self.detector,
                "extraction.speaking.backend": self.active_speaker,
            }
        )


BY_NAME = Specs("tiny", "tiny:20", "tiny", "tiny", "tiny:0.5", "tiny", "tiny", "tiny-plugins")
PATH = "python:tiny_plugins:"
BY_PATH = Specs(
    f"{PATH}TinyFaces", f"{PATH}TinyVoices:20", f"{PATH}TinyTTS", f"{PATH}TINY_METHOD", f"{PATH}tiny_loss",
    f"{PATH}tiny_detector", f"{PATH}tiny_active_speaker", "tiny_plugins",
)  # fmt: skip


def _set(**settings: object) -> list[str]:
    return [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Iterator[Callable[..., str]]:
    """Runs a command where the package is installed, and returns what it printed."""
    with CommandSession(with_plugins(install_plugins(tmp_path_factory.mktemp("plugins")))) as session:

        def run(*args: object) -> str:
            answer = session.run(*args)
            assert answer.code == 0, answer.err
            return answer.out

        yield run


@pytest.fixture(scope="module")
def speakers(run, tmp_path_factory) -> Path:
    """Speakers with a signature: fitted to the TTS by path, distilled by name."""
    folder = tmp_path_factory.mktemp("fitted") / "speakers"
    few = {"signature.speakers": 12, "signature.sentences": 1, "signature.max_epochs": 20}
    run("fit-speakers", "--tts", BY_PATH.tts, "--out", folder)
    settings = {"encoders.voice": BY_NAME.voice, "generate.tts": BY_NAME.tts, **few}
    run("distill", "--speakers", folder, "--out", folder, *_set(**settings))
    return folder


@pytest.fixture(scope="module")
def video_store(run, sample, tmp_path_factory) -> Path:
    """A store of one video, whose plugins are named by path."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "one.mp4").write_bytes((sample / "000_speaking.mp4").read_bytes())
    store = folder / "store"
    run("ingest", folder / "one.mp4", "--store", store, "--config", OFFLINE, *BY_PATH.settings())
    return store


@pytest.fixture(scope="module")
def pairs_store(run, pair_files, tmp_path_factory) -> Path:
    """A store of pairs, whose plugins are named by registered names."""
    folder = tmp_path_factory.mktemp("pairs") / "store"
    run("import", "pairs", pair_files / "pairs.csv", "--store", folder, "--config", OFFLINE, *BY_NAME.settings())
    return folder


def _names_what_is_missing(answer, package: str) -> None:
    assert answer.code == 2
    assert package in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(("fixture", "specs"), [("video_store", BY_PATH), ("pairs_store", BY_NAME)])
def test_a_store_is_searched_by_photo_with_the_encoder_that_it_records(request, run, vclip, photo, fixture, specs):
    store = request.getfixturevalue(fixture)
    assert Store.open(str(store)).spaces("faces") == {FACE_SPACE: 64}
    assert Store.open(str(store)).encoders.keys() == {FACE_SPACE, VOICE_SPACE}
    # No configuration names the encoder here: the store does.
    search = ("search", "--find", "faces", "--face", photo, "--store", store, "--format", "json")
    assert json.loads(run(*search))["matches"][0]["hits"]
    _names_what_is_missing(vclip(*search), specs.package)


@pytest.mark.parametrize("specs", [BY_NAME, BY_PATH], ids=["name", "path"])
def test_train_and_generate(specs, run, vclip, pairs_store, speakers, photo, tmp_path):
    model = tmp_path / "model"
    run("train", "--store", pairs_store, "--out", model, "--method", specs.method)
    encoders = checkpoint.encoders_of(json.loads((model / "config.json").read_text()))
    assert encoders == Store.open(str(pairs_store)).encoders
    signature = json.loads((speakers / "signature" / "config.json").read_text())
    assert checkpoint.encoders_of(signature).keys() == {VOICE_SPACE}
    settings = {"generate.candidates": 200, "generate.known_similarity": 1}
    settings |= {"generate.tts": specs.tts} if specs is BY_PATH else {}  # the signature has the name
    generate = (
        "generate", "--face", photo, "--model", model, "--speakers", speakers, "--text", "Nobody knew his name.",
        "--out", tmp_path / "out", "-k", 2, *_set(**settings), "--json",
    )  # fmt: skip
    _names_what_is_missing(vclip(*generate), specs.package)
    files = json.loads(run(*generate, "--language", "fr-CA"))["files"]
    assert {file["language"] for file in files} == {"fr"}
    assert len(list((tmp_path / "out").glob("*.wav"))) == 2


@pytest.mark.parametrize("specs", [BY_NAME, BY_PATH], ids=["name", "path"])
def test_a_loss_trains(specs, run, pairs_store, tmp_path):
    quick = {"train.loss": specs.loss, "train.max_steps": 5, "train.cross_fit_below": 0}
    run("train", "--store", pairs_store, "--out", tmp_path / "model", *_set(**quick))
    assert (tmp_path / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize("spec", ["tiny", f"{PATH}TinyProtocol"], ids=["name", "path"])
def test_methods_are_compared_on_a_protocol(spec, run, tmp_path):
    said = run("benchmark-association", tmp_path, "--protocol", spec, "--method", "ridge")
    assert "theirs [1]" in said
    assert ": a book, page 3" in said
