"""Photos: read as they are meant to be seen, and the face that is asked for."""

import io
import struct
import zlib
from contextlib import suppress

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.extraction.faces.detectors import CenterFaceDetector, faces_of
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
    found = face_in_photo(both, detector)
    assert (found.index, found.count) == (1, 2)
    assert found.face.box[0] > 300
    assert face_in_photo(both, detector, index=0).face.box[2] < 240
    with pytest.raises(InputError, match="holds 2"):
        face_in_photo(both, detector, index=2)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_photo_on_its_side_is_turned_where_no_face_is_found(quarters):
    upright = portrait(0.0, 240)

    def only_upright(images):
        return [faces_of(CenterFaceDetector(), one) if np.array_equal(one, upright) else [] for one in images]

    found = face_in_photo(np.ascontiguousarray(np.rot90(upright, quarters)), only_upright)
    assert np.array_equal(found.image, upright)
    assert found.count == 1


def test_a_drawn_face_is_found_in_a_smaller_copy():
    photo, net = portrait(0.0, 240), CenterFaceDetector()

    def only_small(images):
        return [faces_of(net, one) if len(one) <= 120 else [] for one in images]

    found = face_in_photo(photo, only_small, stylised=True)
    assert found.scale == 0.5
    assert found.image is photo
    expected = face_in_photo(photo, net).face
    np.testing.assert_allclose(found.face.landmarks, expected.landmarks, atol=8)
    np.testing.assert_allclose(found.face.box, expected.box, atol=20)
    assert face_in_photo(photo, net, stylised=True).scale == 1
    with pytest.raises(InputError, match="no face found"):
        face_in_photo(photo, only_small)
    with pytest.raises(InputError, match="nor in smaller copies"):
        face_in_photo(np.full((100, 100, 3), 128, np.uint8), net, stylised=True)


def test_no_face_is_one_clear_line():
    with pytest.raises(InputError, match="no face found"):
        face_in_photo(np.full((100, 100, 3), 128, np.uint8), CenterFaceDetector())


def upright_red_at_the_top():
    image = np.zeros((80, 40, 3), np.uint8)
    image[:40, :, 0] = 255
    return image


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "avif", "tiff", "mpo"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_format_is_turned_by_its_orientation(tmp_path, kind, orientation):
    upright = Image.fromarray(upright_red_at_the_top())
    # What has to be done to the upright image so that `orientation` undoes it.
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright.transpose(Image.Transpose(turns[orientation])) if orientation in turns else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo.{kind}"
    more = {"save_all": True, "append_images": [stored]} if kind == "mpo" else {}
    stored.save(path, format=kind.upper(), exif=exif, **more)
    image = read_image(path)
    assert image.shape == (80, 40, 3)
    assert image[10, 20, 0] > 200 > 50 > image[10, 20, 2]
    assert image[70, 20, 0] < 50


def png(width, height, rows):
    """A PNG of one bit a pixel, whose header promises more than there is."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(((width + 7) // 8 + 1) * rows))), (b"IEND", b""))
    parts = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("size", [(20_000, 20_000), (60_000, 60_000), (900_000, 900), (2**31 - 1, 2**31 - 1)])
def test_an_image_too_large_is_refused_by_its_header(tmp_path, size):
    path = tmp_path / "photo.png"
    path.write_bytes(png(*size, rows=1))
    with pytest.raises(InputError, match=r"photo\.png: .*megapixels.*max_picture_mpx"):
        read_image(path)


def test_the_limit_can_be_set(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(png(2000, 1000, rows=1000))
    assert read_image(path).shape == (1000, 2000, 3)
    with pytest.raises(InputError, match="2000x1000 pixels"):
        read_image(path, most_mpx=1.9)


def as_jpeg(**options):
    file = io.BytesIO()
    Image.fromarray(portrait(0.0, 360)).save(file, format="JPEG", quality=90, **options)
    return file.getvalue()


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
@pytest.mark.parametrize("lost", [1, 2])
def test_a_jpeg_without_its_end_mark_is_whole(tmp_path, options, lost):
    (tmp_path / "whole.jpg").write_bytes(as_jpeg(**options))
    (tmp_path / "cut.jpg").write_bytes(as_jpeg(**options)[:-lost])
    whole, cut = read_image(tmp_path / "whole.jpg"), read_image(tmp_path / "cut.jpg")
    assert np.abs(whole.astype(int) - cut).max() <= 3  # the last bits of the last block may be among the lost byte


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_half_a_photo_is_told(tmp_path, kind):
    file = io.BytesIO()
    Image.fromarray(portrait(0.0, 360)).save(file, format=kind)
    path = tmp_path / "photo"
    path.write_bytes(file.getvalue()[: len(file.getvalue()) // 2])
    with pytest.raises(InputError, match="photo"):
        read_image(path)


def test_any_bytes_are_an_image_or_one_line(tmp_path):
    rng, path = np.random.default_rng(5), tmp_path / "photo.jpg"
    for whole in (as_jpeg(), as_jpeg(progressive=True), png(64, 64, 64)):
        for _ in range(60):
            data = bytearray(whole)
            for place in rng.integers(0, len(data), rng.integers(1, 12)):
                data[place] = rng.integers(256)
            path.write_bytes(bytes(data[: rng.integers(1, len(data) + 1)]))
            with suppress(InputError):
                assert read_image(path).ndim == 3
