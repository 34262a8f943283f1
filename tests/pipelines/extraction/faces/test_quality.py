"""Quality: each measure falls when its own fault is put in."""

import cv2
import numpy as np
import pytest

from pipelines.extraction.faces.quality import exposure, face_quality, frontality, sharpness
from tests.support.talking_portrait import portrait

CROP = portrait(0.0, 310)[30:180, 80:230]
GREY = cv2.cvtColor(CROP, cv2.COLOR_RGB2GRAY)
FRONTAL = np.array([[30.0, 40], [70, 40], [50, 62], [34, 80], [66, 80]])


def test_blur_lowers_sharpness_and_enlarging_does_not():
    values = [sharpness(cv2.GaussianBlur(GREY, (0, 0), sigma)) for sigma in (0.01, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.6 * values[0]
    assert sharpness(cv2.resize(GREY, (600, 600))) == pytest.approx(sharpness(GREY), rel=0.25)


@pytest.mark.parametrize("fault", [lambda g: g // 5, lambda g: 255 - (255 - g) // 5, lambda g: g // 8 + 110])
def test_dark_glaring_and_flat_lower_exposure(fault):
    assert exposure(fault(GREY)) < 0.6 * exposure(GREY)


def test_turning_the_head_lowers_frontality_and_rolling_it_does_not():
    turned = [FRONTAL + np.array([[0, 0], [-shift, 0], [shift, 0], [0, 0], [-shift, 0]]) for shift in (0, 6, 12, 18)]
    values = [frontality(points) for points in turned]
    assert values[0] > 0.9
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.2
    roll = np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    assert frontality(FRONTAL @ roll.T) == pytest.approx(values[0], abs=1e-9)  # a rotation in float64


def test_overall_is_spoilt_by_one_fault():
    good = face_quality(CROP, FRONTAL, 150)
    small = face_quality(CROP, FRONTAL, 10)
    assert 0 < small.overall < 0.75 * good.overall < 1
