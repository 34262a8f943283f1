"""Crops cut from face patches equal those of a second reading, which serves where too few patches were kept."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.extraction import ExtractionConfig, extract
from pipelines.extraction.candidates import find_candidates
from pipelines.extraction.config import MediaConfig
from pipelines.extraction.faces.crops import cut_crops
from pipelines.extraction.faces.detectors import DetectedFace, open_detector
from pipelines.extraction.faces.patches import FacePatchFile, PatchKeeper, patch_bounds
from pipelines.extraction.pipeline import KeepAnalysis
from pipelines.extraction.video.decode import Decoder
from pipelines.extraction.video.frame import Frame
from pipelines.extraction.video.probe import probe_media
from tests.support.talking_portrait import talking, voice, write_video

LANDMARKS = np.array([[88, 85], [112, 85], [100, 100], [90, 114], [110, 114]], float)
FACE = DetectedFace((70, 70, 130, 130), 0.9, LANDMARKS)


def planes(seed, height=180, width=320):
    return np.random.default_rng(seed).integers(16, 235, (height * 3 // 2, width), dtype=np.uint8)


def test_a_part_of_a_frame_has_the_pixels_of_the_whole():
    frame = Frame(planes(0))
    part = frame.part(40, 20, 200, 164)
    np.testing.assert_array_equal(part.rgb, frame.rgb[20:164, 40:200])
    np.testing.assert_array_equal(part.grey, frame.grey[20:164, 40:200])


@pytest.mark.parametrize("box", [(70, 70, 130, 130), (-20, 3, 55, 99), (300, 150, 340, 200), (5, 5, 6, 6)])
def test_surroundings_are_even_within_the_frame_and_hold_the_face(box):
    left, top, right, bottom = patch_bounds(box, (320, 180))
    assert all(edge % 2 == 0 for edge in (left, top, right, bottom))
    assert 0 <= left <= max(0, box[0]) <= min(320, box[2]) <= right <= 320
    assert 0 <= top <= max(0, box[1]) <= min(180, box[3]) <= bottom <= 180


def test_the_best_of_every_half_second_is_kept():
    sharp = {0: 0.2, 5: 0.9, 10: 0.5, 15: 0.1, 20: 0.3, 35: 0.4}  # 25 Hz: halves end before 12, 24, 36
    with FacePatchFile() as file:
        keeper = PatchKeeper(file, rate_hz=24)
        for number, value in sharp.items():
            keeper.add(Frame(planes(number)), number, FACE, value)
        kept = keeper.end()
        assert [one.number for one in kept] == [5, 20, 35]
        for one in kept:
            patch = file.read(one)
            left, top, right, bottom = patch_bounds(FACE.box, (320, 180))
            assert (patch.left, patch.top, patch.size) == (left, top, (320, 180))
            np.testing.assert_array_equal(patch.image, Frame(planes(one.number)).rgb[top:bottom, left:right])


def test_a_full_file_takes_no_more():
    with FacePatchFile(most_bytes=50_000) as file:  # one patch is 120 x 120 x 3 / 2 bytes
        keeper = PatchKeeper(file, rate_hz=25)
        for number in range(0, 100, 5):
            keeper.add(Frame(planes(number)), number, FACE, 0.5)
        assert len(keeper.end()) == 2


def test_a_full_disk_takes_no_more():
    with FacePatchFile(file=open("/dev/full", "wb", buffering=0)) as file:
        keeper = PatchKeeper(file, rate_hz=25)
        keeper.add(Frame(planes(0)), 0, FACE, 0.5)
        assert keeper.end() == []


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    audio = voice(4, seed=0)
    return write_video(tmp_path_factory.mktemp("videos") / "small.mp4", talking(audio, side=480), audio)


def test_crops_are_those_of_a_second_reading(video):
    config, hook = ExtractionConfig(), KeepAnalysis()
    (kept,) = (clip.faces for clip in extract(video, config, hook).clips)
    segments = find_candidates(hook.analysis, config)
    without = [replace(one, track=replace(one.track, patches=())) for one in segments]
    with FacePatchFile() as empty:
        probe, detector = probe_media(video, config.media), open_detector("centerface")
        with Decoder(video, probe, config.media) as decoder:
            assert sum(1 for _ in decoder.frames())
            (again,) = cut_crops(decoder, without, empty, detector, config)
    assert len(kept) == len(again) == 3
    for one, other in zip(kept, again, strict=True):
        assert one.size_px == pytest.approx(other.size_px, rel=0.05)
        assert one.quality == pytest.approx(other.quality, abs=0.03)
        a, b = (small(face.image) for face in (one, other))  # the portrait hardly moves
        assert np.abs(a - b).mean() < 5


def small(jpeg):
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA).astype(int)


@pytest.mark.parametrize(("max_side_px", "outcome"), [(480, "kept"), (478, "not_seekable")])
def test_a_video_that_is_not_shrunk_is_read_once(video, tmp_path, max_side_px, outcome):
    copy = Path(shutil.copy(video, tmp_path))

    def hook(name, artifact=None, total=None, completed=None):
        if name == "speech":  # all frames are decoded
            copy.unlink(missing_ok=True)

    (candidate,) = extract(copy, ExtractionConfig(media=MediaConfig(max_side_px=max_side_px)), hook).candidates
    assert candidate.outcome == outcome
