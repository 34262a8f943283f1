"""Follow faces through a shot.

Faces are detected every few pictures and at both ends of a shot; a face goes on with the track whose last box it
overlaps most. Between two detections boxes and landmarks are interpolated, also across missed detections. Only the
pictures of the longest gap are held; of the others each track keeps its boxes, its landmarks and how its lips moved.

A jump cut, from a face to one in the same place before the same background, passes for one shot. It shows in the
face: the part that has no lips becomes another from one picture to the next. There a track is cut in two.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from pipelines.extraction.active_speaker.lip_motion import SIGNALS, LipMotion, upright_patch
from pipelines.extraction.config import TrackConfig
from pipelines.extraction.faces.detectors import Face, FaceDetector
from pipelines.extraction.faces.patches import GlimpseFile, Keeper, Kept
from pipelines.extraction.faces.quality import sharpness
from pipelines.extraction.faces.shots import ShotPicture
from pipelines.extraction.video.picture import jpeg

# A jump cut changes the upper face by this many grey levels, and this many times more than the pictures around it
# (their 90th percentile). Of 18 unmarked cuts 8 did; within shots, of 500 tracks, one picture.
JUMP_CHANGE, JUMP_RATIO, JUMP_AROUND = 8.0, 4.0, 12
THUMBNAIL_QUALITY = 80


@dataclass(frozen=True)
class Track:
    """One face through part of one shot, a row per picture. Row i is picture `first + i`."""

    shot: int
    first: int  # number of the first picture
    size: tuple[int, int]  # width and height of the analysis pictures, pixels
    boxes: np.ndarray  # (pictures, 4) float32, pixels of the analysis pictures
    landmarks: np.ndarray  # (pictures, 5, 2) float32, pixels of the analysis pictures
    lips: np.ndarray  # (pictures, signals) float32, see `lips.SIGNALS`
    sharpness: np.ndarray  # (pictures,) float32, see `quality.sharpness`
    thumbnail: bytes  # JPEG of 96 x 96 pixels, the face at its largest detection
    seen: np.ndarray | None = None  # (pictures, ...) what a watcher made of each picture
    kept: tuple[Kept, ...] = ()  # glimpses of it, in order of time

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def end(self) -> int:
        """One after the number of the last picture."""
        return self.first + len(self)


class Watcher(Protocol):
    """Looks at the face of one track while its pictures are there."""

    def __call__(self, grey: np.ndarray, box: np.ndarray) -> None:
        """Takes the next picture, (height, width) uint8, and the face's box in it, pixels."""
        ...

    def end(self) -> np.ndarray:
        """Returns what it made of them, a row per picture."""
        ...


@dataclass
class TrackStatistics:
    """What was looked at on the way."""

    pictures: int = 0
    shots: int = 0
    detections: int = 0  # pictures that were searched
    faces: int = 0  # found in them, large enough
    small_faces: int = 0  # found, but below `min_face_px`


@dataclass(eq=False)
class _OpenTrack:
    shot: int
    first: int
    face: Face  # at the last detection
    number: int  # of the last detection's picture
    watcher: Watcher | None
    keeper: Keeper | None
    motion: LipMotion = field(default_factory=LipMotion)
    thumbnail: np.ndarray | None = None
    thumbnail_px: float = 0.0  # width of the face in it
    rows: list[np.ndarray] = field(default_factory=list)  # a Track's columns, one after the other


