"""Photos: read as they are meant to be seen, and the face that is asked for."""

import cv2
import numpy as np
import pytest

from pipelines.extraction.faces.detectors import CenterFaceDetector
from pipelines.extraction.faces.photos import face_in_photo, read_image
from tests.support.talking_portrait import portrait
from vclip.errors import InputError

# An EXIF segment whose only entry is orientation 6: to be turned a quarter clockwise.
EXIF_ORIENTATION_6 = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


def test_a_photo_is_rgb_and_upright(tmp_path):
    stored = np.zeros((40, 80, 3), np.uint8)
    stored[:, :40, 0] = 255  # red at the left, which comes to the top
    jpeg = cv2.imencode(".jpg", stored[..., ::-1])[1].tobytes()
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg[:2] + EXIF_ORIENTATION_6 + jpeg[2:])
    image = read_image(path)
    assert image.shape == (80, 40, 3)
    assert image[10, 20, 0] > 200 > 50 > image[10, 20, 2]
    assert image[70, 20, 0] < 50


@pytest.mark.parametrize("content", [None, b"", b"no frame"])
def test_an_unreadable_photo_is_named(tmp_path, content):
    path = tmp_path / "photo.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"photo\.jpg"):
        read_image(path)


def test_the_largest_face_is_taken_and_any_can_be_asked_for():
    detector = CenterFaceDetector()
    both = np.full((360, 620, 3), 128, np.uint8)
    both[100:340, :240] = portrait(0.0, 240)
    both[:, 260:] = portrait(0.0, 360)
    face, number, count = face_in_photo(both, detector)
    assert (number, count) == (1, 2)
    assert face.box[0] > 300
    assert face_in_photo(both, detector, index=0)[0].box[2] < 240
    with pytest.raises(InputError, match="holds 2"):
        face_in_photo(both, detector, index=2)


def test_no_face_is_one_clear_line():
    with pytest.raises(InputError, match="no face found"):
        face_in_photo(np.full((100, 100, 3), 128, np.uint8), CenterFaceDetector())
