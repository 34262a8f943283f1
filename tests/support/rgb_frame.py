"""Frames made of RGB arrays, in place of decoded frames where a test draws its own."""

import cv2
import numpy as np


class RgbFrame:
    """Looks like `Frame`, but loses nothing of its array."""

    def __init__(self, rgb: np.ndarray):
        self.rgb, self.shape = rgb, rgb.shape
        self.grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        self.planes = rgb

    def part(self, left: int, top: int, right: int, bottom: int) -> "RgbFrame":
        return RgbFrame(np.ascontiguousarray(self.rgb[top:bottom, left:right]))

    def thumbnail(self, size: tuple[int, int]) -> np.ndarray:
        return cv2.resize(self.rgb, size, interpolation=cv2.INTER_AREA)
