"""One small world for all jobs: six made-up people on video, and two dozen more as images with speech.

Each piece is made once, by the job that users run, and is only read by the tests.
"""

import csv
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.quickstart.sample import controls_of, draw_people, make_sample, portrait_of
from stores import Store
from tests.support.places import IN_BUCKET
from tests.support.small_world import PEOPLE_ON_VIDEO, gender_of, no_face, people_in_pairs
from tests.support.vclip_command import OFFLINE, Answer, call, process

QUICK = ("--set", "train.max_steps=20", "--set", "train.cross_fit_below=0")


@dataclass(frozen=True)
class Ingested:
    """The videos, the store that the first run made of them, and what that run said."""

    folder: Path
    store: str
    answer: Answer

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads(self.answer.out)


@pytest.fixture(scope="session", autouse=True)
def _own_ray() -> Iterator[None]:
    """A Ray of our own in a short folder (its sockets' paths are limited), and none left behind."""
    folder = tempfile.mkdtemp(prefix="vr", dir="/tmp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        yield
        if "ray" in sys.modules:
            sys.modules["ray"].shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def vclip(capfd) -> Callable[..., Answer]:
    """Runs a command here; sees whatever reaches the file descriptors, libraries' chatter included."""

    def run(*args: object) -> Answer:
        capfd.readouterr()
        code = call(*args)
        return Answer(code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Path:
    """Sample videos with labels.csv and photo.jpg, and beside them broken files and a copy under another name."""
    folder, _ = make_sample(tmp_path_factory.mktemp("sample") / "videos", PEOPLE_ON_VIDEO)
    whole = (folder / "000_speaking.mp4").read_bytes()
    (folder / "broken").mkdir()
    (folder / "broken" / "text.mp4").write_text("this is no video\n")
    (folder / "broken" / "empty.mp4").write_bytes(b"")
    (folder / "broken" / "truncated.mp4").write_bytes(whole[: len(whole) // 3])
    (folder / "zz_copy_of_000.mp4").write_bytes(whole)
    return folder


@pytest.fixture(scope="session")
def ingested(sample, new_uri) -> Ingested:
    """The sample, ingested once by the installed command on a Ray of its own."""
    store = new_uri()
    labels = sample / "labels.csv"
    answer = process("ingest", sample, "--store", store, "--labels", labels, "--config", OFFLINE, "--json")
    assert answer.code == 0, answer.err
    return Ingested(sample, store, answer)


@pytest.fixture(scope="session")
def pair_files(tmp_path_factory) -> Path:
    """pairs.csv with an image and speech of each person; the last image, `nobody`, shows no face."""
    from vclip.audio import resample
    from vclip.marking.provenance import write_speech
    from vclip.tts.morph.backend import Morph
    from vclip.tts.wav import StreamedSpeech

    folder = tmp_path_factory.mktemp("pairs")
    voice, people = Morph(), people_in_pairs()
    with open(folder / "pairs.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "identity", "gender", "face", "voice", "licence"])
        for number, person in enumerate(people):
            text = "We missed the early train, so we had coffee and waited for the next."
            speech = resample(voice.speak(text, controls_of(person)), voice.sample_rate_hz, 16_000)
            write_speech(folder / person.name / "speech.wav", StreamedSpeech([speech], 16_000), {})
            cv2.imwrite(str(folder / f"{person.name}.png"), portrait_of(person)[..., ::-1])
            files = [f"{person.name}.png", f"{person.name}/speech.wav"]
            writer.writerow([number, person.name, gender_of(person), *files, "made up"])
        cv2.imwrite(str(folder / "nobody.png"), no_face())
        writer.writerow(["last", "nobody", "", "nobody.png", f"{people[0].name}/speech.wav", ""])
    return folder


@pytest.fixture(scope="session")
def pairs_store(pair_files, new_uri) -> str:
    """The pairs, imported."""
    store = new_uri()
    assert call("import", "pairs", pair_files / "pairs.csv", "--store", store, "--config", OFFLINE) == 0
    return store


@pytest.fixture(scope="session")
def model(pairs_store, tmp_path_factory) -> Path:
    """An association model, trained for a moment."""
    folder = tmp_path_factory.mktemp("trained") / "model"
    assert call("train", "--store", pairs_store, "--out", folder, *QUICK) == 0
    return folder


@pytest.fixture(scope="session")
def speakers(pairs_store, tmp_path_factory) -> Path:
    """A speaker generator and the signature of `morph`."""
    folder = tmp_path_factory.mktemp("speakers") / "speakers"
    assert call("fit-speakers", "--store", pairs_store, "--out", folder) == 0
    few = ("speakers=12", "sentences=1", "max_epochs=60", "predicted=200")
    given = [part for setting in few for part in ("--set", f"signature.{setting}")]
    assert call("distill", "--speakers", folder, "--out", folder, *given) == 0
    return folder


@pytest.fixture(scope="session")
def photo(sample) -> Path:
    """A photo of one person."""
    return sample / "photo.jpg"


@pytest.fixture(scope="session")
def two_faces(tmp_path_factory) -> Path:
    """A photo of two people, the right one larger."""
    small, large = (portrait_of(person) for person in draw_people(2, seed=3))
    image = np.full((480, 800, 3), 127, np.uint8)
    image[100:340, 20:260] = cv2.resize(small, (240, 240))
    image[:, 320:] = cv2.resize(large, (480, 480))
    path = tmp_path_factory.mktemp("photos") / "two.png"
    cv2.imwrite(str(path), image[..., ::-1])
    return path


@pytest.fixture(scope="session")
def other_store(tmp_path_factory) -> str:
    """A store made for other encoders."""
    uri = str(tmp_path_factory.mktemp("other") / "store")
    Store.create(uri, faces={"open_clip/elsewhere/crop1": 512}, voices={"ecapa/192": 192})
    return uri


@pytest.fixture(scope="module")
def bucket(new_uri) -> Iterator[str]:
    """A prefix of a bucket on an S3 of our own (moto's), which the environment names."""
    if IN_BUCKET:
        yield new_uri()
        return
    import boto3

    from tests.support.loopback import bucket_service

    with bucket_service() as (environment, _), pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="made")
        yield "s3://made/by/us"


@pytest.fixture(params=["folder", "bucket"])
def place(request, tmp_path) -> str:
    """Where files can be put: a folder, and a prefix of a bucket."""
    return (
        str(tmp_path / "out") if request.param == "folder" else f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
    )
