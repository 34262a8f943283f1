"""The face pictures of clips: the best instants of each, spread over time, cut from full-resolution pictures."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.faces.detectors import Face, FaceDetector
from pipelines.extraction.faces.quality import face_quality, frontality
from pipelines.extraction.faces.tracks import overlap
from pipelines.extraction.media.decode import full_pictures
from pipelines.extraction.media.probe import Probe
from pipelines.extraction.rows import FaceCrop
from pipelines.extraction.stretches import Stretch
from vclip.encoders.face_crop import crop_face

# The face is looked for again at full resolution in its box widened by this share to each side.
MARGIN = 0.5
SAME_FACE_OVERLAP = 0.3


def best_instants(stretch: Stretch, count: int) -> list[int]:
    """Returns the numbers, rising, of the best picture of each of `count` equal parts of a stretch."""
    rows = range(stretch.rows.start, stretch.rows.stop)
    track = stretch.track
    size = np.sqrt(np.prod(track.boxes[:, 2:] - track.boxes[:, :2], axis=1))
    parts = np.array_split(np.array(rows), min(count, len(rows)))
    value = {i: frontality(track.landmarks[i]) * track.sharpness[i] * size[i] for i in rows}
    return [track.first + int(max(part, key=value.__getitem__)) for part in parts]


def cut_crops(
    path: str | Path,
    probe: Probe,
    stretches: Sequence[Stretch],
    detector: FaceDetector,
    config: ExtractionConfig,
    at: Callable[[float], None] = lambda done: None,
) -> list[tuple[FaceCrop, ...]]:
    """Returns the crops of each clip in order of time; none where its pictures cannot be read again.

    Args:
        path, probe: the video.
        stretches: the clips.
        detector: finds the landmarks again at full resolution; the track's own serve where it finds no such face.
        config: see there.
        at: is told how many clips are done.
    """
    crops: list[list[FaceCrop]] = [[] for _ in stretches]
    wanted: dict[int, list[int]] = {}  # number of a picture -> the clips that it shows
    for i, stretch in enumerate(stretches):
        for number in best_instants(stretch, config.clips.crops):
            wanted.setdefault(number, []).append(i)
    for done, (number, picture) in enumerate(full_pictures(path, probe, config.media, sorted(wanted)), start=1):
        for i in wanted[number]:
            face = _at_full_size(picture, stretches[i], number, detector)
            crops[i].append(cut_crop(picture, face, number / config.media.rate_hz, config.clips.jpeg_quality))
        at(len(stretches) * done / len(wanted))
    return [tuple(found) for found in crops]


def _at_full_size(picture: np.ndarray, stretch: Stretch, number: int, detector: FaceDetector) -> Face:
    track, row = stretch.track, number - stretch.track.first
    scale = np.array([picture.shape[1] / track.size[0], picture.shape[0] / track.size[1]])
    x0, y0, x1, y1 = (track.boxes[row].reshape(2, 2) * scale).ravel().tolist()
    expected = Face((x0, y0, x1, y1), 0.0, track.landmarks[row] * scale)
    aside, above = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    left, top = max(0, int(x0 - aside)), max(0, int(y0 - above))
    around = picture[top : int(y1 + above) + 1, left : int(x1 + aside) + 1]
    found = [_moved(face, left, top) for face in detector(np.ascontiguousarray(around))]
    best = max(found, key=lambda face: overlap(face.box, expected.box), default=expected)
    return best if overlap(best.box, expected.box) >= SAME_FACE_OVERLAP else expected


def _moved(face: Face, left: int, top: int) -> Face:
    x0, y0, x1, y1 = face.box
    return Face((x0 + left, y0 + top, x1 + left, y1 + top), face.score, face.landmarks + np.array([left, top]))


def cut_crop(picture: np.ndarray, face: Face, time_s: float, jpeg_quality: int) -> FaceCrop:
    image = crop_face(picture, face.landmarks)
    size_px = min(face.width_px, face.height_px)
    quality = face_quality(image, face.landmarks, size_px)
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    height, width = picture.shape[:2]
    box = tuple(float(np.clip(v, 0, 1)) for v in np.array(face.box) / (width, height, width, height))
    return FaceCrop(
        time_s=time_s,
        box=box,
        size_px=size_px,
        sharpness=quality.sharpness,
        frontality=quality.frontality,
        exposure=quality.exposure,
        quality=quality.overall,
        image=jpeg.tobytes(),
    )
