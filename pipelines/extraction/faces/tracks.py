"""Follow faces through a shot.

Faces are detected every few frames and at both ends of a shot. A face continues the track whose last box it overlaps
most. Between two detections boxes and landmarks are interpolated, also across missed detections. Only the frames of
the longest gap are held in memory; of the others each track keeps its boxes, its landmarks and how its lips moved.

A jump cut, from a face to another in the same place before the same background, passes for one shot. It shows in the
face: the part without the lips changes from one frame to the next. There a track is cut in two.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from pipelines.extraction.active_speaker.lip_motion import SIGNALS, LipMotion, upright_patch
from pipelines.extraction.config import TrackConfig
from pipelines.extraction.faces.detectors import DetectedFace, FaceDetector, iou
from pipelines.extraction.faces.face_search import search_frames
from pipelines.extraction.faces.patches import FacePatchFile, PatchKeeper, StoredPatch
from pipelines.extraction.faces.quality import sharpness
from pipelines.extraction.faces.shots import ShotFrame
from pipelines.extraction.video.frame import jpeg

# A jump cut changes the upper face by this many grey levels, and this many times more than the frames around it
# (their 90th percentile). Of 18 unmarked cuts 8 did; within shots, of 500 tracks, one frame.
JUMP_CHANGE, JUMP_RATIO, JUMP_AROUND = 8.0, 4.0, 12
THUMBNAIL_QUALITY = 80


@dataclass(frozen=True)
class Track:
    """One face through part of one shot, a row per frame. Row i is frame `first + i`."""

    shot: int
    first: int  # number of the first frame
    size: tuple[int, int]  # width and height of the analysis frames, pixels
    boxes: np.ndarray  # (frames, 4) float32, pixels of the analysis frames
    landmarks: np.ndarray  # (frames, 5, 2) float32, pixels of the analysis frames
    lips: np.ndarray  # (frames, signals) float32, see `lip_motion.SIGNALS`
    sharpness: np.ndarray  # (frames,) float32, see `quality.sharpness`
    thumbnail: bytes  # JPEG of 96 x 96 pixels, the face at its largest detection
    observed: np.ndarray | None = None  # (frames, ...) features of an observer
    patches: tuple[StoredPatch, ...] = ()  # in order of time

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def end(self) -> int:
        """The number of the last frame, plus one."""
        return self.first + len(self)


class TrackObserver(Protocol):
    """Receives the face of one track in every frame, while the frames are decoded."""

    def __call__(self, grey: np.ndarray, box: np.ndarray) -> None:
        """Receives the next frame, (height, width) uint8, and the face's box in it, pixels."""
        ...

    def end(self) -> np.ndarray:
        """Returns the features of the frames, (frames, ...), one row per frame."""
        ...


@dataclass
class FrameCounts:
    """Counts over all frames of a video."""

    frames: int = 0
    shots: list[int] = field(default_factory=list)  # number of each shot's first frame
    detections: int = 0  # frames in which faces were searched
    faces: int = 0  # detected and large enough
    small_faces: int = 0  # detected, but below `min_face_px`


@dataclass(eq=False)
class _OpenTrack:
    shot: int
    first: int
    face: DetectedFace  # at the last detection
    number: int  # of the last detection's frame
    observer: TrackObserver | None
    keeper: PatchKeeper | None
    motion: LipMotion = field(default_factory=LipMotion)
    thumbnail: np.ndarray | None = None
    thumbnail_px: float = 0.0  # width of the face in it
    rows: list[np.ndarray] = field(default_factory=list)  # the columns of a Track, one after the other


def track_faces(
    frames: Iterable[ShotFrame],
    detector: FaceDetector,
    rate_hz: float,
    config: TrackConfig,
    observe: Callable[[], TrackObserver] | None = None,
    patches: FacePatchFile | None = None,
) -> tuple[list[Track], FrameCounts]:
    """Returns the tracks of a video, in the order in which they end, and the counts of its frames.

    Args:
        frames: all frames in order.
        detector: finds the faces of one frame.
        rate_hz: frames per second.
        config: how often faces are detected, and what continues a track.
        observe: makes an observer for each track, whose rows become `Track.observed`.
        patches: the file for the face patches; None keeps none.
    """
    longest = max(1, round(max(config.every_s, config.whole_s) * rate_hz))  # from one search to the next
    max_gap = max(longest, round(config.max_gap_s * rate_hz))
    tracks: list[Track] = []
    counts = FrameCounts()
    open_tracks: list[_OpenTrack] = []
    greys: deque[np.ndarray] = deque(maxlen=max_gap + longest + 1)  # the last frames, the newest last
    for one in search_frames(frames, detector, rate_hz, config):
        item = one.item
        if item.first:
            counts.shots.append(item.number)
        counts.frames += 1
        greys.append(item.frame.grey)
        if one.faces is not None:
            large = [f for f in one.faces if min(f.width_px, f.height_px) >= config.min_face_px]
            counts.detections += one.searched
            counts.faces += len(large)
            counts.small_faces += len(one.faces) - len(large)
            new = _match(open_tracks, large, item.number, greys, config.min_overlap)
            for face in new:
                observer, keeper = observe() if observe else None, PatchKeeper(patches, rate_hz) if patches else None
                track = _OpenTrack(len(counts.shots), item.number, face, item.number - 1, observer, keeper)
                _extend(track, face, item.number, greys)
                open_tracks.append(track)
            _keep_best_views(open_tracks, item)
        ended = [t for t in open_tracks if item.last or item.number - t.number >= max_gap]
        open_tracks = [t for t in open_tracks if t not in ended]
        tracks += [part for track in ended if len(track.rows) > 1 for part in _close(track, item.frame.shape)]
    return tracks, counts


