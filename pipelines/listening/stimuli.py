"""What is rated: a face and a sound. All are brought to one form, or their form would tell which system made them."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import soundfile

from vclip.audio import resample
from vclip.tts.loudness import normalised

SIDE_PX = 256


@dataclass(frozen=True)
class Stimulus:
    """One face with one sound."""

    system: str  # which made the sound for the face
    face: str  # whose ratings belong together; equal for equal faces
    picture: np.ndarray  # (side, side, 3) uint8 RGB
    sound: np.ndarray  # (samples,) float32
    sample_rate_hz: int
    told: Mapping[str, Any]  # for the key: files and texts


def picture_file(picture: np.ndarray) -> bytes:
    """Returns a picture (side, side, 3) uint8 RGB as a JPEG of the size that all have."""
    sized = cv2.resize(picture, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", sized[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def sound_files(stimuli: Sequence[Stimulus]) -> list[bytes]:
    """Returns the sounds as FLAC, all at the lowest rate among them, of one loudness, without provenance."""
    rate = min(stimulus.sample_rate_hz for stimulus in stimuli)
    files = []
    for stimulus in stimuli:
        file = io.BytesIO()
        sound = normalised(resample(stimulus.sound, stimulus.sample_rate_hz, rate), rate)
        soundfile.write(file, sound, rate, format="FLAC", subtype="PCM_16")
        files.append(file.getvalue())
    return files
