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

    voices = sorted(Store.open(str(store)).spaces("voices"))
    both_faces = [part for space in sorted([*before, ingested.face_space]) for part in ("--face-space", space)]
    both_voices = [part for space in voices for part in ("--voice-space", space)]
    compare = ("benchmark-association", "--store", store, "--method", "cca", "--folds", 2)
    compared = json.loads(vclip(*compare, *both_faces, *both_voices, "--out", tmp_path / "b", "--json").out)
    assert compared == json.loads((tmp_path / "b" / "association.json").read_text())
    best, *others = compared["methods"]
    pairs_of_spaces = {(row["face_space"], row["voice_space"]) for row in compared["methods"]}
    assert pairs_of_spaces == {(face, voice) for face in both_faces[1::2] for voice in voices}
    assert len(others) == 3
    for row in others:
        assert row["behind_best"]["value"] == pytest.approx(row["auc"] - best["auc"], abs=1e-3)
        assert row["behind_best"]["low"] <= row["behind_best"]["value"] <= row["behind_best"]["high"]
    alone = vclip(*compare, *both_faces[:2], *both_voices[:2], "--json")
    (same,) = json.loads(alone.out)["methods"]  # of one pair of spaces: the same folds and the same figures
    assert same["folds"] in [row["folds"] for row in compared["methods"]]
    assert "expected one" in vclip(*compare, "--curve", *both_faces).err

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
