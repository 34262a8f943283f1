"""Search the frames of a shot for faces: whole frames now and then, and in between only where the faces were.

The first and the last frame of a shot and one every `whole_s` are searched whole. Where two such frames show the same
faces, the frames between them, one every `every_s`, are searched around these faces only. Where a face came, went or
was lost, the frame in the middle is searched whole too, and so on. A frame that repeats the one searched before it is
not searched again.

The parts of a frame have the scale that the detector gives to whole frames, and their edges lie on its grid, so that
it finds the same box and landmarks: of 62 faces, half had landmarks within .004 of the face's width.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pipelines.extraction.config import TrackConfig
from pipelines.extraction.faces.detectors import DetectedFace, FaceDetector, faces_of, iou, shrink
from pipelines.extraction.faces.shots import ShotFrame
from pipelines.extraction.video.frame import Frame

# Pixels of the image that the detector sees: the space around a face, and the grid on which a part begins and ends.
AROUND_PX, GRID_PX = 32, 32
MOST_AREA = 0.7  # of a frame; where the parts are larger together, it is searched whole
SAME_FACE = 0.3  # least intersection over union of a face and of where it was expected
REPEATED = 2  # most difference of any pixel, of 255


@dataclass(frozen=True)
class SearchedFrame:
    """A frame and its faces; None where it was not searched."""

    item: ShotFrame
    faces: list[DetectedFace] | None
    searched: bool = False  # by the detector; else it repeats the frame that was searched before it


def search_frames(
    frames: Iterable[ShotFrame], detector: FaceDetector, rate_hz: float, config: TrackConfig
) -> Iterator[SearchedFrame]:
    """Yields every frame in order, with the faces of those that were searched.

    Up to `config.whole_s` of frames are held back.

    Args:
        frames: all frames in order.
        detector: finds the faces.
        rate_hz: frames per second.
        config: how often faces are searched.
    """
    every = max(1, round(config.every_s * rate_hz))
    span = every * max(1, round(config.whole_s * rate_hz / every))
    held: list[ShotFrame] = []
    search = _Search(detector, every, config.min_face_px)
    for item in frames:
        if item.first:
            yield search.first(item)
            held = [item]
            continue
        held.append(item)
        if len(held) > span or item.last:
            yield from search.block(held)
            held = [item]


class _Search:
    """Searches frames, and remembers the last one."""

    def __init__(self, detector: FaceDetector, every: int, min_face_px: float):
        self._detector, self._every, self._min_px = detector, every, min_face_px
        self._before: SearchedFrame | None = None

    def first(self, item: ShotFrame) -> SearchedFrame:
        """Returns the first frame of a shot."""
        self._before = self._whole(item)
        return self._before

    def block(self, held: Sequence[ShotFrame]) -> list[SearchedFrame]:
        """Returns the frames of a block but its first, which was searched before."""
        assert self._before is not None
        found = {0: self._before}
        self._find(held, found, 0, len(held) - 1)
        self._before = found[len(held) - 1]
        return [found.get(i) or SearchedFrame(item, None) for i, item in enumerate(held)][1:]

    def _find(self, held: Sequence[ShotFrame], found: dict[int, SearchedFrame], low: int, high: int) -> None:
        """Searches frame `high`, and those between it and frame `low`, which was searched."""
        if high not in found:
            found[high] = self._whole(held[high], found[low])
        between = range(low + self._every, high, self._every)
        if not between:
            return
        pairs = _same_faces(*(self._large(found[i].faces or []) for i in (low, high)))
        if pairs is not None:
            for i in between if pairs else ():
                share = (i - low) / (high - low)
                expected = [_between(one, other, share) for one, other in pairs]
                found[i] = self._around(held[i], expected) or self._whole(held[i])
            return
        middle = between[len(between) // 2]
        self._find(held, found, low, middle)
        self._find(held, found, middle, high)

    def _whole(self, item: ShotFrame, before: SearchedFrame | None = None) -> SearchedFrame:
        if before and _repeats(before.item.frame, item.frame):
            return SearchedFrame(item, before.faces)
        return SearchedFrame(item, faces_of(self._detector, item.frame.rgb), True)

    def _around(self, item: ShotFrame, expected: Sequence[DetectedFace]) -> SearchedFrame | None:
        """Searches a frame around the faces that are expected; returns None where one of them is not found."""
        image, scale = shrink(item.frame.rgb, getattr(self._detector, "max_side_px", None))
        parts = [_part(face, scale, image.shape) for face in expected]
        if sum((right - left) * (low - top) for left, top, right, low in parts) > MOST_AREA * image[..., 0].size:
            return None
        images = [np.ascontiguousarray(image[top:low, left:right]) for left, top, right, low in parts]
        faces = []
        for face, (left, top, *_), candidates in zip(expected, parts, self._detector(images), strict=True):
            placed = [candidate.placed(1 / scale, left / scale, top / scale) for candidate in candidates]
            best = max(placed, key=lambda one: iou(one.box, face.box), default=None)
            if best is None or iou(best.box, face.box) < SAME_FACE:
                return None
            faces.append(best)
        return SearchedFrame(item, faces, True)

    def _large(self, faces: Sequence[DetectedFace]) -> list[DetectedFace]:
        return list(filter(self._is_large, faces))

    def _is_large(self, face: DetectedFace) -> bool:
        return min(face.width_px, face.height_px) >= self._min_px


def _same_faces(
    ones: Sequence[DetectedFace], others: Sequence[DetectedFace]
) -> list[tuple[DetectedFace, DetectedFace]] | None:
    """Returns the faces of two frames in pairs; None where not all of them are in both."""
    if len(ones) != len(others):
        return None
    pairs, free = [], list(others)
    for face in ones:
        best = free.pop(max(range(len(free)), key=lambda i: iou(face.box, free[i].box)))
        if iou(face.box, best.box) < SAME_FACE:
            return None
        pairs.append((face, best))
    return pairs


def _between(one: DetectedFace, other: DetectedFace, share: float) -> DetectedFace:
    x0, y0, x1, y1 = ((1 - share) * np.array(one.box) + share * np.array(other.box)).tolist()
    return DetectedFace((x0, y0, x1, y1), one.score, (1 - share) * one.landmarks + share * other.landmarks)


def _part(face: DetectedFace, scale: float, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Returns left, top, right and bottom of the part of the detector's image around a face."""
    x0, y0, x1, y1 = np.array(face.box) * scale
    left, top = (max(0, int(edge - AROUND_PX) // GRID_PX * GRID_PX) for edge in (x0, y0))
    right, low = (
        min(full, -(-int(edge + AROUND_PX) // GRID_PX) * GRID_PX)
        for edge, full in zip((x1, y1), (shape[1], shape[0]), strict=True)
    )
    return left, top, max(right, left + 1), max(low, top + 1)


def _repeats(before: Frame, frame: Frame) -> bool:
    return before.planes.shape == frame.planes.shape and (
        cv2.norm(before.planes, frame.planes, cv2.NORM_INF) <= REPEATED
    )
