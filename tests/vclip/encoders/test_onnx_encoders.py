"""Encoders from ONNX files: what the network is given, what their spaces are, and what is wrong with a file."""

import os
import re

import numpy as np
import onnx
import onnxruntime
import pytest
import skimage
import torch
import yaml
from onnx import helper

from pipelines.extraction.faces.detectors import CenterFaceDetector, faces_of
from tests.support.onnx_networks import SIZE, face_network, voice_network, write, write_settings
from vclip.encoders import open_face_encoder, open_voice_encoder
from vclip.encoders.face_crop import crop_face
from vclip.encoders.filter_banks import FilterBanks, FilterBankSettings
from vclip.encoders.onnx_face import REFERENCE, aligned, similarity
from vclip.errors import InputError
from vclip.testing import crops, utterances

RATE_HZ = 16_000


def _face(path):
    return open_face_encoder(f"onnx-face:{path}", "cpu")


def _voice(path):
    return open_voice_encoder(f"onnx-voice:{path}", "cpu")


def _unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "network.onnx"


@pytest.fixture(scope="module")
def face_crop():
    """A real face, as ingest would cut it."""
    photo = skimage.data.astronaut()
    return crop_face(photo, faces_of(CenterFaceDetector(), photo)[0].landmarks)


def test_an_aligned_face_has_arcfaces_points(face_crop):
    """By another detector than the one that aligns it."""
    wide = np.pad(aligned(face_crop), ((56, 56), (56, 56), (0, 0)), "edge")
    found = np.asarray(faces_of(CenterFaceDetector(), wide)[0].landmarks) - 56
    assert np.linalg.norm(found - REFERENCE, axis=1).mean() < 4.5  # px; detectors differ by as much
    unaligned = np.asarray(faces_of(CenterFaceDetector(), face_crop)[0].landmarks) * 112 / len(face_crop)
    assert np.linalg.norm(unaligned - REFERENCE, axis=1).mean() > 9


