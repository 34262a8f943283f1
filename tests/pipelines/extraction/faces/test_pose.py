"""Pose and motion of a head, against a rigid model that is turned and moved."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipelines.extraction.faces.pose import NOSE_DEPTH, NOSE_HEIGHT, head_motion, head_pose

# x to the right of the image, y down, z away from the camera; eyes to mouth is 1
EYES_AND_MOUTH = [[-0.46, 0, 0], [0.46, 0, 0], [0, NOSE_HEIGHT, -NOSE_DEPTH], [-0.38, 1, 0], [0.38, 1, 0]]


def seen(yaw_deg: float, pitch_deg: float, roll_deg: float, px: float = 100.0) -> np.ndarray:
    turn = Rotation.from_euler("ZXY", [roll_deg, -pitch_deg, -yaw_deg], degrees=True)
    return (turn.apply(EYES_AND_MOUTH) * px)[None, :, :2] + 200


@pytest.mark.parametrize("yaw", [-40, -15, 0, 25])
@pytest.mark.parametrize("roll", [-30, 0, 20])
def test_yaw_and_roll_are_those_of_a_model(yaw, roll):
    pose = head_pose(seen(yaw, 0, roll))
    assert pose.yaw_deg == pytest.approx(yaw, abs=3)
    assert pose.roll_deg == pytest.approx(roll, abs=1)
    assert pose.pitch_deg == pytest.approx(0, abs=3)


def test_pitch_grows_as_the_head_looks_up():
    down, level, up = (head_pose(seen(0, pitch, 0)).pitch_deg for pitch in (-20, 0, 20))
    assert level == pytest.approx(0, abs=0.1)
    assert down < -10 < 10 < up


def test_the_pose_of_a_clip_is_its_median_and_independent_of_its_size():
    frames = np.concatenate([seen(10, 0, 0, px) for px in (20, 100, 400)] + [seen(80, 0, 50)])
    assert head_pose(frames).yaw_deg == pytest.approx(head_pose(seen(10, 0, 0)).yaw_deg, abs=0.1)


def test_motion_is_in_face_widths_a_second_at_any_size_and_rate():
    for size, rate_hz in ((50, 25.0), (300, 50.0)):
        way = np.arange(10)[:, None, None] * size / rate_hz / 2  # half a width a second in x
        landmarks = seen(0, 0, 0, size) + way * [1.0, 0.0]
        assert head_motion(landmarks, np.full(10, size), rate_hz) == pytest.approx(0.5)
    assert head_motion(seen(0, 0, 0), np.array([50.0]), 25.0) == 0.0
