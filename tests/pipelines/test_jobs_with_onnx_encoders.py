"""Encoders in ONNX files do every job: ingest, embed, train, search by photo, distill and generate."""

import json
import shutil

import pytest

from stores import Store
from tests.support.onnx_networks import SIZE, face_network, voice_network
from tests.support.vclip_command import OFFLINE

pytestmark = pytest.mark.slow


def _set(**settings: object) -> list[str]:
    return [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]


def test_every_job(sample, pairs_store, speakers, photo, vclip, tmp_path):
    face = f"mirrored:onnx-face:{face_network(tmp_path / 'face.onnx', licence='CC-BY-4.0')}"
    voice = f"onnx-voice:{voice_network(tmp_path / 'voice.onnx')}"
    both = _set(**{"encoders.face": face, "encoders.voice": voice})

    def run(*args: object) -> str:
        answer = vclip(*args)
        assert answer.code == 0, answer.err
        return answer.out + answer.err

    videos = tmp_path / "videos"
    told = run("ingest", sample / "000_speaking.mp4", "--store", videos, "--config", OFFLINE, *both)
    ingested = Store.open(str(videos))
    assert ingested.spaces("faces") == {ingested.face_space: SIZE}
    assert ingested.face_space.startswith("mirrored/onnx-face/squares/1/")
    assert f"licence of {ingested.face_space}: CC-BY-4.0" in told
    # No configuration names the encoder here: the store does.
    hits = json.loads(vclip("search", "--find", "faces", "--face", photo, "--store", videos, "--format", "json").out)
    assert hits["matches"][0]["hits"]

    store = tmp_path / "pairs"
    run("merge", pairs_store, "--store", store)
    before = Store.open(str(store)).spaces("faces")
    run("embed", "--store", store, *both)
    assert Store.open(str(store)).spaces("faces") == before | {ingested.face_space: SIZE}

    model, heard, out = (tmp_path / name for name in ("model", "speakers", "out"))
    quick = _set(**{"train.max_steps": 20, "train.cross_fit_below": 0})
    spaces = ("--face-space", ingested.face_space, "--voice-space", ingested.voice_space)
    run("train", "--store", store, "--out", model, *spaces, *quick)

    shutil.copytree(speakers, heard)  # with the voices that another encoder has heard
    few = {"signature.speakers": 12, "signature.sentences": 1, "signature.max_epochs": 20}
    run("distill", "--speakers", heard, "--out", heard, *_set(**few, **{"encoders.voice": voice}))
    made_for = ("--face", photo, "--model", model, "--speakers", heard, "--text", "Nobody knew his name.")
    free = _set(**{"generate.candidates": 200, "generate.known_similarity": 1})
    run("generate", *made_for, "--out", out, "-k", 1, *free)
    assert len(list(out.glob("*.wav"))) == 1

    face_network(tmp_path / "face.onnx", seed=1)  # another one under the same name
    space = ingested.face_space
    for command in (
        ("search", "--find", "faces", "--face", photo, "--store", videos),
        ("generate", *made_for, "--out", tmp_path / "again"),
        ("ingest", sample / "001_speaking.mp4", "--store", videos, "--config", OFFLINE, *both),
    ):
        answer = vclip(*command)
        assert (answer.code, answer.out) == (2, "")
        assert space in answer.err
