"""The face pictures of clips: the best instants of each, spread over time, cut from full-resolution pictures."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipelines.extraction.candidates import Stretch
from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.faces.detectors import Face, FaceDetector
from pipelines.extraction.faces.patches import Glimpse, GlimpseFile, Kept, surroundings, worth
from pipelines.extraction.faces.quality import face_quality
from pipelines.extraction.faces.tracks import overlap
from pipelines.extraction.types import FaceCrop
from pipelines.extraction.video.decode import full_pictures
from pipelines.extraction.video.picture import jpeg
from pipelines.extraction.video.probe import Probe
from vclip.encoders.face_crop import crop_face

SAME_FACE_OVERLAP = 0.3


def best_instants(stretch: Stretch, count: int) -> list[int]:
    """Returns the numbers, rising, of the best picture of each of `count` equal parts of a stretch."""
    return _best_of_parts(stretch, range(stretch.first, stretch.end), count)


def best_kept(stretch: Stretch, count: int) -> list[Kept]:
    """Returns the best of each of `count` equal parts of what was kept of a stretch; nothing where that is less."""
    inside = {one.number: one for one in stretch.track.kept if stretch.first <= one.number < stretch.end}
    return [inside[number] for number in _best_of_parts(stretch, list(inside), count)] if len(inside) >= count else []


def cut_crops(
    path: str | Path,
    probe: Probe,
    stretches: Sequence[Stretch],
    glimpses: GlimpseFile,
    detector: FaceDetector,
    config: ExtractionConfig,
    at: Callable[[float], None] = lambda done: None,
) -> list[tuple[FaceCrop, ...]]:
    """Returns the crops of each clip in order of time; none where its pictures cannot be read again.

    Args:
        path, probe: the video.
        stretches: the clips.
        glimpses: what was kept of their tracks; of a clip with too little there, the video is read again.
        detector: finds the landmarks again at full resolution; the track's own serve where it finds no such face.
        config: see there.
        at: is told how many clips are done.
    """
    crops: list[list[FaceCrop]] = [[] for _ in stretches]
    for i, number, glimpse in _glimpses(path, probe, stretches, glimpses, config):
        face = _found_again(glimpse, stretches[i], number, detector)
        crops[i].append(cut_crop(glimpse, face, number / config.media.rate_hz, config.clips.jpeg_quality))
        at(sum(map(bool, crops)))
    return [tuple(found) for found in crops]


def _glimpses(
    path: str | Path, probe: Probe, stretches: Sequence[Stretch], file: GlimpseFile, config: ExtractionConfig
) -> Iterator[tuple[int, int, Glimpse]]:
    """Yields (clip, number of the picture, glimpse); of a clip in order of time."""
    wanted: dict[int, list[int]] = {}  # number of a picture that is to be read again -> the clips that it shows
    for i, stretch in enumerate(stretches):
        kept = best_kept(stretch, config.clips.crops)
        yield from ((i, one.number, file.read(one)) for one in kept)
        for number in [] if kept else best_instants(stretch, config.clips.crops):
            wanted.setdefault(number, []).append(i)
    for number, picture in full_pictures(path, probe, config.media, sorted(wanted)):
        size = picture.shape[1], picture.shape[0]
        for i in wanted[number]:
            box, _ = _expected(stretches[i], number, size)
            left, top, right, bottom = surroundings(tuple(box.tolist()), size)
            yield i, number, Glimpse(np.ascontiguousarray(picture[top:bottom, left:right]), left, top, size)


def _best_of_parts(stretch: Stretch, numbers: Sequence[int], count: int) -> list[int]:
    track = stretch.track
    rows = np.array(numbers) - track.first
    value = {row: worth(track.landmarks[row], track.sharpness[row], track.boxes[row]) for row in rows.tolist()}
    parts = np.array_split(rows, min(count, len(rows)))
    return [track.first + max(part.tolist(), key=value.__getitem__) for part in parts]


def _expected(stretch: Stretch, number: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The track's box (4,) and landmarks (5, 2) in a picture of `size`, pixels."""
    track, row = stretch.track, number - stretch.track.first
    scale = np.array(size) / np.array(track.size)
    return track.boxes[row] * np.tile(scale, 2), track.landmarks[row] * scale


def _found_again(glimpse: Glimpse, stretch: Stretch, number: int, detector: FaceDetector) -> Face:
    """The face in the pixels of the whole picture."""
    box, landmarks = _expected(stretch, number, glimpse.size)
    expected = Face(tuple(box.tolist()), 0.0, landmarks)
    found = [_moved(face, glimpse.left, glimpse.top) for face in detector(glimpse.image)]
    best = max(found, key=lambda face: overlap(face.box, expected.box), default=expected)
    return best if overlap(best.box, expected.box) >= SAME_FACE_OVERLAP else expected


def _moved(face: Face, left: int, top: int) -> Face:
    x0, y0, x1, y1 = face.box
    return Face((x0 + left, y0 + top, x1 + left, y1 + top), face.score, face.landmarks + np.array([left, top]))


def cut_crop(glimpse: Glimpse, face: Face, time_s: float, jpeg_quality: int) -> FaceCrop:
    """Returns the crop of a face whose box and landmarks are in the pixels of the glimpse's whole picture."""
    image = crop_face(glimpse.image, face.landmarks - np.array([glimpse.left, glimpse.top]))
    size_px = min(face.width_px, face.height_px)
    quality = face_quality(image, face.landmarks, size_px)
    box = tuple(float(np.clip(v, 0, 1)) for v in np.array(face.box) / np.tile(glimpse.size, 2))
    return FaceCrop(
        time_s=time_s,
        box=box,
        size_px=size_px,
        sharpness=quality.sharpness,
        frontality=quality.frontality,
        exposure=quality.exposure,
        quality=quality.overall,
        image=jpeg(image, jpeg_quality),
    )
