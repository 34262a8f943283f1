"""Face crops of clips: the best instants of each clip, spread over time, cut from full-resolution frames."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pipelines.extraction.candidates import TrackSegment
from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.faces.detectors import DetectedFace, FaceDetector, faces_of, iou, shrink
from pipelines.extraction.faces.patches import FacePatch, FacePatchFile, StoredPatch, patch_bounds, patch_score
from pipelines.extraction.faces.quality import face_quality
from pipelines.extraction.types import FaceCrop, box_of
from pipelines.extraction.video.decode import Decoder
from pipelines.extraction.video.frame import jpeg
from pipelines.extraction.video.full_frames import full_resolution_frames
from vclip.encoders.face_crop import crop_face

SAME_FACE_OVERLAP = 0.3
SEARCHED_PX = 256  # side of a patch that is searched for its face, half as wide; larger ones give no better crops


def best_instants(segment: TrackSegment, count: int) -> list[int]:
    """Returns the numbers, rising, of the best frame in each of `count` equal parts of a segment."""
    return _best_of_parts(segment, range(segment.first, segment.end), count)


def best_patches(segment: TrackSegment, count: int) -> list[StoredPatch]:
    """Returns the best patch in each of `count` equal parts of the patches of a segment; none of fewer patches."""
    inside = {one.number: one for one in segment.track.patches if segment.first <= one.number < segment.end}
    return [inside[number] for number in _best_of_parts(segment, list(inside), count)] if len(inside) >= count else []


def cut_crops(
    decoder: Decoder,
    segments: Sequence[TrackSegment],
    patches: FacePatchFile,
    detector: FaceDetector,
    config: ExtractionConfig,
    at: Callable[[float], None] = lambda done: None,
) -> list[tuple[FaceCrop, ...]]:
    """Returns the crops of each clip in order of time; empty for a clip whose frames cannot be read again.

    Args:
        decoder: of the video, after all of its frames.
        segments: of the clips.
        patches: the file with the face patches; the video is read again for clips with too few.
        detector: finds the landmarks at full resolution; if it does not find the face, those of the track are used.
        config: number of crops, JPEG quality, and how the video is decoded.
        at: receives the number of clips that have crops.
    """
    crops: list[list[FaceCrop]] = [[] for _ in segments]
    ready = 0
    for i, number, patch in _patches(decoder, segments, patches, config):
        face = _redetected(patch, segments[i], number, detector)
        ready += not crops[i]
        crops[i].append(cut_crop(patch, face, number / config.media.rate_hz, config.clips.jpeg_quality))
        at(ready)
    return [tuple(sorted(found, key=lambda crop: crop.time_s)) for found in crops]


def _patches(
    decoder: Decoder,
    segments: Sequence[TrackSegment],
    file: FacePatchFile,
    config: ExtractionConfig,
) -> Iterator[tuple[int, int, FacePatch]]:
    """Yields (index of the clip, frame number, patch)."""
    wanted: dict[int, list[int]] = {}  # number of a frame to read again -> the clips that need it
    for i, segment in enumerate(segments):
        kept = best_patches(segment, config.clips.crops)
        yield from ((i, one.number, file.read(one)) for one in kept)
        for number in [] if kept else best_instants(segment, config.clips.crops):
            wanted.setdefault(number, []).append(i)
    again = full_resolution_frames(decoder.path, decoder.probe, config.media, sorted(wanted), decoder.index)
    for number, frame in again:
        size = frame.shape[1], frame.shape[0]
        for i in wanted[number]:
            box, _ = _tracked_face(segments[i], number, size)
            left, top, right, bottom = patch_bounds(box.tolist(), size)
            yield i, number, FacePatch(np.ascontiguousarray(frame[top:bottom, left:right]), left, top, size)


def _best_of_parts(segment: TrackSegment, numbers: Sequence[int], count: int) -> list[int]:
    track = segment.track
    rows = np.array(numbers) - track.first
    value = {
        row: patch_score(track.landmarks[row], float(track.sharpness[row]), track.boxes[row]) for row in rows.tolist()
    }
    parts = np.array_split(rows, min(count, len(rows)))
    return [track.first + max(part.tolist(), key=value.__getitem__) for part in parts]


def _tracked_face(segment: TrackSegment, number: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the box (4,) and the landmarks (5, 2) of the track, in pixels of a frame of `size`."""
    track, row = segment.track, number - segment.track.first
    scale = np.array(size) / np.array(track.size)
    return track.boxes[row] * np.tile(scale, 2), track.landmarks[row] * scale


def _redetected(patch: FacePatch, segment: TrackSegment, number: int, detector: FaceDetector) -> DetectedFace:
    """Returns the face in the patch, in pixels of the whole frame."""
    box, landmarks = _tracked_face(segment, number, patch.size)
    x0, y0, x1, y1 = box.tolist()
    expected = DetectedFace((x0, y0, x1, y1), 0.0, landmarks)
    image, scale = shrink(patch.image, SEARCHED_PX)
    found = [face.placed(1 / scale, patch.left, patch.top) for face in faces_of(detector, image)]
    best = max(found, key=lambda face: iou(face.box, expected.box), default=expected)
    return best if iou(best.box, expected.box) >= SAME_FACE_OVERLAP else expected


def cut_crop(patch: FacePatch, face: DetectedFace, time_s: float, jpeg_quality: int) -> FaceCrop:
    """Returns the crop of a face.

    Args:
        patch: a part of a frame, or the whole.
        face: with box and landmarks in pixels of the whole frame.
        time_s: of the frame.
        jpeg_quality: 1..100.
    """
    image = crop_face(patch.image, face.landmarks - np.array([patch.left, patch.top]))
    size_px = min(face.width_px, face.height_px)
    quality = face_quality(image, face.landmarks, size_px)
    return FaceCrop(
        time_s=time_s,
        box=box_of(np.array(face.box) / np.tile(patch.size, 2)),
        size_px=size_px,
        sharpness=quality.sharpness,
        frontality=quality.frontality,
        exposure=quality.exposure,
        quality=quality.overall,
        image=jpeg(image, jpeg_quality),
    )
