"""A decoded video frame as ffmpeg gives it: luma and, at half the size, two planes of colour.

Most frames are used in grey only, which is the luma; RGB is computed only for the few that are searched for faces. So
ffmpeg passes half the bytes, and no frame is converted for nothing.
"""

from functools import cached_property
from typing import Any, cast

import cv2
import numpy as np

# BT.601 with Y 16..235, to 0..255 (ITU-R BT.601-7, section 2.5).
BLACK, OF_GREY = 16, 255 / 219
STEPS = np.array([OF_GREY, 255 / 224, 255 / 224])  # of Y, Cb, Cr
TO_RGB = (np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]]) * STEPS).T.astype(np.float32)


class Frame:
    """A decoded frame; width and height are even.

    Args:
        planes: (height * 3 / 2, width) uint8: Y, and below it Cb and Cr side by side, as ffmpeg's `pgmyuv` writes
            them; BT.601, Y 16..235.
    """

    def __init__(self, planes: np.ndarray):
        self.planes = planes
        self.shape = planes.shape[0] * 2 // 3, planes.shape[1], 3  # of `rgb`

    @cached_property
    def grey(self) -> np.ndarray:
        """(height, width) uint8, 0..255."""
        lifted = cv2.subtract(
            self.planes[: self.shape[0]], cast("Any", BLACK)
        )  # both saturate, and are faster than a table
        return cv2.convertScaleAbs(lifted, lifted, OF_GREY)

    @cached_property
    def rgb(self) -> np.ndarray:
        """(height, width, 3) uint8."""
        one_after_the_other = np.concatenate([plane.ravel() for plane in self._parts()])
        return cv2.cvtColor(one_after_the_other.reshape(self.planes.shape), cv2.COLOR_YUV2RGB_I420)

    def thumbnail(self, size: tuple[int, int]) -> np.ndarray:
        """Returns the frame shrunk to `size` (width, height) by area means, (height, width, 3) uint8 RGB."""
        small = np.stack([_shrunk(plane, size) for plane in self._parts()], axis=-1) - np.array(
            [16, 128, 128], np.float32
        )
        return np.clip(small @ TO_RGB, 0, 255).round().astype(np.uint8)

    def part(self, left: int, top: int, right: int, bottom: int) -> "Frame":
        """Returns the part of the frame between these edges, in pixels; all are even."""
        half = slice(top // 2, bottom // 2), slice(left // 2, right // 2)
        luma, *colours = self._parts()
        return Frame(np.vstack([luma[top:bottom, left:right], np.hstack([plane[half] for plane in colours])]))

    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        height, width, _ = self.shape
        colour = self.planes[height:]
        return self.planes[:height], colour[:, : width // 2], colour[:, width // 2 :]


def jpeg(image: np.ndarray, quality: int) -> bytes:
    """Returns an image, (height, width, 3) uint8 RGB, as a JPEG file; quality 1..100."""
    _, file = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return file.tobytes()


def _shrunk(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    while plane.shape[1] >= 8 * size[0] and plane.shape[0] >= 8 * size[1]:
        half = plane.shape[1] // 2, plane.shape[0] // 2
        plane = cv2.resize(plane, half, interpolation=cv2.INTER_AREA)  # by two it is much faster than by more
    return cv2.resize(plane, size, interpolation=cv2.INTER_AREA).astype(np.float32)
