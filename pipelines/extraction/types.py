"""The results of extraction. Times are seconds on the video's own clock; boxes are fractions of the frame."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 as fractions of the frame


@dataclass(frozen=True)
class FaceCrop:
    """One image of a speaking face, cut by `vclip.encoders.face_crop`."""

    time_s: float
    box: Box
    size_px: float  # the shorter side of the face box at full resolution
    sharpness: float  # 0..1
    frontality: float  # 0..1
    exposure: float  # 0..1
    quality: float  # 0..1, geometric mean of size, sharpness, frontality and exposure
    image: bytes  # JPEG


@dataclass(frozen=True)
class SpeechSegment:
    """One segment of a clip's speech."""

    start_s: float
    end_s: float
    speech_ratio: float  # share of the segment that holds speech, 0..1
    snr_db: float
    audio: bytes  # FLAC, 16 kHz mono


@dataclass(frozen=True)
class Clip:
    """One visible person speaking."""

    start_s: float
    end_s: float
    box: Box  # the face's median box
    speaking_score: float  # mean probability that the face is the active speaker, 0..1
    faces: tuple[FaceCrop, ...]
    voices: tuple[SpeechSegment, ...]


@dataclass(frozen=True)
class Candidate:
    """A face in view during speech, and its outcome: a clip, or the reason why it was dropped."""

    start_s: float
    end_s: float
    box: Box  # the face's median box
    track: int  # index of the face's track in its video
    score: float  # mean probability that the face is the active speaker, 0..1
    outcome: str  # KEPT, or the drop reason as in the funnel
    thumbnail: bytes = b""  # JPEG of the face, for a few dropped candidates of each reason


KEPT = "kept"


@dataclass(frozen=True)
class Extraction:
    """The result of one video. `state` is "done" (has clips), "empty" (none, `reason` says why) or "failed"."""

    state: str
    reason: str
    duration_s: float
    clips: tuple[Clip, ...] = ()
    funnel: dict[str, int] = field(default_factory=dict)  # counts per stage and drops per reason
    candidates: tuple[Candidate, ...] = ()  # in order of time
    seconds: dict[str, float] = field(default_factory=dict)  # wall time per step


def box_of(corners: Sequence[float] | np.ndarray) -> Box:
    """Returns x0, y0, x1, y1 as a box, clipped to the frame."""
    x0, y0, x1, y1 = np.clip(corners, 0, 1).tolist()
    return x0, y0, x1, y1
