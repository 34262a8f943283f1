"""Shots: a cut is found where it is, and nothing else is."""

import weakref

import cv2
import numpy as np
import pytest
from skimage import data

from pipelines.extraction.config import ShotConfig
from pipelines.extraction.faces.shots import split_shots
from tests.support.rgb_frame import RgbFrame


def pan(image, count, step=3):
    """A camera that moves over a frame."""
    return [image[40:220, i * step : i * step + 240].copy() for i in range(count)]


def firsts(frames, **config):
    return [item.number for item in split_shots(map(RgbFrame, frames), 25, ShotConfig(**config)) if item.first]


PORTRAIT, CAT = data.astronaut(), cv2.resize(data.chelsea(), (512, 512))


@pytest.mark.parametrize("at", [1, 12, 30, 58])
def test_a_cut_is_found_at_its_frame(at):
    frames = pan(PORTRAIT, 60)[:at] + pan(CAT, 60)[at:]
    assert firsts(frames) == [0, at]


def test_two_cuts_close_together_are_both_found():
    assert firsts(pan(PORTRAIT, 60)[:20] + pan(CAT, 60)[20:34] + pan(255 - PORTRAIT, 60)[34:]) == [0, 20, 34]


def test_a_fast_pan_is_no_cut():
    assert firsts(pan(PORTRAIT, 30, step=9)) == [0]


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_is_no_cut(length):
    frames = pan(PORTRAIT, 60)
    for number in range(25, 25 + length):
        frames[number] = np.clip(frames[number].astype(int) + 120, 0, 255).astype(np.uint8)
    assert firsts(frames) == [0]


def test_repeated_frames_do_not_turn_motion_into_cuts():
    assert firsts([p for p in pan(PORTRAIT, 20, step=9) for _ in range(3)]) == [0]


def test_a_change_of_size_is_a_cut():
    frames = pan(PORTRAIT, 40)
    assert firsts(frames[:20] + [cv2.resize(p, (200, 150)) for p in frames[20:]]) == [0, 20]


def test_every_frame_comes_once_in_order_and_shots_end_where_the_next_begins():
    items = list(split_shots(map(RgbFrame, pan(PORTRAIT, 60)[:20] + pan(CAT, 60)[20:]), 25, ShotConfig()))
    assert [item.number for item in items] == list(range(60))
    assert [item.number for item in items if item.last] == [19, 59]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_short_streams(count):
    assert len(list(split_shots(map(RgbFrame, pan(PORTRAIT, 60)[:count]), 25, ShotConfig()))) == count


def test_only_a_window_of_frames_is_held():
    alive, most = weakref.WeakSet(), 0

    def stream():
        for i in range(400):
            frame = RgbFrame(np.full((18, 32, 3), i % 200, np.uint8))
            alive.add(frame)
            yield frame

    for _ in split_shots(stream(), 25, ShotConfig()):
        most = max(most, len(alive))
    assert 0 < most <= 24
