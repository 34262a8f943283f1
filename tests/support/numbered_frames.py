"""Frames that carry their number and coordinates, and a detector that finds given faces in them and in parts."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from pipelines.extraction.faces.detectors import DetectedFace
from pipelines.extraction.faces.shots import ShotFrame
from tests.support.rgb_frame import RgbFrame

WIDTH, HEIGHT = 320, 240


def face(x: float, y: float = 100.0, width: float = 60.0) -> DetectedFace:
    """Returns a square face around (x, y), pixels."""
    landmarks = np.array([[x - 12, y - 15], [x + 12, y - 15], [x, y], [x - 10, y + 14], [x + 10, y + 14]])
    return DetectedFace((x - width / 2, y - width / 2, x + width / 2, y + width / 2), 0.9, landmarks)


def numbered_frames(
    count: int, cuts: Iterable[int] = (), number_of: Callable[[int], int] = int
) -> Iterator[ShotFrame]:
    """Yields up to 85 frames; red is three times the number that `number_of` gives them, green half of x, blue y."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for number in range(count):
        image = np.stack([np.full_like(x, 3 * number_of(number)), x // 2, y], axis=-1).astype(np.uint8)
        first, last = number == 0 or number in cuts, number + 1 in cuts or number == count - 1
        yield ShotFrame(number, RgbFrame(image), first, last)


class Finds:
    """A detector of the faces that `faces_at` names for a frame's number.

    Attributes:
        whole, parts: the numbers of the frames that were searched whole, and of those of which a part was.
    """

    def __init__(self, faces_at: Callable[[int], list[DetectedFace]], in_parts: bool = True):
        self.faces_at, self.in_parts = faces_at, in_parts
        self.whole: list[int] = []
        self.parts: list[int] = []

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[DetectedFace]]:
        return [self._find(image) for image in images]

    def _find(self, image: np.ndarray) -> list[DetectedFace]:
        red, half_left, top = map(int, image[0, 0])
        number = red // 3
        whole = image.shape[:2] == (HEIGHT, WIDTH)
        (self.whole if whole else self.parts).append(number)
        if not whole and not self.in_parts:
            return []
        placed = [found.placed(1, -2 * half_left, -top) for found in self.faces_at(number)]
        height, width = image.shape[:2]
        return [one for one in placed if 0 <= one.landmarks[2, 0] < width and 0 <= one.landmarks[2, 1] < height]
