"""`vclip generate --prompt`: that the path works. The CLIP here is RANDOM: whether the voices fit is not tested."""

import json
import shutil

import open_clip
import pytest
import torch

from stores import Store
from vclip.association.model import AssociationConfig, AssociationModel
from vclip.encoders import open_face_encoder
from vclip.marking.provenance import read_provenance

pytestmark = pytest.mark.slow
CLIP = "ViT-S-32-alt"  # the smallest that open_clip has
PROMPTS = ("an old man with a deep voice", "a young woman")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """The spec of a CLIP with RANDOM weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("clip") / "RANDOM-weights-for-tests-only.pt"
    torch.save(open_clip.create_model(CLIP).state_dict(), path)
    return f"open_clip:{CLIP}/{path}"


@pytest.fixture(scope="module")
def reader(encoder, model, tmp_path_factory):
    """An association model of its faces, not trained."""
    clip = open_face_encoder(encoder, "cpu")
    voices = AssociationModel.load(model)
    torch.manual_seed(1)
    d_voice = len(voices.voice_input.mean)
    made = AssociationModel(clip.space, voices.voice_space, clip.dim, d_voice, AssociationConfig())
    return made.save(tmp_path_factory.mktemp("reader") / "model", {})


def test_prompts_are_spoken_for_and_recorded(encoder, reader, speakers, ingested, vclip, tmp_path):
    store = shutil.copytree(ingested.store, tmp_path / "store")
    prompts = [part for prompt in PROMPTS for part in ("--prompt", prompt)]
    settings = ("--set", f"encoders.face={encoder}", "--set", "generate.candidates=200")
    said = vclip(
        "generate", *prompts, "--text", "Hello there.", "--model", reader, "--speakers", speakers, "-k", 2,
        "--out", tmp_path / "out", "--store", store, "--json", *settings,
    )  # fmt: skip
    assert said.code == 0, said.err
    assert "--prompt is experimental" in said.err
    rows = json.loads(said.out)["files"]
    assert [row["prompt"] for row in rows] == [prompt for prompt in PROMPTS for _ in range(2)]
    assert rows[0]["speaker_vector"] != rows[2]["speaker_vector"]
    for row in rows:
        inside = read_provenance(row["wav"])
        assert inside["prompt"] == row["prompt"]
        assert not {"face", "face_sha256"} & inside.keys()
        assert "the description (experimental)" in inside["notice"]
    recorded = Store.open(store).query("generations", ["face"])["face"].to_pylist()
    assert sorted(recorded) == sorted(f"prompt: {row['prompt']}" for row in rows)
    assert vclip("verify", rows[0]["wav"]).out.count(PROMPTS[0]) == 1


def test_an_encoder_that_reads_no_text_is_told(model, speakers, vclip, tmp_path):
    said = vclip(
        "generate", "--prompt", PROMPTS[0], "--text", "Hello.", "--model", model, "--speakers", speakers,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert (said.code, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert all(word in said.err for word in ("dlib", "reads no text", "open_clip"))
    assert not (tmp_path / "out").exists()
