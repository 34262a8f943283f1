"""The crop follows the face: turned, shrunk, enlarged or moved, a face gives the same crop."""

import cv2
import numpy as np
import pytest
import skimage.data

from vclip.encoders.face_crop import MAX_SIDE_PX, MIN_SIDE_PX, SIDE_IN_EYE_DISTANCES, crop_face, crop_geometry

# The eyes, the nose and the corners of the mouth in skimage's portrait of an astronaut.
LANDMARKS = np.array([[201.0, 108], [241, 107], [222, 132], [204, 149], [242, 148]])


@pytest.fixture(scope="module")
def portrait():
    # Smoothed, so that what is compared is geometry and not the interpolation of single pixels.
    return cv2.GaussianBlur(skimage.data.astronaut(), (0, 0), 2.0)


def _warp(image, landmarks, degrees=0.0, scale=1.0, shift=(0.0, 0.0)):
    """Returns the picture and the landmarks turned about the face, scaled and moved, on a canvas that holds all."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(tuple(landmarks.mean(0)), degrees, scale)
    side = int(2 * max(height, width) * max(scale, 1))
    matrix[:, 2] += side / 2 - landmarks.mean(0) + shift
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.warpAffine(image, matrix, (side, side), flags=flags), landmarks @ matrix[:, :2].T + matrix[:, 2]


def _difference(a, b):
    side = max(len(a), len(b))
    a, b = (cv2.resize(x, (side, side), interpolation=cv2.INTER_LINEAR).astype(float) for x in (a, b))
    return np.abs(a - b).mean()


@pytest.mark.parametrize("degrees", [-170, -90, -35, -8, 5, 30, 90, 145])
def test_a_turned_picture_gives_the_same_crop(portrait, degrees):
    crop = crop_face(portrait, LANDMARKS)
    turned = crop_face(*_warp(portrait, LANDMARKS, degrees))
    assert turned.shape == crop.shape
    assert _difference(turned, crop) < 2
    # The measure can fail: unturned landmarks in the turned picture give another crop.
    picture, landmarks = _warp(portrait, LANDMARKS, degrees)
    wrong = crop_face(picture, LANDMARKS - LANDMARKS.mean(0) + landmarks.mean(0))
    assert _difference(wrong, crop) > 4


@pytest.mark.parametrize("scale", [0.5, 1.3, 2.0, 3.7])
def test_a_scaled_picture_gives_the_same_crop(portrait, scale):
    expected = crop_face(portrait, LANDMARKS)
    picture, landmarks = _warp(portrait, LANDMARKS, 0, scale)
    assert _difference(crop_face(picture, landmarks), expected) < 4
    # The measure can fail: landmarks a fifth wider apart give another crop.
    wrong = crop_face(picture, landmarks.mean(0) + 1.2 * (landmarks - landmarks.mean(0)))
    assert _difference(wrong, expected) > 8


def test_a_moved_picture_gives_the_same_crop(portrait):
    moved = np.pad(portrait, ((40, 0), (70, 0), (0, 0)))[: portrait.shape[0], : portrait.shape[1]]
    expected = crop_face(portrait, LANDMARKS)
    np.testing.assert_allclose(crop_face(moved, LANDMARKS + np.array([70, 40])).astype(int), expected, atol=1)


def test_the_eyes_are_level_and_the_face_is_in_the_middle():
    """Dots drawn at the landmarks of a tilted face come out level, symmetric, and where the side rule puts them."""
    for degrees in (-40, 0, 25):
        canvas = np.zeros((600, 600, 3), np.uint8)
        upright = np.array([[270.0, 270], [330, 270], [300, 300], [280, 330], [320, 330]])
        turn = cv2.getRotationMatrix2D((300, 300), degrees, 1)
        landmarks = upright @ turn[:, :2].T + turn[:, 2]
        for channel, row in enumerate((0, 1, 3)):  # red left eye, green right eye, blue left mouth corner
            dot = np.zeros(canvas.shape[:2], np.uint8)
            cv2.circle(dot, tuple(np.round(landmarks[row]).astype(int).tolist()), 4, 255, -1)
            canvas[..., channel] = dot
        crop = crop_face(canvas, landmarks)
        side = len(crop)
        rows, columns = np.mgrid[:side, :side]
        found = [np.array([(columns * c).sum(), (rows * c).sum()]) / c.sum() for c in crop.transpose(2, 0, 1) / 1.0]
        left, right, mouth = (f / side for f in found)
        eyes = 1 / SIDE_IN_EYE_DISTANCES  # the larger distance, 60 px both ways
        np.testing.assert_allclose(left, [0.5 - eyes / 2, 0.5 - eyes / 2], atol=0.01)
        np.testing.assert_allclose(right, [0.5 + eyes / 2, 0.5 - eyes / 2], atol=0.01)
        assert abs(mouth[1] - (0.5 + eyes / 2)) < 0.01


def test_side_is_the_larger_distance_and_bounded(portrait):
    def side(across, down, at=256.0):
        eyes = np.array([[at - across / 2, at - down / 2], [at + across / 2, at - down / 2]])
        mouth = np.array([[at - across / 2, at + down / 2], [at + across / 2, at + down / 2]])
        landmarks = np.vstack([eyes, [[at, at]], mouth])
        return crop_geometry(landmarks)[1], len(crop_face(portrait, landmarks))

    assert side(30, 20) == (pytest.approx(30 * SIDE_IN_EYE_DISTANCES), round(30 * SIDE_IN_EYE_DISTANCES))
    assert side(20, 40) == (pytest.approx(40 * SIDE_IN_EYE_DISTANCES), round(40 * SIDE_IN_EYE_DISTANCES))
    assert side(5, 5)[1] == MIN_SIDE_PX
    assert side(150, 150)[1] == MAX_SIDE_PX


def test_a_profile_is_as_upright_as_a_frontal_face():
    """In profile both eyes are one point and only the line to the mouth says where up is."""
    for degrees in (-60, 0, 45):
        turn = cv2.getRotationMatrix2D((0, 0), degrees, 1)[:, :2]
        profile = np.array([[0.0, 0], [0, 0], [-15, 20], [0, 40], [0, 40]]) @ turn.T
        assert crop_geometry(profile)[2] == pytest.approx(-np.deg2rad(degrees), abs=1e-6)


def test_a_face_at_the_border_repeats_it():
    picture = np.full((100, 100, 3), (10, 200, 90), np.uint8)
    crop = crop_face(picture, np.array([[5.0, 5], [35, 5], [20, 20], [8, 35], [32, 35]]))
    assert (crop == (10, 200, 90)).all()


def test_a_large_face_is_shrunk_without_aliases():
    """A checkerboard of single pixels is grey from afar; sampled four pixels at a time it is noise."""
    board = np.repeat((np.indices((1500, 1500)).sum(0) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    crop = crop_face(board, 750 + 10.3 * (LANDMARKS - LANDMARKS.mean(0)))
    assert len(crop) == MAX_SIDE_PX
    np.testing.assert_allclose(crop.astype(float), 127.5, atol=8)
