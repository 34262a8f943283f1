"""The rows that extraction hands on. Times are seconds on the video's own clock; boxes are fractions of the frame."""

from dataclasses import dataclass, field

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 as fractions of the frame


@dataclass(frozen=True)
class FaceCrop:
    """One picture of a speaking face, cut by `vclip.encoders.face_crop`."""

    time_s: float
    box: Box
    size_px: float  # the shorter side of the face box at full resolution
    sharpness: float  # 0..1
    frontality: float  # 0..1
    exposure: float  # 0..1
    quality: float  # 0..1, all of them together
    image: bytes  # JPEG


@dataclass(frozen=True)
class SpeechSegment:
    """One stretch of the clip's speech."""

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
    speaking_score: float  # 0..1
    faces: tuple[FaceCrop, ...]
    voices: tuple[SpeechSegment, ...]


@dataclass(frozen=True)
class Candidate:
    """A face in view while speech is heard: what might have become a clip, and what became of it."""

    start_s: float
    end_s: float
    box: Box  # the face's median box
    track: int  # number of the face's track in its video
    score: float  # mean probability that it is the face heard, 0..1
    fate: str  # KEPT, or the reason of its drop, as in the funnel
    thumbnail: bytes = b""  # JPEG of the face, of a few of those that were dropped


KEPT = "kept"


@dataclass(frozen=True)
class Extraction:
    """What one video gave. `state` is "done" (has clips), "empty" (none, `reason` says why) or "failed"."""

    state: str
    reason: str
    duration_s: float
    clips: tuple[Clip, ...] = ()
    funnel: dict[str, int] = field(default_factory=dict)  # counts per stage and drops per reason
    candidates: tuple[Candidate, ...] = ()  # in order of time
    seconds: dict[str, float] = field(default_factory=dict)  # wall time per stage