def test_a_similarity_is_found_from_its_points():
    rng = np.random.default_rng(0)
    for _ in range(20):
        points, angle, scale, shift = (
            rng.normal(size=(5, 2)),
            rng.uniform(-3, 3),
            rng.uniform(0.1, 9),
            rng.normal(size=2),
        )
        rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        found = similarity(points, points @ rotation.T + shift)
        np.testing.assert_allclose(found, np.column_stack([rotation, shift]), atol=1e-9)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"mean": 0, "std": 1},
        {"channels": "BGR", "mean": [104, 117, 123], "std": [58, 57, 56]},
        {"layout": "NHWC", "mean": [123, 117, 104], "std": 128},
        {"layout": "NHWC", "channels": "BGR"},
    ],
    ids=str,
)
def test_a_face_network_sees_what_its_yaml_says(file, settings):
    path, faces = face_network(file, **settings), crops(3)
    given = {"channels": "RGB", "mean": 127.5, "std": 127.5, "layout": "NCHW"} | settings
    pixels = np.stack([aligned(face) for face in faces]).astype(np.float64)
    pixels = pixels[..., ::-1] if given["channels"] == "BGR" else pixels
    pixels = ((pixels - given["mean"]) / given["std"]).astype(np.float32)
    pixels = np.moveaxis(pixels, 3, 1) if given["layout"] == "NCHW" else pixels
    (expected,) = onnxruntime.InferenceSession(str(path)).run(None, {"x": pixels})
    np.testing.assert_allclose(_face(path).embed(faces), _unit(expected), atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({}, ("n", "t", 80)),
        ({"mean_normalisation": True, "fbank": {"window_type": "hamming"}}, ("n", "t", 80)),
        ({"full_scale": 1, "layout": "BFT"}, ("n", 80, "t")),
        ({"input": "waveform"}, ("n", "t")),
        ({"input": "waveform", "full_scale": 32768}, ("n", 1, "t")),
    ],
    ids=str,
)
def test_a_voice_network_hears_what_its_yaml_says(file, settings, shape):
    path, spoken = voice_network(file, shape=shape, **settings), utterances(4, RATE_HZ)
    given = {"input": "fbank", "full_scale": 1 if "input" in settings else 32768} | settings
    session, expected = onnxruntime.InferenceSession(str(path)), []
    for samples in spoken:
        heard = samples * np.float32(given["full_scale"])
        if given["input"] == "fbank":
            heard = FilterBanks(FilterBankSettings(**given.get("fbank", {})))(heard)
            heard = heard - heard.mean(0) if given.get("mean_normalisation") else heard
            heard = heard.T if given.get("layout") == "BFT" else heard
        heard = heard[None] if len(shape) > heard.ndim + 1 else heard
        expected.append(session.run(None, {"x": heard[None]})[0][0])
    np.testing.assert_allclose(_voice(path).embed(spoken), _unit(np.array(expected)), atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_network_of_one_size_of_batch_gives_the_same(tmp_path, batch):
    some, fixed = face_network(tmp_path / "some.onnx"), face_network(tmp_path / "fixed.onnx", batch=batch)
    np.testing.assert_allclose(_face(fixed).embed(crops(7)), _face(some).embed(crops(7)), atol=1e-6)
    some = voice_network(tmp_path / "some.onnx")
    fixed = voice_network(tmp_path / "fixed.onnx", shape=(batch, "t", 80))
    spoken = utterances(7, RATE_HZ)
    np.testing.assert_allclose(_voice(fixed).embed(spoken), _voice(some).embed(spoken), atol=1e-6)


def test_a_network_of_one_length_is_given_windows(tmp_path):
    """Their mean, of both ends and what is between; what is shorter is repeated."""
    some = _voice(voice_network(tmp_path / "some.onnx", shape=("n", "t"), input="waveform"))
    fixed = _voice(voice_network(tmp_path / "fixed.onnx", shape=("n", 16_000), input="waveform"))
    long, short = utterances(3, RATE_HZ)[2][:40_000], utterances(1, RATE_HZ)[0]
    means = some.embed([long[:16_000], long[12_000:28_000], long[24_000:]]).mean(0, keepdims=True)
    np.testing.assert_allclose(fixed.embed([long]), _unit(means), atol=1e-6)
    assert len(short) < 16_000
    doubled = np.tile(short, 2)
    means = some.embed([doubled[:16_000], doubled[len(doubled) - 16_000 :]]).mean(0, keepdims=True)
    np.testing.assert_allclose(fixed.embed([short]), _unit(means), atol=1e-6)


def test_half_precision_and_one_of_several_outputs(file):
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("ReduceMean", ["flat"], ["logits"], axes=[1]),
        helper.make_node("MatMul", ["flat", "weights"], ["vector"]),
    ]
    weights = np.random.default_rng(0).normal(size=(3 * 112 * 112, SIZE)).astype(np.float16) / 100
    settings = {
        "name": "half",
        "version": 2,
        "licence": "MIT",
        "size": SIZE,
        "channels": "RGB",
        "mean": 127.5,
        "std": 64,
    }
    write(file, nodes, {"weights": weights}, ["n", 3, 112, 112], settings | {"output": "vector"})
    model = onnx.load(file)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    model.graph.output.append(helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT16, None))
    onnx.save(model, file)
    vectors = _face(file).embed(crops(2))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    write_settings(file, **settings)
    with pytest.raises(InputError, match="has the outputs 'vector', 'logits', and the YAML names ''; name one"):
        _face(file)


def test_a_space_is_of_the_weights_and_the_preprocessing(tmp_path):
    made = [
        _face(face_network(tmp_path / f"{number}.onnx", **settings)).space
        for number, settings in enumerate(
            [{}, {"seed": 1}, {"mean": 127}, {"std": [127.5, 127.5, 128]}, {"channels": "BGR"}, {"version": "2.0"}]
        )
    ]
    assert len(set(made)) == len(made)
    assert made[0].startswith("onnx-face/squares/1/")
    assert made[-1].startswith("onnx-face/squares/2.0/")
    same = [{}, {"licence": "GPL-3.0"}, {"layout": "NCHW"}, {"mean": [127.5, 127.5, 127.5]}]
    assert {_face(face_network(tmp_path / "same.onnx", **settings)).space for settings in same} == {made[0]}
    voices = [
        _voice(voice_network(tmp_path / "voice.onnx", **settings)).space
        for settings in (
            {}, {"seed": 1}, {"mean_normalisation": True}, {"full_scale": 1}, {"fbank": {"window_type": "hamming"}},
        )
    ]  # fmt: skip
    assert len(set(voices)) == len(voices)
    spelled = voice_network(tmp_path / "voice.onnx", fbank={"window_type": "povey", "num_mel_bins": 80})
    assert _voice(spelled).space == voices[0]


