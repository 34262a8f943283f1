"""Crops cut from what was kept on the way are those of a second reading, which serves where too little was kept."""

import cv2
import numpy as np
import pytest

from pipelines.extraction import extract
from pipelines.extraction.faces import crops, patches
from pipelines.extraction.faces.detectors import Face
from pipelines.extraction.faces.patches import GlimpseFile, Keeper, surroundings
from pipelines.extraction.video.picture import Picture
from tests.support.talking_portrait import talking, voice, write_video

LANDMARKS = np.array([[88, 85], [112, 85], [100, 100], [90, 114], [110, 114]], float)
FACE = Face((70, 70, 130, 130), 0.9, LANDMARKS)


def planes(seed, height=180, width=320):
    return np.random.default_rng(seed).integers(16, 235, (height * 3 // 2, width), dtype=np.uint8)


def test_a_part_of_a_picture_has_the_pixels_of_the_whole():
    picture = Picture(planes(0))
    part = picture.part(40, 20, 200, 164)
    np.testing.assert_array_equal(part.rgb, picture.rgb[20:164, 40:200])
    np.testing.assert_array_equal(part.grey, picture.grey[20:164, 40:200])


@pytest.mark.parametrize("box", [(70, 70, 130, 130), (-20, 3, 55, 99), (300, 150, 340, 200), (5, 5, 6, 6)])
def test_surroundings_are_even_within_the_picture_and_hold_the_face(box):
    left, top, right, bottom = surroundings(box, (320, 180))
    assert all(edge % 2 == 0 for edge in (left, top, right, bottom))
    assert 0 <= left <= max(0, box[0]) <= min(320, box[2]) <= right <= 320
    assert 0 <= top <= max(0, box[1]) <= min(180, box[3]) <= bottom <= 180


def test_the_best_of_every_half_second_is_kept():
    sharp = {0: 0.2, 5: 0.9, 10: 0.5, 15: 0.1, 20: 0.3, 35: 0.4}  # 25 Hz: halves end before 12, 24, 36
    with GlimpseFile() as file:
        keeper = Keeper(file, rate_hz=24)
        for number, value in sharp.items():
            keeper.look(Picture(planes(number)), number, FACE, value)
        kept = keeper.end()
        assert [one.number for one in kept] == [5, 20, 35]
        for one in kept:
            glimpse = file.read(one)
            left, top, right, bottom = surroundings(FACE.box, (320, 180))
            assert (glimpse.left, glimpse.top, glimpse.size) == (left, top, (320, 180))
            np.testing.assert_array_equal(glimpse.image, Picture(planes(one.number)).rgb[top:bottom, left:right])


def test_a_full_file_takes_no_more(monkeypatch):
    monkeypatch.setattr(patches, "MOST_BYTES", 50_000)  # one is 120 x 120 x 3 / 2 bytes
    with GlimpseFile() as file:
        keeper = Keeper(file, rate_hz=25)
        for number in range(0, 100, 5):
            keeper.look(Picture(planes(number)), number, FACE, 0.5)
        assert len(keeper.end()) == 2


def test_a_full_disk_takes_no_more():
    with GlimpseFile() as file, open("/dev/full", "wb", buffering=0) as full:
        written, file._file = file._file, full
        keeper = Keeper(file, rate_hz=25)
        keeper.look(Picture(planes(0)), 0, FACE, 0.5)
        assert keeper.end() == []
        file._file = written


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    sound = voice(4, seed=0)
    return write_video(tmp_path_factory.mktemp("videos") / "small.mp4", talking(sound, side=480), sound)


def faces_of(video):
    (clip,) = extract(video).clips
    return clip.faces


def test_crops_are_those_of_a_second_reading(video, monkeypatch):
    monkeypatch.setattr(
        crops, "full_pictures", lambda path, probe, media, numbers: pytest.fail(f"read {numbers}") if numbers else ()
    )
    kept = faces_of(video)
    monkeypatch.undo()
    monkeypatch.setattr(patches, "MOST_BYTES", 0)
    again = faces_of(video)
    assert len(kept) == len(again) == 3
    for one, other in zip(kept, again, strict=True):
        assert one.size_px == pytest.approx(other.size_px, rel=0.05)
        assert one.quality == pytest.approx(other.quality, abs=0.03)
        a, b = (small(face.image) for face in (one, other))  # the portrait hardly moves
        assert np.abs(a - b).mean() < 5


def small(jpeg):
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA).astype(int)
