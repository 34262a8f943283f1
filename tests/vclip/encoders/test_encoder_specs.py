"""Encoders are opened by a spec, and a space says which spec opened its encoder."""

import numpy as np
import pytest

from vclip.encoders import open_face_encoder, open_voice_encoder, spec_of_space
from vclip.encoders.face_crop import CROP_RULE
from vclip.errors import InputError


def test_the_space_of_an_open_encoder_names_its_spec():
    assert spec_of_space(open_face_encoder("dlib").space) == "dlib"
    assert spec_of_space(open_voice_encoder("resemblyzer", "cpu").space) == "resemblyzer"


@pytest.mark.parametrize("spec", ["open_clip:ViT-B-32-quickgelu/openai", "open_clip:ViT-L-14/laion2b_s32b_b82k"])
def test_the_space_of_a_clip_tag_names_its_spec(spec):
    model, tag = spec.removeprefix("open_clip:").split("/")
    assert spec_of_space(f"open_clip/{model}/{tag}/{CROP_RULE}") == spec


@pytest.mark.parametrize("space", ["open_clip/ViT-B-32/file-0123456789ab/crop1", "vits/x", "", "open_clip/ViT-B-32"])
def test_a_space_that_names_no_spec_says_what_to_do(space):
    with pytest.raises(InputError, match=r"encoders\.face"):
        spec_of_space(space)


def test_a_recorded_spec_comes_first():
    recorded = {"tiny/faces": "tiny:4 @ tiny-vclip==0.1", "dlib/resnet-v1-128/crop1": "python:mine:Dlib"}
    assert spec_of_space("tiny/faces", recorded) == "tiny:4 @ tiny-vclip==0.1"
    assert spec_of_space("dlib/resnet-v1-128/crop1", recorded) == "python:mine:Dlib"
    assert spec_of_space("resemblyzer/ge2e-256", recorded) == "resemblyzer"


def test_a_space_of_mirror_images_names_the_spec_of_the_other_encoder():
    assert spec_of_space("mirrored/dlib/resnet-v1-128/crop1") == "mirrored:dlib"
    assert spec_of_space("mirrored/open_clip/ViT-L-14/openai/crop1") == "mirrored:open_clip:ViT-L-14/openai"
    file = "mirrored/open_clip/ViT-B-32/file-0123456789ab/crop1"
    with pytest.raises(InputError, match=r"encoders\.face"):
        spec_of_space(file)
    mine = "mirrored:open_clip:ViT-B-32/mine.pt"
    assert spec_of_space(file, {file: "mirrored:open_clip:ViT-B-32/lost.pt"}, mine) == mine


def test_a_file_that_is_lost_is_replaced_by_one_of_its_kind(tmp_path):
    lost, mine = tmp_path / "lost.onnx", tmp_path / "mine.onnx"
    for space, recorded in (
        ("onnx-voice/a/1/0123", "onnx-voice:"),
        ("mirrored/onnx-face/a/1/0/crop1", "mirrored:onnx-face:"),
    ):
        specs = {space: f"{recorded}{lost}"}
        assert spec_of_space(space, specs, f"{recorded}{mine}") == f"{recorded}{mine}"
        assert spec_of_space(space, specs, "dlib") == specs[space]
        assert spec_of_space(space, specs) == specs[space]
    lost.touch()
    specs = {"onnx-voice/a/1/0123": f"onnx-voice:{lost}"}
    assert spec_of_space("onnx-voice/a/1/0123", specs, f"onnx-voice:{mine}") == f"onnx-voice:{lost}"


FACES = r"There are: dlib, open_clip:MODEL/TAG, mirrored:SPEC"
UNKNOWN = [
    ("", f"unknown name.*{FACES}"),
    ("dlb", f"unknown name; did you mean 'dlib'.*{FACES}"),
    ("resemblyzer", f"unknown name.*{FACES}"),
    ("dlib:x", "found the argument 'x', expected dlib"),
    ("open_clip", "expected open_clip:MODEL/TAG"),
    ("mirrored", "expected mirrored:SPEC"),
    ("open_clip:ViT-B-32", "expected open_clip:MODEL/TAG"),
]


@pytest.mark.parametrize(("spec", "told"), UNKNOWN)
def test_unknown_face_encoder(spec, told):
    with pytest.raises(InputError, match=f"face encoder '{spec}': {told}"):
        open_face_encoder(spec)


@pytest.mark.parametrize("spec", ["", "dlib", "Resemblyzer"])
def test_unknown_voice_encoder(spec):
    with pytest.raises(InputError, match=f"voice encoder '{spec}': unknown name.*There are: resemblyzer"):
        open_voice_encoder(spec)


def test_an_argument_that_nobody_takes():
    with pytest.raises(
        InputError, match="voice encoder 'resemblyzer:x': found the argument 'x', expected resemblyzer"
    ):
        open_voice_encoder("resemblyzer:x")


@pytest.mark.parametrize(
    "open_encoder", [lambda: open_face_encoder("dlib"), lambda: open_voice_encoder("resemblyzer")]
)
def test_an_encoder_keeps_the_protocol_on_nothing(open_encoder):
    encoder = open_encoder()
    nothing = encoder.embed([])
    assert nothing.shape == (0, encoder.dim)
    assert nothing.dtype == np.float32
