"""What surrounds a face in a picture, and a file of such glimpses kept while a video is read.

Where the analysis pictures are not shrunk, each track keeps its best glimpse of every half second, and the crops of
clips are cut from these: nothing is decoded twice. The file has no name: it vanishes with the worker.
"""

import tempfile
from dataclasses import dataclass

import numpy as np

from pipelines.extraction.faces.detectors import Face
from pipelines.extraction.faces.quality import frontality
from pipelines.extraction.video.picture import Picture

MARGIN = 0.5  # the face's box is widened by this share to each side
EVERY_S = 0.5
MOST_BYTES = 512 << 20  # of a file; faces after that are read from the video again


@dataclass(frozen=True)
class Glimpse:
    """A part of a picture."""

    image: np.ndarray  # (height, width, 3) uint8 RGB
    left: int  # where it stands in the picture, pixels
    top: int
    size: tuple[int, int]  # width and height of the picture


@dataclass(frozen=True)
class Kept:
    """Where in the file a glimpse lies."""

    number: int  # of its picture
    left: int
    top: int
    size: tuple[int, int]
    offset: int
    shape: tuple[int, int]  # of its planes


def surroundings(box: tuple[float, ...], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Returns left, top, right and bottom, all even and within a picture of `size`, of what surrounds a face."""
    x0, y0, x1, y1 = box
    aside, above = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    left, top = (max(0, int(edge) // 2 * 2) for edge in (x0 - aside, y0 - above))
    right, bottom = (
        min(full // 2 * 2, int(edge) // 2 * 2 + 2) for edge, full in zip((x1 + aside, y1 + above), size, strict=True)
    )
    return left, top, max(right, left + 2), max(bottom, top + 2)


def worth(landmarks: np.ndarray, sharpness: float, box: np.ndarray) -> float:
    """Returns how much a face is worth as the picture of a clip: frontal, sharp and large."""
    return frontality(landmarks) * sharpness * float(np.sqrt((box[2] - box[0]) * (box[3] - box[1])))


class GlimpseFile:
    """Glimpses on disk; a context manager."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="vclip-faces-", buffering=0)  # noqa: SIM115
        self._bytes = 0

    def __enter__(self) -> "GlimpseFile":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def keep(self, best: "Best") -> Kept | None:
        """Writes a glimpse and returns where it lies; None once the file has all that it may, or the disk is full."""
        planes = best.picture.planes
        if self._bytes + planes.nbytes > MOST_BYTES:
            return None
        try:
            self._file.seek(self._bytes)
            if self._file.write(planes) < planes.nbytes:
                return None
        except OSError:  # the disk is full
            return None
        self._bytes += planes.nbytes
        return Kept(best.number, best.left, best.top, best.size, self._bytes - planes.nbytes, planes.shape)

    def read(self, kept: Kept) -> Glimpse:
        """Returns a glimpse that was kept."""
        self._file.seek(kept.offset)
        planes = np.frombuffer(self._file.read(int(np.prod(kept.shape))), np.uint8).reshape(kept.shape)
        return Glimpse(Picture(planes).rgb, kept.left, kept.top, kept.size)


@dataclass(frozen=True)
class Best:
    """The best glimpse of a track's running half second, in memory."""

    number: int
    worth: float
    left: int
    top: int
    size: tuple[int, int]
    picture: Picture


class Keeper:
    """Keeps one track's best glimpse of every half second."""

    def __init__(self, file: GlimpseFile, rate_hz: float):
        self._file, self._every = file, max(1, round(EVERY_S * rate_hz))
        self._best: Best | None = None
        self._kept: list[Kept] = []

    def look(self, picture: Picture, number: int, face: Face, sharpness: float) -> None:
        """Takes a picture in which the face was found; numbers rise."""
        value = worth(face.landmarks, sharpness, np.array(face.box))
        if self._best and self._best.number // self._every != number // self._every:
            self._settle()
        if self._best is None or value > self._best.worth:
            size = picture.shape[1], picture.shape[0]
            left, top, right, bottom = surroundings(face.box, size)
            self._best = Best(number, value, left, top, size, picture.part(left, top, right, bottom))

    def end(self) -> list[Kept]:
        """Returns what was kept, in order of time."""
        self._settle()
        return self._kept

    def _settle(self) -> None:
        if self._best and (kept := self._file.keep(self._best)):
            self._kept.append(kept)
        self._best = None