def _match(
    open_tracks: list[_OpenTrack], faces: list[DetectedFace], number: int, greys: deque[np.ndarray], least: float
) -> list[DetectedFace]:
    """Extends the open tracks, the best overlap first; returns the faces that continue none."""
    pairs = [(iou(t.face.box, f.box), i, j) for i, t in enumerate(open_tracks) for j, f in enumerate(faces)]
    left_tracks, left_faces = set(range(len(open_tracks))), set(range(len(faces)))
    for share, i, j in sorted(pairs, reverse=True):
        if share >= least and i in left_tracks and j in left_faces:
            left_tracks.remove(i)
            left_faces.remove(j)
            _extend(open_tracks[i], faces[j], number, greys)
    return [faces[j] for j in sorted(left_faces)]


def _keep_best_views(open_tracks: list[_OpenTrack], item: ShotFrame) -> None:
    """Keeps the largest thumbnail and the best patch of each track detected in this frame."""
    for track in open_tracks:
        if track.number != item.number:
            continue
        if track.face.width_px > track.thumbnail_px:
            track.thumbnail = upright_patch(item.frame.rgb, track.face.landmarks)
            track.thumbnail_px = track.face.width_px
        if track.keeper:
            track.keeper.add(item.frame, item.number, track.face, float(track.rows[-1][-1]))


def _extend(track: _OpenTrack, face: DetectedFace, number: int, greys: deque[np.ndarray]) -> None:
    """Adds the frames after the last detection of the track, up to this one."""
    step = number - track.number
    for i in range(1, step + 1):
        share = i / step
        box = (1 - share) * np.array(track.face.box) + share * np.array(face.box)
        landmarks = (1 - share) * track.face.landmarks + share * face.landmarks
        grey = greys[len(greys) - 1 - step + i]
        lips = track.motion(grey, landmarks)
        if track.observer:
            track.observer(grey, box)
        assert track.motion.patch is not None  # set by the call above
        row = np.concatenate([box, landmarks.ravel(), lips, [sharpness(track.motion.patch)]])
        track.rows.append(row.astype(np.float32))
    track.face, track.number = face, number


def jump_cuts(lips: np.ndarray) -> list[int]:
    """Returns the rows of a track at which another face begins, or the same face in another take.

    Args:
        lips: (frames, signals), see `lip_motion.SIGNALS`.
    """
    change = np.nan_to_num(lips[:, SIGNALS.index("upper_change")])
    jumps = []
    for row in np.flatnonzero(change >= JUMP_CHANGE).tolist():
        around = [*change[max(1, row - JUMP_AROUND) : row], *change[row + 1 : row + 1 + JUMP_AROUND]]
        if change[row] >= JUMP_RATIO * (np.percentile(around, 90) + 0.5 if around else 0.5):
            jumps.append(row)
    return jumps


def _close(track: _OpenTrack, shape: tuple[int, ...]) -> Iterator[Track]:
    boxes, landmarks, lips, sharp = np.split(np.stack(track.rows), [4, 14, 14 + len(SIGNALS)], axis=1)
    size = shape[1], shape[0]
    observed = track.observer.end() if track.observer else None
    patches = track.keeper.end() if track.keeper else []
    assert track.thumbnail is not None  # of the first detection, at the latest
    thumbnail = jpeg(track.thumbnail, THUMBNAIL_QUALITY)  # as JPEG, because there may be thousands of tracks
    edges = [0, *jump_cuts(lips), len(lips)]
    for a, b in itertools.pairwise(edges):
        if b - a > 1:
            first, end = track.first + a, track.first + b
            yield Track(
                shot=track.shot,
                first=first,
                size=size,
                boxes=boxes[a:b],
                landmarks=landmarks.reshape(-1, 5, 2)[a:b],
                lips=lips[a:b],
                sharpness=sharp[a:b, 0],
                thumbnail=thumbnail,
                observed=None if observed is None else observed[a:b],
                patches=tuple(patch for patch in patches if first <= patch.number < end),
            )
