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
    bandwidth_hz: float | None = None  # up to which the recording reaches, see `speech.bandwidth`; None for silence


@dataclass(frozen=True)
class ClipMeasures:
    """What is measured over all frames of a clip; None where it was not, as in clips made of images."""

    av_offset_s: float | None = None  # positive where the audio is late
    av_confidence: float | None = None  # 0..1: probability that `av_offset_s` is right within 0.04 s
    dubbed: float | None = None  # 0..1: probability that the audio is not the voice of this face
    min_face_px: float | None = None  # shorter side of the face at full resolution, least over the clip
    mean_face_px: float | None = None  # and mean
    yaw_deg: float | None = None  # median pose of the head, see `faces.pose`
    pitch_deg: float | None = None
    roll_deg: float | None = None
    head_motion: float | None = None  # mean speed of the face's landmarks, in face widths a second


@dataclass(frozen=True)
class Clip:
    """One visible person speaking."""

    start_s: float
    end_s: float
    box: Box  # the face's median box
    speaking_score: float  # mean probability that the face is the active speaker, 0..1
    faces: tuple[FaceCrop, ...]
    voices: tuple[SpeechSegment, ...]
    measures: ClipMeasures = ClipMeasures()


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
# The outcomes in words for people. The keys are those of the funnel, as stored in the table `videos`.
OUTCOME_WORDS = {
    KEPT: "kept",
    "not_speaking": "the lips do not move with the speech",
    "too_short": "too short",
    "little_speech": "too little speech",
    "low_snr": "too noisy",
    "small_face": "the face is too small",
    "low_quality": "the face is blurred, turned away or badly lit",
    "not_seekable": "the frames could not be read again at full resolution",
    "two_voices": "too short after a split where the speaker changes",
    "overlapped_speech": "two people speak at once",
    "no_face": "no face in the image",
    "silent": "the audio is silent",
}


def outcome_in_words(outcome: str) -> str:
    """Returns an outcome in words, or its own name with spaces if it has no words yet.

    Example:
        >>> outcome_in_words("low_snr")
        'too noisy'
    """
    return OUTCOME_WORDS.get(outcome, outcome.replace("_", " "))


@dataclass(frozen=True)
class Extraction:
    """The result of one video. `state` is "done" (has clips), "empty" (none, `reason` says why) or "failed"."""

    state: str
    reason: str
    duration_s: float
    clips: Sequence[Clip] = ()  # those of a long video are in a file (`ClipFile`)
    funnel: dict[str, int] = field(default_factory=dict)  # counts per stage and drops per reason
    candidates: tuple[Candidate, ...] = ()  # in order of time
    seconds: dict[str, float] = field(default_factory=dict)  # wall time per step


def box_of(corners: Sequence[float] | np.ndarray) -> Box:
    """Returns x0, y0, x1, y1 as a box, clipped to the frame."""
    x0, y0, x1, y1 = np.clip(corners, 0, 1).tolist()
    return x0, y0, x1, y1