@pytest.mark.parametrize("name", ["face.data", f"{200 * 'f'}.data"])
def test_weights_in_another_file_are_part_of_the_space(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)  # where onnxruntime finds them, were only the bytes of the first file given
    spaces = []
    for seed in (0, 1):
        path = face_network(tmp_path / "face.onnx", seed)
        expected = _face(path).embed(crops(2))
        (tmp_path / name).unlink(missing_ok=True)
        onnx.save(onnx.load(path), path, save_as_external_data=True, location=name, size_threshold=0)
        encoder = _face(path)
        np.testing.assert_allclose(encoder.embed(crops(2)), expected, atol=1e-6)
        spaces.append(encoder.space)
    assert len(set(spaces)) == 2
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=re.escape(name)):
        _face(path)


WRONG_YAML = {
    "missing key": ({"licence": None}, r"network\.onnx\.yaml: missing key 'licence'"),
    "unknown key": ({"scale": 2}, r"unknown key 'scale'"),
    "near key": ({"chanels": "RGB"}, r"unknown key 'chanels'; did you mean 'channels'"),
    "name": ({"name": "two words"}, r"name = 'two words'"),
    "std": ({"std": 0}, r"std\.0 = 0: .* greater than 0"),
    "size": ({"size": 512}, rf"gives 2 x {SIZE} for a batch of 2, expected 2 x 512"),
    "layout": ({"layout": "NHWC"}, r"takes any x 3 x 112 x 112, expected any x 112 x 112 x 3 .* 'layout'"),
    "output": ({"output": "embs"}, r"has the outputs 'vector', and the YAML names 'embs'"),
}


@pytest.mark.parametrize("what", WRONG_YAML)
def test_a_yaml_that_does_not_fit_is_one_line_that_says_why(file, what):
    change, told = WRONG_YAML[what]
    path = face_network(file)
    settings = yaml.safe_load((file.parent / "network.onnx.yaml").read_text()) | change
    write_settings(path, **{key: value for key, value in settings.items() if value is not None})
    with pytest.raises(InputError, match=told) as raised:
        _face(path)
    assert "\n" not in str(raised.value)


def test_a_waveform_has_no_bins(file):
    path = voice_network(file, shape=("n", "t"), input="waveform", mean_normalisation=True)
    with pytest.raises(InputError, match="found mean_normalisation, which filter banks have, with input: waveform"):
        _voice(path)


@pytest.mark.parametrize("shape", [("n", 80, "t"), ("n", "t", 40), ("n", 1, "t", 80), ("n", "t")], ids=str)
def test_a_voice_network_of_another_shape(file, shape):
    settings = {"name": "mean", "version": 1, "licence": "MIT", "size": SIZE, "input": "fbank", "full_scale": 1}
    write(file, [helper.make_node("Identity", ["x"], ["vector"])], {}, list(shape), settings)
    with pytest.raises(InputError, match="expected any x any x 80 by its YAML; change its key 'layout'"):
        _voice(file)


def test_a_network_on_filter_banks_is_not_taken_for_one_on_the_waveform(file):
    """Its input may be read as one channel of 80 samples: it would run, and give vectors of nothing."""
    settings = {"name": "mean", "version": 1, "licence": "MIT", "size": SIZE, "input": "waveform", "full_scale": 1}
    mean = helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=0)
    project = helper.make_node("MatMul", ["mean", "weights"], ["vector"])
    write(file, [mean, project], {"weights": np.ones((80, SIZE), np.float32)}, ["n", "t", 80], settings)
    with pytest.raises(InputError, match=r"takes any x any x 80, expected any x 1 x any .* change its key 'input'"):
        _voice(file)


FACE = {"name": "f", "version": 1, "licence": "MIT", "size": 3, "channels": "RGB", "mean": 0, "std": 1}
MEANS = helper.make_node("ReduceMean", ["x"], ["mean"], axes=[2, 3], keepdims=0)
ZERO = helper.make_node("Sub", ["mean", "mean"], ["zero"])


