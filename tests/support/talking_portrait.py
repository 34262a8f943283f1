"""Videos made for the tests: a public-domain portrait whose mouth opens with a synthetic voice."""

import subprocess
from pathlib import Path

import cv2
import numpy as np
from scipy.signal import lfilter
from skimage import data

from tests.support.ffmpeg import shipped_ffmpeg

RATE_HZ, SAMPLE_RATE_HZ = 25, 16_000
# Where the mouth is in the full portrait, in pixels, and how wide.
MOUTH, MOUTH_WIDTH_PX = (224, 144), 34
FORMANTS_HZ = ((700, 1200, 2600), (300, 2200, 3000), (450, 1900, 2500), (320, 800, 2300), (550, 950, 2400))


def voice(seconds: float, seed: int) -> np.ndarray:
    """Vowels of random length, pitch and formants with short gaps, (samples,) float; silero takes it for speech."""
    rng, parts, count = np.random.default_rng(seed), [], 0
    while count < seconds * SAMPLE_RATE_HZ:
        length, gap = (int(SAMPLE_RATE_HZ * rng.uniform(*span)) for span in ((0.12, 0.28), (0.06, 0.16)))
        pitch_hz = rng.uniform(105, 150) * np.linspace(1.05, 0.92, length)
        vowel = np.diff(np.floor(np.cumsum(pitch_hz) / SAMPLE_RATE_HZ), prepend=0) + 0.005 * rng.standard_normal(
            length
        )
        for hz, width_hz in zip(FORMANTS_HZ[rng.integers(len(FORMANTS_HZ))], (70, 90, 130), strict=True):
            r = np.exp(-np.pi * width_hz / SAMPLE_RATE_HZ)
            vowel = lfilter([1 - r], [1, -2 * r * np.cos(2 * np.pi * hz / SAMPLE_RATE_HZ), r * r], vowel)
        parts += [0.4 * vowel / np.abs(vowel).max() * np.hanning(length) ** 0.5, 0.002 * rng.standard_normal(gap)]
        count += length + gap
    return np.concatenate(parts)[: int(seconds * SAMPLE_RATE_HZ)]


def opening(audio: np.ndarray) -> np.ndarray:
    """How far a mouth is open that says `audio`, 0..1 per frame, 0.08 s ahead of it as mouths are."""
    per_frame = SAMPLE_RATE_HZ // RATE_HZ
    loud = np.sqrt(np.square(audio[: len(audio) // per_frame * per_frame]).reshape(-1, per_frame).mean(1))
    smooth = np.convolve(np.pad(loud, (0, 2))[2:], [0.25, 0.5, 0.25], "same")
    return np.clip(smooth / 0.12, 0, 1)


def portrait(open_: float, side: int = 360) -> np.ndarray:
    """The portrait with its mouth open by 0..1, (side, side, 3) uint8 RGB."""
    image = data.astronaut()[20:330, 70:380].copy()
    x0, y0 = MOUTH[0] - 70, MOUTH[1] - 20
    drop = 11 * open_
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    # What lies below the mouth's line goes down with the jaw, less and less towards the neck and the ears.
    jaw = np.clip(1 - np.abs(x - x0) / 55, 0, 1) * np.clip(1 - (y - y0) / 60, 0, 1) * (y > y0)
    image = cv2.remap(image, x, (y - drop * jaw).astype(np.float32), cv2.INTER_LINEAR)
    if drop > 1:
        axes = (MOUTH_WIDTH_PX // 2 - 3, max(1, round(drop / 2)))
        cv2.ellipse(image, (x0, round(y0 + drop / 2)), axes, 0, 0, 360, (45, 15, 15), -1, cv2.LINE_AA)
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


def drifting(count: int, side: int = 360) -> list[np.ndarray]:
    """A still portrait under a slow pan, turn and zoom."""
    still, frames = portrait(0.0, side), []
    for t in np.arange(count) / RATE_HZ:
        matrix = cv2.getRotationMatrix2D((side / 2, side / 2), 1.5 * np.sin(0.9 * t), 1.06 + 0.04 * np.sin(0.5 * t))
        matrix[:, 2] += 0.012 * side * np.sin(1.3 * t), 0.012 * side * np.sin(1.7 * t + 1)
        frames.append(cv2.warpAffine(still, matrix, (side, side), borderMode=cv2.BORDER_REFLECT))
    return frames


def talking(audio: np.ndarray, side: int = 360) -> list[np.ndarray]:
    """The portrait saying `audio`."""
    return [portrait(value, side) for value in opening(audio)]


def write_video(
    path: Path,
    frames: list[np.ndarray] | None,
    audio: np.ndarray | None,
    *options: str,
    rate_hz: float = RATE_HZ,
    audio_late_s: float = 0.0,
    frames_late_s: float = 0.0,
) -> Path:
    """Encodes frames (with `options`) and audio, each to start when told; returns the path."""
    size = [] if frames is None else ["-s", f"{frames[0].shape[1]}x{frames[0].shape[0]}"]
    raw_frames = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-r", str(rate_hz), *size]
    h264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-crf", "20"]
    raw_audio = ["-f", "f32le", "-ar", str(SAMPLE_RATE_HZ), "-ac", "1"]
    inputs: list[str] = []
    if frames is not None:
        _ffmpeg(np.stack(frames), raw_frames, [*h264, *options], path.with_suffix(".frames.mp4"))
        inputs += ["-itsoffset", str(frames_late_s), "-i", str(path.with_suffix(".frames.mp4"))]
    if audio is not None:
        _ffmpeg(audio.astype("<f4"), raw_audio, ["-c:a", "aac", "-b:a", "128k"], path.with_suffix(".audio.mp4"))
        inputs += ["-itsoffset", str(audio_late_s), "-i", str(path.with_suffix(".audio.mp4"))]
    streams = ["-map", "0", "-map", "1"] if len(inputs) == 8 else []
    # Copied, not encoded: only so do the late starts reach the container.
    subprocess.run([shipped_ffmpeg(), "-v", "error", "-y", *inputs, *streams, "-c", "copy", str(path)], check=True)
    return path


def _ffmpeg(data_: np.ndarray, before: list[str], after: list[str], path: Path) -> None:
    command = [shipped_ffmpeg(), "-v", "error", "-y", *before, "-i", "-", *after, str(path)]
    subprocess.run(command, input=data_.tobytes(), check=True, timeout=60)