def follow_faces(
    pictures: Iterable[ShotPicture],
    detector: FaceDetector,
    rate_hz: float,
    config: TrackConfig,
    statistics: TrackStatistics,
    watch: Callable[[], Watcher] | None = None,
    glimpses: GlimpseFile | None = None,
) -> Iterator[Track]:
    """Yields each track when it ends.

    Args:
        pictures: all pictures in order.
        detector: finds faces in one picture.
        rate_hz: pictures per second.
        config: see there.
        statistics: is counted up on the way.
        watch: makes a watcher for each track, whose rows become `Track.seen`.
        glimpses: is to hold what surrounds the faces; None keeps nothing.
    """
    every = max(1, round(config.every_s * rate_hz))
    max_gap = max(every, round(config.max_gap_s * rate_hz))
    open_tracks: list[_OpenTrack] = []
    greys: deque[np.ndarray] = deque(maxlen=max_gap + every + 1)  # the last pictures, the newest last
    shot_first = 0
    for item in pictures:
        if item.first:
            statistics.shots += 1
            shot_first = item.number
        statistics.pictures += 1
        greys.append(item.picture.grey)
        if (item.number - shot_first) % every == 0 or item.last:
            faces = detector(item.picture.rgb)
            large = [f for f in faces if min(f.width_px, f.height_px) >= config.min_face_px]
            statistics.detections += 1
            statistics.faces += len(large)
            statistics.small_faces += len(faces) - len(large)
            new = _match(open_tracks, large, item.number, greys, config.min_overlap)
            for face in new:
                watcher, keeper = watch() if watch else None, Keeper(glimpses, rate_hz) if glimpses else None
                track = _OpenTrack(statistics.shots, item.number, face, item.number - 1, watcher, keeper)
                _extend(track, face, item.number, greys)
                open_tracks.append(track)
            _look(open_tracks, item)
        ended = [t for t in open_tracks if item.last or item.number - t.number >= max_gap]
        open_tracks = [t for t in open_tracks if t not in ended]
        yield from (part for track in ended if len(track.rows) > 1 for part in _close(track, item.picture.shape))


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Returns the intersection over union of two boxes (x0, y0, x1, y1)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def _match(
    open_tracks: list[_OpenTrack], faces: list[Face], number: int, greys: deque[np.ndarray], least: float
) -> list[Face]:
    """Goes on with the open tracks, the best overlap first; returns the faces that are left."""
    pairs = [(overlap(t.face.box, f.box), i, j) for i, t in enumerate(open_tracks) for j, f in enumerate(faces)]
    left_tracks, left_faces = set(range(len(open_tracks))), set(range(len(faces)))
    for share, i, j in sorted(pairs, reverse=True):
        if share >= least and i in left_tracks and j in left_faces:
            left_tracks.remove(i)
            left_faces.remove(j)
            _extend(open_tracks[i], faces[j], number, greys)
    return [faces[j] for j in sorted(left_faces)]


def _look(open_tracks: list[_OpenTrack], item: ShotPicture) -> None:
    """Keeps, of each track that was found in this picture, its thumbnail, the largest so far, and a glimpse."""
    for track in open_tracks:
        if track.number != item.number:
            continue
        if track.face.width_px > track.thumbnail_px:
            track.thumbnail = upright_patch(item.picture.rgb, track.face.landmarks)
            track.thumbnail_px = track.face.width_px
        if track.keeper:
            track.keeper.look(item.picture, item.number, track.face, float(track.rows[-1][-1]))


def _extend(track: _OpenTrack, face: Face, number: int, greys: deque[np.ndarray]) -> None:
    """Adds the pictures after the track's last detection up to this one."""
    step = number - track.number
    for i in range(1, step + 1):
        share = i / step
        box = (1 - share) * np.array(track.face.box) + share * np.array(face.box)
        landmarks = (1 - share) * track.face.landmarks + share * face.landmarks
        grey = greys[len(greys) - 1 - step + i]
        lips = track.motion(grey, landmarks)
        if track.watcher:
            track.watcher(grey, box)
        row = np.concatenate([box, landmarks.ravel(), lips, [sharpness(track.motion.patch)]])
        track.rows.append(row.astype(np.float32))
    track.face, track.number = face, number


def jump_cuts(lips: np.ndarray) -> list[int]:
    """Returns the rows at which a track becomes another face, or the same one in another take.

    Args:
        lips: (pictures, signals), see `lips.SIGNALS`.
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
    seen = track.watcher.end() if track.watcher else None
    kept = track.keeper.end() if track.keeper else []
    thumbnail = jpeg(track.thumbnail, THUMBNAIL_QUALITY)  # there may be thousands of tracks
    edges = [0, *jump_cuts(lips), len(lips)]
    for a, b in itertools.pairwise(edges):
        if b - a > 1:
            part = boxes[a:b], landmarks.reshape(-1, 5, 2)[a:b], lips[a:b], sharp[a:b, 0]
            seen_here = None if seen is None else seen[a:b]
            first, end = track.first + a, track.first + b
            kept_here = tuple(glimpse for glimpse in kept if first <= glimpse.number < end)
            yield Track(track.shot, first, size, *part, thumbnail, seen_here, kept_here)
