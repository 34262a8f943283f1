"""One video in, clips out: the chain of all stages.

    probe -> decode -> shots -> faces -> tracks -> speech -> speaking -> one voice -> quality -> crops and segments

Whatever the file holds, the answer is an `Extraction` with a state and a reason.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pipelines.extraction.active_speaker.scores import Backend, open_backend, speaking_scores
from pipelines.extraction.candidates import Stretch, speaking_stretches
from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.faces.crops import cut_crops
from pipelines.extraction.faces.detectors import FaceDetector, open_detector
from pipelines.extraction.faces.patches import GlimpseFile
from pipelines.extraction.faces.shots import ShotPicture, split_shots
from pipelines.extraction.faces.tracks import Track, TrackStatistics, follow_faces
from pipelines.extraction.speech.activity import Speech, find_speech
from pipelines.extraction.speech.segments import cut_segments
from pipelines.extraction.speech.speaker_change import one_voice_parts
from pipelines.extraction.types import KEPT, Box, Candidate, Clip, Extraction, FaceCrop
from pipelines.extraction.video.decode import SAMPLE_RATE_HZ, Decoder
from pipelines.extraction.video.picture import Picture
from pipelines.extraction.video.probe import MediaError, Probe, probe_media

# (stage, done, total), in seconds of video or in clips; called at the start of a stage with done = 0.
Hook = Callable[[str, float, float], None]

# A file that ends this much before its declared end is damaged, not just rounded.
SHORT_SHARE = 0.8
EXAMPLES = 2  # thumbnails for each reason of a drop


@dataclass
class Trace:
    """What extraction saw on the way, for those who want to look; filled by `extract`. Pictures are numbered."""

    rate_hz: float = 0.0
    shots: list[int] = field(default_factory=list)  # number of each shot's first picture
    tracks: list[Track] = field(default_factory=list)
    scores: list[np.ndarray] = field(default_factory=list)  # per track, (pictures,) probability of being heard
    speech: Speech | None = None
    sound: np.ndarray | None = None  # (samples,) int16 at 16 kHz


def extract(
    path: str | Path, config: ExtractionConfig | None = None, hook: Hook | None = None, trace: Trace | None = None
) -> Extraction:
    """Returns the clips of one video, or why there are none.

    Args:
        path: the video file.
        config: the defaults where None.
        hook: told of the progress of each stage, for progress bars.
        trace: is filled with what was seen on the way.

    Returns:
        state "done": it has clips; its reason is empty, or says that the file ends early.
        state "empty": it was read, and the reason says why nothing was kept.
        state "failed": it could not be read, and the reason says what was found.

    Raises:
        InputError: the configuration names a detector or weights that there are not. Nothing about the file raises.
    """
    config = config or ExtractionConfig()
    stages = _Stages(hook or (lambda stage, done, total: None))
    detector, backend = open_detector(config.tracks.detector), open_backend(config.speaking)
    duration_s = 0.0
    try:
        stages.start("probe", 1)
        probe = probe_media(path, config.media)
        duration_s = probe.duration_s
        for kind, index in (("video", probe.video_index), ("audio", probe.audio_index)):
            if index is None:
                return Extraction("empty", f"no {kind} stream found", duration_s)
        with Decoder(path, probe, config.media) as decoder, GlimpseFile() as glimpses:
            extraction = _extract(path, probe, decoder, glimpses, detector, backend, config, stages, trace or Trace())
    except MediaError as error:
        extraction = Extraction("failed", str(error), duration_s)
    return replace(extraction, seconds=stages.end())


class _Stages:
    """Tells the hook of the stages and takes their time."""

    def __init__(self, hook: Hook):
        self._hook, self._name, self._total, self._since_s = hook, "", 0.0, 0.0
        self._seconds: dict[str, float] = {}

    def start(self, name: str, total: float) -> None:
        self.end()
        self._name, self._total, self._since_s = name, total, time.monotonic()
        self._hook(name, 0, total)

    def at(self, done: float) -> None:
        self._hook(self._name, done, self._total)

    def end(self) -> dict[str, float]:
        """Returns the seconds of each stage so far."""
        if self._name:
            self._seconds[self._name] = round(time.monotonic() - self._since_s, 3)
        return self._seconds


def _extract(
    path: str | Path,
    probe: Probe,
    decoder: Decoder,
    glimpses: GlimpseFile,
    detector: FaceDetector,
    backend: Backend,
    config: ExtractionConfig,
    stages: _Stages,
    trace: Trace,
) -> Extraction:
    rate_hz, statistics = config.media.rate_hz, TrackStatistics()
    trace.rate_hz = rate_hz
    stages.start("decode", probe.duration_s)
    pictures = split_shots(_reported(decoder.pictures(), rate_hz, stages), rate_hz, config.shots)
    shown = _noted(pictures, trace)
    keeping = glimpses if probe.side_px <= config.media.max_side_px else None
    trace.tracks += follow_faces(shown, detector, rate_hz, config.tracks, statistics, backend.watch, keeping)
    if not statistics.pictures:
        raise MediaError("no picture could be decoded")
    duration_s = statistics.pictures / rate_hz
    stages.start("speech", duration_s)
    sound = trace.sound = decoder.sound
    speech = trace.speech = find_speech(sound, config.speech)
    stages.start("speaking", duration_s)
    trace.scores += speaking_scores(trace.tracks, sound, rate_hz, config.speaking, backend.evidence)
    stretches = speaking_stretches(trace.tracks, trace.scores, speech, config)
    stages.start("voices", duration_s)
    stretches = [part for stretch in stretches for part in _one_voice(stretch, sound, speech, config)]
    stages.start("crops", len(stretches))
    drops = [stretch.drop or _drop_for_sound(stretch, sound, speech, config) for stretch in stretches]
    kept = [stretch for stretch, drop in zip(stretches, drops, strict=True) if not drop]
    crops = iter(cut_crops(path, probe, kept, glimpses, detector, config, stages.at))
    clips, fates = [], []
    for stretch, drop in zip(stretches, drops, strict=True):
        faces = () if drop else next(crops)
        fate = drop or _drop_for_pictures(faces, config)
        fates.append(fate or KEPT)
        if not fate:
            clips.append(_clip(stretch, faces, sound, speech, config))
    stages.at(len(stretches))
    funnel = Counter(
        pictures=statistics.pictures,
        shots=statistics.shots,
        searched=statistics.detections,
        faces=statistics.faces,
        small_faces=statistics.small_faces,
        tracks=len(trace.tracks),
        speech_stretches=len(speech.stretches),
        candidates=len(stretches),
        clips=len(clips),
    )
    funnel.update(f"drop:{fate}" for fate in fates if fate != KEPT)
    candidates = _candidates(stretches, fates, trace.tracks, rate_hz)
    return _result(tuple(clips), candidates, speech, probe, duration_s, funnel, config)


def _one_voice(stretch: Stretch, sound: np.ndarray, speech: Speech, config: ExtractionConfig) -> Iterator[Stretch]:
    """A stretch in parts of one voice each, or with why it is dropped."""
    if stretch.drop:
        yield stretch
        return
    rate_hz = config.media.rate_hz
    for part in one_voice_parts(sound, speech, *_span_s(stretch, sound, config), config.voices):
        first, end = round(part.start_s * rate_hz), round(part.end_s * rate_hz)
        if first < end:
            yield replace(stretch, first=first, end=end, drop=part.drop)


def _drop_for_sound(stretch: Stretch, sound: np.ndarray, speech: Speech, config: ExtractionConfig) -> str:
    """The filter of the sound that drops a clip, if one does."""
    span_s = _span_s(stretch, sound, config)
    if speech.ratio(*span_s) < config.clips.min_speech_ratio:
        return "little_speech"
    return "low_snr" if speech.snr_db(*span_s) < config.clips.min_snr_db else ""


def _drop_for_pictures(faces: tuple[FaceCrop, ...], config: ExtractionConfig) -> str:
    """The filter of the pictures that drops a clip, if one does."""
    if not faces:
        # The first pass could read these pictures, so the file is sound up to here; only seeking fails.
        return "not_seekable"
    if max(face.size_px for face in faces) < config.clips.min_face_px:
        return "small_face"
    return "low_quality" if max(face.quality for face in faces) < config.clips.min_quality else ""


def _clip(
    stretch: Stretch, faces: tuple[FaceCrop, ...], sound: np.ndarray, speech: Speech, config: ExtractionConfig
) -> Clip:
    start_s, end_s = _span_s(stretch, sound, config)
    return Clip(
        start_s=start_s,
        end_s=end_s,
        box=_box(stretch),
        speaking_score=stretch.score,
        faces=faces,
        voices=cut_segments(sound, speech, start_s, end_s, config.clips),
    )


def _span_s(stretch: Stretch, sound: np.ndarray, config: ExtractionConfig) -> tuple[float, float]:
    """Where a stretch begins and ends, within the sound."""
    rate_hz = config.media.rate_hz
    return stretch.first / rate_hz, min(stretch.end / rate_hz, len(sound) / SAMPLE_RATE_HZ)


def _box(stretch: Stretch) -> Box:
    track = stretch.track
    box = np.median(track.boxes[stretch.rows], axis=0) / np.array([*track.size, *track.size])
    return tuple(np.clip(box, 0, 1).tolist())


def _candidates(
    stretches: list[Stretch], fates: list[str], tracks: list[Track], rate_hz: float
) -> tuple[Candidate, ...]:
    number = {id(track): i for i, track in enumerate(tracks)}
    shown: Counter[str] = Counter()
    candidates = []
    for stretch, fate in zip(stretches, fates, strict=True):
        shown[fate] += 1
        example = fate != KEPT and shown[fate] <= EXAMPLES
        candidates.append(
            Candidate(
                start_s=stretch.first / rate_hz,
                end_s=stretch.end / rate_hz,
                box=_box(stretch),
                track=number[id(stretch.track)],
                score=stretch.score,
                fate=fate,
                thumbnail=stretch.track.thumbnail if example else b"",
            )
        )
    return tuple(candidates)


def _result(
    clips: tuple[Clip, ...],
    candidates: tuple[Candidate, ...],
    speech: Speech,
    probe: Probe,
    duration_s: float,
    funnel: Counter[str],
    config: ExtractionConfig,
) -> Extraction:
    cut_short = duration_s < SHORT_SHARE * probe.duration_s - 1
    damage = f"ends early: {duration_s:.1f} of {probe.duration_s:.1f} s could be decoded" if cut_short else ""
    if clips:
        state, reason = "done", damage
    elif damage:
        state, reason = "failed", damage
    else:
        state, reason = "empty", _why_empty(speech, funnel, config)
    return Extraction(state, reason, duration_s, clips, dict(funnel), candidates)


def _why_empty(speech: Speech, funnel: Counter[str], config: ExtractionConfig) -> str:
    if not funnel["tracks"]:
        if funnel["small_faces"]:
            return f"no face found of {config.tracks.min_face_px:g} pixels or more (tracks.min_face_px)"
        return "no face found"
    if not speech.stretches:
        return "no speech found"
    if not funnel["candidates"]:
        return "no visible speaker: no face is in view while speech is heard"
    drops = {key.removeprefix("drop:"): count for key, count in funnel.items() if key.startswith("drop:")}
    main = max(drops, key=drops.__getitem__)
    if main == "not_speaking":
        return "no visible speaker: no face moves its lips with the speech"
    return f"every candidate was dropped, most often as {main} ({drops[main]} of {sum(drops.values())})"


def _reported(pictures: Iterable[Picture], rate_hz: float, stages: _Stages) -> Iterator[Picture]:
    for number, picture in enumerate(pictures):
        yield picture
        if number % round(rate_hz) == 0:
            stages.at(number / rate_hz)


def _noted(pictures: Iterable[ShotPicture], trace: Trace) -> Iterator[ShotPicture]:
    for picture in pictures:
        if picture.first:
            trace.shots.append(picture.number)
        yield picture
