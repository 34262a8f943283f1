"""Images and audio files of one person made into one clip, by the rules for videos.

The largest face of each image is cut out. The audio files are joined end to end and cut into segments. A file that
cannot be used is counted as a drop in the funnel, and the clip is made of the others.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.config import Config
from pipelines.extraction.faces.crops import cut_crop
from pipelines.extraction.faces.detectors import FaceDetector
from pipelines.extraction.faces.patches import FacePatch
from pipelines.extraction.faces.photos import face_in_photo, read_image
from pipelines.extraction.speech.recordings import read_int16
from pipelines.extraction.speech.segments import cut_segments
from pipelines.extraction.speech.vad import find_speech
from pipelines.extraction.types import Clip, Extraction, FaceCrop, SpeechSegment
from pipelines.extraction.video.decode import SAMPLE_RATE_HZ
from pipelines.extraction.video.full_frames import full_resolution_frames
from pipelines.extraction.video.one_clock import open_on_one_clock
from pipelines.extraction.video.probe import MediaError
from vclip.errors import InputError

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".tif", ".tiff")
VIDEOS = (".mp4",)


def one_clip(images: Sequence[str], audio: Sequence[str], config: Config, detector: FaceDetector) -> Extraction:
    """Returns an extraction with one clip: the faces in the images and the speech in the audio files.

    Its state is "done"; "empty" where no readable file has speech; or "failed" where no image with a face or no audio
    file could be read, with the reason for the first of them.

    Args:
        images: image files, one face from each; or videos of a face, `clips.crops` evenly spaced frames from each.
        audio: audio files, or videos with an audio track.
        config: the configuration, of which the section `extraction` is read.
        detector: finds the faces.
    """
    funnel: Counter[str] = Counter(pictures=len(images), sounds=len(audio))  # keys of older stores
    faces, no_face = _faces(images, config, detector, funnel)
    voices, duration_s, no_audio, left_out = _voices(audio, config, funnel)
    if not faces or no_audio:
        return Extraction("failed", no_audio if faces else no_face, duration_s, funnel=dict(funnel))
    if not voices:
        reason = "; ".join([f"no speech in {audio[0]}", *left_out])
        return Extraction("empty", reason, duration_s, funnel=dict(funnel))
    box = tuple(np.median([face.box for face in faces], axis=0).tolist())
    clip = Clip(0.0, duration_s, box, 1.0, tuple(faces), tuple(voices))
    return Extraction("done", "; ".join(left_out), duration_s, (clip,), {**funnel, "clips": 1})


def _faces(
    images: Sequence[str], config: Config, detector: FaceDetector, funnel: Counter[str]
) -> tuple[list[FaceCrop], str]:
    """Returns the crops, one second apart because their times are unknown, and why there is none."""
    faces, reasons = [], []
    for image in _decoded(images, config):
        if isinstance(image, str):
            funnel["drop:unreadable_picture"] += 1
            reasons.append(image)
            continue
        try:
            found = face_in_photo(image, detector)
        except InputError as error:
            funnel["drop:no_face"] += 1
            reasons.append(str(error))
            continue
        height, width, _ = found.image.shape
        whole = FacePatch(found.image, 0, 0, (width, height))
        faces.append(cut_crop(whole, found.face, float(len(faces)), config.extraction.clips.jpeg_quality))
    return faces, "" if faces else next(iter(reasons), "no image")


def _decoded(files: Sequence[str], config: Config) -> Iterator[np.ndarray | str]:
    """Yields images, (height, width, 3) uint8 RGB, or the reason why a file gave none."""
    for file in files:
        try:
            if Path(file).suffix.lower() not in VIDEOS:
                yield read_image(file, config.extraction.media.max_picture_mpx)
                continue
            media = config.extraction.media
            with open_on_one_clock(file, media) as recording:
                path, probe = recording.path, recording.probe
                last = max(int(probe.duration_s * media.rate_hz) - 1, 0)
                wanted = np.unique(np.linspace(0, last, config.extraction.clips.crops + 2)[1:-1].round().astype(int))
                yield from (frame for _, frame in full_resolution_frames(path, probe, media, wanted.tolist()))
        except (InputError, MediaError) as error:
            yield f"{file}: {error}" if isinstance(error, MediaError) else str(error)


def _voices(
    files: Sequence[str], config: Config, funnel: Counter[str]
) -> tuple[list[SpeechSegment], float, str, list[str]]:
    """Returns the segments, the length of the files in seconds, why none could be read, and what was left out."""
    voices, at_s, reasons, left_out = [], 0.0, [], []
    for file in files:
        try:
            samples, note = read_int16(file, config.extraction.media, SAMPLE_RATE_HZ)
        except InputError as error:
            funnel["drop:unreadable_sound"] += 1
            reasons.append(str(error))
            continue
        left_out += [f"{file}: {note}"] if note else []
        length_s = len(samples) / SAMPLE_RATE_HZ
        speech = find_speech(samples, config.extraction.speech)
        segments = cut_segments(samples, speech, 0.0, length_s, config.extraction.clips)
        if not segments:
            funnel["drop:silent"] += 1
        voices += [replace(one, start_s=at_s + one.start_s, end_s=at_s + one.end_s) for one in segments]
        at_s += length_s
    return voices, at_s, next(iter(reasons), "no audio file") if not at_s else "", left_out
