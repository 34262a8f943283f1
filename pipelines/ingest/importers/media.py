"""Pictures and sound files of one person into one clip, by the rules that videos go by.

In each picture the largest face is found and cut; the speech of the files is laid end to end and cut into segments. A
file that cannot be used is a drop in the funnel, and the clip is made of the others.
"""

import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.config import Config
from pipelines.extraction.config import MediaConfig
from pipelines.extraction.faces.crops import cut_crop
from pipelines.extraction.faces.detectors import open_detector
from pipelines.extraction.faces.patches import FacePatch
from pipelines.extraction.faces.photos import face_in_photo, read_image
from pipelines.extraction.speech.segments import cut_segments
from pipelines.extraction.speech.vad import find_speech
from pipelines.extraction.types import Clip, Extraction, FaceCrop, SpeechSegment
from pipelines.extraction.video.decode import SAMPLE_RATE_HZ, ffmpeg_binary, full_resolution_frames
from pipelines.extraction.video.probe import MediaError, probe_media
from vclip.audio import read_audio, resample
from vclip.errors import InputError

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
VIDEOS = (".mp4",)
# Read by ffmpeg, with its name of the format: told that, it takes no list that names other files.
FFMPEG_SOUNDS = {".m4a": "mov", ".mp4": "mov", ".aac": "aac"}
SOUNDS = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".aac")


def one_clip(pictures: Sequence[str], sounds: Sequence[str], config: Config) -> Extraction:
    """Returns one clip of the faces in the pictures and the speech of the sounds.

    Args:
        pictures: picture files, a face of each; or videos of a face, `clips.crops` of each at even distances.
        sounds: sound files.
        config: its section `extraction`.

    Returns:
        state "done"; "empty", where nothing was heard in files that could be read; or "failed", where no picture with
        a face or no sound could be read, with the reason of the first.
    """
    funnel: Counter[str] = Counter(pictures=len(pictures), sounds=len(sounds))
    faces, no_face = _faces(pictures, config, funnel)
    voices, duration_s, no_sound = _voices(sounds, config, funnel)
    if not faces or no_sound:
        return Extraction("failed", no_sound if faces else no_face, duration_s, funnel=dict(funnel))
    if not voices:
        return Extraction("empty", f"no sound in {sounds[0]}", duration_s, funnel=dict(funnel))
    box = tuple(np.median([face.box for face in faces], axis=0).tolist())
    clip = Clip(0.0, duration_s, box, 1.0, tuple(faces), tuple(voices))
    return Extraction("done", "", duration_s, (clip,), {**funnel, "clips": 1})


def _faces(pictures: Sequence[str], config: Config, funnel: Counter[str]) -> tuple[list[FaceCrop], str]:
    """Returns the crops, a second apart for want of a clock, and why there is none."""
    detector = open_detector(config.extraction.tracks.detector)
    faces, reasons = [], []
    for picture in _shown(pictures, config):
        if isinstance(picture, str):
            funnel["drop:unreadable_picture"] += 1
            reasons.append(picture)
            continue
        try:
            face, _, _ = face_in_photo(picture, detector)
        except InputError as error:
            funnel["drop:no_face"] += 1
            reasons.append(str(error))
            continue
        whole = FacePatch(picture, 0, 0, (picture.shape[1], picture.shape[0]))
        faces.append(cut_crop(whole, face, float(len(faces)), config.extraction.clips.jpeg_quality))
    return faces, "" if faces else next(iter(reasons), "no picture")


def _shown(files: Sequence[str], config: Config) -> Iterator[np.ndarray | str]:
    """Yields pictures (height, width, 3) uint8 RGB, or why there is none."""
    for file in files:
        try:
            if Path(file).suffix.lower() not in VIDEOS:
                yield read_image(file)
                continue
            media = config.extraction.media
            probe = probe_media(file, media)
            last = max(int(probe.duration_s * media.rate_hz) - 1, 0)
            wanted = np.unique(np.linspace(0, last, config.extraction.clips.crops + 2)[1:-1].round().astype(int))
            yield from (frame for _, frame in full_resolution_frames(file, probe, media, wanted.tolist()))
        except (InputError, MediaError) as error:
            yield f"{file}: {error}" if isinstance(error, MediaError) else str(error)


def _voices(sounds: Sequence[str], config: Config, funnel: Counter[str]) -> tuple[list[SpeechSegment], float, str]:
    """Returns the segments, how long all files are together, and why none could be read."""
    voices, at_s, reasons = [], 0.0, []
    for file in sounds:
        try:
            sound = read_sound(file, config.extraction.media)
        except InputError as error:
            funnel["drop:unreadable_sound"] += 1
            reasons.append(str(error))
            continue
        length_s = len(sound) / SAMPLE_RATE_HZ
        speech = find_speech(sound, config.extraction.speech)
        segments = cut_segments(sound, speech, 0.0, length_s, config.extraction.clips)
        if not segments:
            funnel["drop:silent"] += 1
        voices += [replace(one, start_s=at_s + one.start_s, end_s=at_s + one.end_s) for one in segments]
        at_s += length_s
    return voices, at_s, next(iter(reasons), "no sound file") if not at_s else ""


def read_sound(path: str, config: MediaConfig) -> np.ndarray:
    """Returns mono sound (samples,) int16 at 16 kHz of a sound file, or of a video's.

    Raises:
        InputError: it cannot be read; names it.
    """
    if format := FFMPEG_SOUNDS.get(Path(path).suffix.lower()):
        return _by_ffmpeg(path, format, config)
    sound = resample(*read_audio(path), SAMPLE_RATE_HZ)
    return np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)


def _by_ffmpeg(path: str, format: str, config: MediaConfig) -> np.ndarray:
    command = [ffmpeg_binary(), "-v", "error", "-nostdin", "-f", format, "-i", f"file:{path}", "-vn", "-ac", "1"]
    command += ["-ar", str(SAMPLE_RATE_HZ), "-t", f"{config.max_duration_s:g}", "-f", "s16le", "-"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=config.stall_limit_s, check=False)
    except subprocess.TimeoutExpired:
        limit = f"{config.stall_limit_s:g} s (media.stall_limit_s)"
        raise InputError(f"audio {path}: not decoded within {limit}") from None
    if not done.stdout:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise InputError(
            f"audio {path}: {said[-1] if said else 'found no sound'}; expected speech in M4A, AAC or MP4"
        )
    return np.frombuffer(done.stdout, np.int16)
