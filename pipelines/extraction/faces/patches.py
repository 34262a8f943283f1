"""Face patches: small parts of frames around a face, kept in a file while a video is decoded.

Where the analysis frames are not shrunk, each track keeps its best patch of every half second, and the crops of clips
are cut from these, so nothing is decoded twice. The file is unnamed: it vanishes with the worker.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np

from pipelines.extraction.faces.detectors import DetectedFace
from pipelines.extraction.faces.quality import frontality
from pipelines.extraction.video.frame import Frame

MARGIN = 0.5  # share of the face box by which it is widened to each side
EVERY_S = 0.5
MOST_BYTES = 512 << 20  # of the file; crops of later faces are read from the video again


@dataclass(frozen=True)
class FacePatch:
    """A face and its surroundings."""

    image: np.ndarray  # (height, width, 3) uint8 RGB
    left: int  # of the patch in the frame, pixels
    top: int
    size: tuple[int, int]  # width and height of the frame


@dataclass(frozen=True)
class StoredPatch:
    """The place of a patch in the file."""

    number: int  # of its frame
    left: int
    top: int
    size: tuple[int, int]
    offset: int
    shape: tuple[int, ...]  # of its planes


def patch_bounds(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Returns left, top, right and bottom of the patch around a face, all even and within a frame of `size`."""
    x0, y0, x1, y1 = box
    aside, above = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    left, top = (max(0, int(edge) // 2 * 2) for edge in (x0 - aside, y0 - above))
    right, bottom = (
        min(full // 2 * 2, int(edge) // 2 * 2 + 2) for edge, full in zip((x1 + aside, y1 + above), size, strict=True)
    )
    return left, top, max(right, left + 2), max(bottom, top + 2)


def patch_score(landmarks: np.ndarray, sharpness: float, box: np.ndarray) -> float:
    """Returns how suitable a face is as a crop, 0 or more: the product of frontality, sharpness and size."""
    return frontality(landmarks) * sharpness * float(np.sqrt((box[2] - box[0]) * (box[3] - box[1])))


class FacePatchFile:
    """Face patches on disk; a context manager.

    Args:
        most_bytes: limit of the file.
        file: an unbuffered binary file to write to; an unnamed temporary one where None.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, file: IO[bytes] | None = None) -> None:
        self._most_bytes = most_bytes
        self._file: IO[bytes] = file or tempfile.TemporaryFile(prefix="vclip-faces-", buffering=0)  # noqa: SIM115
        self._bytes = 0

    def __enter__(self) -> "FacePatchFile":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def keep(self, best: "BestPatch") -> StoredPatch | None:
        """Writes a patch and returns its place; None where the file has reached its limit or the disk is full."""
        planes = best.frame.planes
        if self._bytes + planes.nbytes > self._most_bytes:
            return None
        try:
            self._file.seek(self._bytes)
            if self._file.write(planes.data) < planes.nbytes:
                return None
        except OSError:  # the disk is full
            return None
        self._bytes += planes.nbytes
        return StoredPatch(best.number, best.left, best.top, best.size, self._bytes - planes.nbytes, planes.shape)

    def read(self, kept: StoredPatch) -> FacePatch:
        """Returns a patch."""
        self._file.seek(kept.offset)
        planes = np.frombuffer(self._file.read(int(np.prod(kept.shape))), np.uint8).reshape(kept.shape)
        return FacePatch(Frame(planes).rgb, kept.left, kept.top, kept.size)


@dataclass(frozen=True)
class BestPatch:
    """The best patch of the current half second of a track, in memory."""

    number: int
    score: float
    left: int
    top: int
    size: tuple[int, int]
    frame: Frame


class PatchKeeper:
    """Keeps one track's best patch of every half second."""

    def __init__(self, file: FacePatchFile, rate_hz: float):
        self._file, self._every = file, max(1, round(EVERY_S * rate_hz))
        self._best: BestPatch | None = None
        self._kept: list[StoredPatch] = []

    def add(self, frame: Frame, number: int, face: DetectedFace, sharpness: float) -> None:
        """Adds a frame in which the face was detected; frame numbers must rise."""
        value = patch_score(face.landmarks, sharpness, np.array(face.box))
        if self._best and self._best.number // self._every != number // self._every:
            self._settle()
        if self._best is None or value > self._best.score:
            size = frame.shape[1], frame.shape[0]
            left, top, right, bottom = patch_bounds(face.box, size)
            self._best = BestPatch(number, value, left, top, size, frame.part(left, top, right, bottom))

    def end(self) -> list[StoredPatch]:
        """Returns the patches kept, in order of time."""
        self._settle()
        return self._kept

    def _settle(self) -> None:
        if self._best and (kept := self._file.keep(self._best)):
            self._kept.append(kept)
        self._best = None