@pytest.mark.parametrize("version", ["2024-01-01", "2.10", "7", "v3"])
def test_a_version_is_the_text_in_the_yaml_whatever_yaml_takes_it_for(file, version):
    write(file, [helper.make_node("Identity", ["mean"], ["vector"]), MEANS][::-1], {}, ["n", 3, 112, 112], FACE)
    beside = file.with_name(f"{file.name}.yaml")
    beside.write_text(beside.read_text().replace("version: 1", f"version: {version}"))
    assert _face(file).space.split("/")[2] == version


NETWORKS = {
    "rank": (
        [helper.make_node("ReduceMean", ["x"], ["vector"], axes=[2, 3])],
        "gives 2 x 3 x 1 x 1 for a batch of 2",
    ),
    "mixed batch": (
        [helper.make_node("ReduceMean", ["x"], ["vector"], axes=[0, 2], keepdims=0)],
        "gives 3 x 112 for",
    ),
    "NaN": ([MEANS, ZERO, helper.make_node("Div", ["zero", "zero"], ["vector"])], "gives NaN"),
    "zero": ([MEANS, ZERO, helper.make_node("Identity", ["zero"], ["vector"])], "or zero"),
    "failing": ([helper.make_node("Reshape", ["x", "shape"], ["vector"])], "fails on 2 x 3 x 112 x 112"),
}


@pytest.mark.parametrize("what", NETWORKS)
def test_a_network_that_gives_no_vectors(file, what):
    nodes, told = NETWORKS[what]
    write(file, nodes, {"shape": np.array([5, 7], np.int64)}, ["n", 3, 112, 112], FACE)
    with pytest.raises(InputError, match=told) as raised:
        _face(file)
    assert str(file) in str(raised.value)


def test_a_network_for_training_is_refused(file):
    """Batch normalisation by the batch itself."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("ReduceMean", ["mean"], ["centre"], axes=[0]),
        helper.make_node("Sub", ["mean", "centre"], ["centred"]),
        helper.make_node("Add", ["centred", "one"], ["vector"]),
    ]
    write(file, nodes, {"one": np.array([1, 2, 3], np.float32)}, ["n", 3, 112, 112], FACE)
    with pytest.raises(InputError, match="depend on the other inputs of a batch"):
        _face(file)


def test_two_inputs(file):
    write(file, [helper.make_node("Add", ["x", "y"], ["vector"])], {}, ["n", 3, 112, 112], FACE, inputs=2)
    with pytest.raises(InputError, match=r"has the inputs 'x' of .*, 'y' of .*, expected one"):
        _face(file)


def test_files_that_are_missing_or_no_network(file):
    with pytest.raises(InputError, match=rf"no file {file} on {os.uname().nodename}.*network\.onnx\.yaml beside it"):
        _face(file)
    file.write_bytes(b"no network")
    with pytest.raises(InputError, match=rf"no file {file}\.yaml on .*docs/encoders\.md"):
        _voice(file)
    write_settings(file, **FACE)
    with pytest.raises(InputError, match="onnxruntime cannot open it"):
        _face(file)


def test_one_voice_that_cannot_be_embedded_is_named(file):
    encoder, spoken = _voice(voice_network(file)), utterances(1, RATE_HZ)
    for bad in (np.zeros(RATE_HZ), np.full(RATE_HZ, np.nan), np.ones(100)):
        with pytest.raises(InputError, match="utterance 1: found"):
            encoder.embed([*spoken, bad.astype(np.float32)])


@pytest.mark.parametrize(
    ("offered", "device", "expected"),
    [
        (True, "cuda:1", [("CUDAExecutionProvider", {"device_id": 1, "use_tf32": 0}), "CPUExecutionProvider"]),
        (True, "cpu", ["CPUExecutionProvider"]),
        (False, "cuda:1", ["CPUExecutionProvider"]),
    ],
)
def test_a_gpu_is_used_where_it_is_asked_for_and_offered(file, monkeypatch, offered, device, expected):
    """No machine of the tests has a GPU: what onnxruntime is asked for is noted, and a CPU gives it."""
    session, asked = onnxruntime.InferenceSession, []

    def noted(path, options, providers):
        asked.append(providers)
        return session(path, options, providers=["CPUExecutionProvider"])

    names = [*(["CUDAExecutionProvider"] if offered else []), "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(onnxruntime, "InferenceSession", noted)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    encoder = open_face_encoder(f"onnx-face:{face_network(file)}", device)
    assert asked == [expected]
    assert encoder.gains_from_gpu is offered
    assert encoder.embed(crops(2)).shape == (2, SIZE)
