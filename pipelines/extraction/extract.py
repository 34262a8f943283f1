"""One video in, clips out: the chain of all stages.

    probe -> decode -> shots -> faces -> tracks -> speech -> speaking -> quality -> crops and segments

Whatever the file holds, the answer is an `Extraction` with a state and a reason.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.crops import cut_crops
from pipelines.extraction.decode import SAMPLE_RATE_HZ, Decoder
from pipelines.extraction.faces import FaceDetector, open_detector
from pipelines.extraction.lip_sync import lip_evidence
from pipelines.extraction.probe import MediaError, Probe, probe_media
from pipelines.extraction.rows import Clip, Extraction
from pipelines.extraction.segments import cut_segments
from pipelines.extraction.shots import split_shots
from pipelines.extraction.speaking import speaking_scores
from pipelines.extraction.speech import Speech, find_speech
from pipelines.extraction.stretches import Stretch, speaking_stretches
from pipelines.extraction.tracks import Track, TrackStatistics, follow_faces

# (stage, done, total), in seconds of video or in clips; called at the start of a stage with done = 0.
Hook = Callable[[str, float, float], None]

# A file that ends this much before its declared end is damaged, not just rounded.
SHORT_SHARE = 0.8


def extract(path: str | Path, config: ExtractionConfig | None = None, hook: Hook | None = None) -> Extraction:
    """Returns the clips of one video, or why there are none.

    Args:
        path: the video file.
        config: the defaults where None.
        hook: told of the progress of each stage, for progress bars and timing.

    Returns:
        state "done": it has clips; its reason is empty, or says that the file ends early.
        state "empty": it was read, and the reason says why nothing was kept.
        state "failed": it could not be read, and the reason says what was found.

    Raises:
        InputError: the configuration names a detector that there is not. Nothing about the file raises.
    """
    config, hook = config or ExtractionConfig(), hook or (lambda stage, done, total: None)
    detector = open_detector(config.tracks.detector)
    duration_s = 0.0
    try:
        hook("probe", 0, 1)
        probe = probe_media(path, config.media)
        duration_s = probe.duration_s
        for kind, index in (("video", probe.video_index), ("audio", probe.audio_index)):
            if index is None:
                return Extraction("empty", f"no {kind} stream found", duration_s)
        with Decoder(path, probe, config.media) as decoder:
            return _extract(path, probe, decoder, detector, config, hook)
    except MediaError as error:
        return Extraction("failed", str(error), duration_s)


def _extract(
    path: str | Path, probe: Probe, decoder: Decoder, detector: FaceDetector, config: ExtractionConfig, hook: Hook
) -> Extraction:
    rate_hz, statistics = config.media.rate_hz, TrackStatistics()
    pictures = _reported(decoder.pictures(), rate_hz, probe.duration_s, hook)
    shots = split_shots(pictures, rate_hz, config.shots)
    tracks = list(follow_faces(shots, detector, rate_hz, config.tracks, statistics))
    if not statistics.pictures:
        raise MediaError("no picture could be decoded")
    duration_s = statistics.pictures / rate_hz
    hook("speech", 0, duration_s)
    sound = decoder.sound
    speech = find_speech(sound, config.speech)
    funnel: Counter[str] = Counter(
        pictures=statistics.pictures,
        shots=statistics.shots,
        searched=statistics.detections,
        faces=statistics.faces,
        small_faces=statistics.small_faces,
        tracks=len(tracks),
        speech_stretches=len(speech.stretches),
    )
    hook("speaking", 0, duration_s)
    scores = speaking_scores(tracks, sound, rate_hz, config.speaking, lip_evidence)
    stretches = speaking_stretches(tracks, scores, speech, config, funnel)
    clips = []
    for number, stretch in enumerate(stretches):
        hook("crops", number, len(stretches))
        clip = _clip(path, probe, stretch, sound, speech, detector, config, funnel)
        clips += [clip] if clip else []
    hook("crops", len(stretches), len(stretches))
    funnel["clips"] = len(clips)
    return _result(tuple(clips), tracks, speech, probe, duration_s, funnel, config)


def _clip(
    path: str | Path,
    probe: Probe,
    stretch: Stretch,
    sound: np.ndarray,
    speech: Speech,
    detector: FaceDetector,
    config: ExtractionConfig,
    funnel: Counter[str],
) -> Clip | None:
    """One clip with its crops and segments, or None and a count of the filter that dropped it."""
    funnel["stretches"] += 1
    limits, rate_hz, track = config.clips, config.media.rate_hz, stretch.track
    start_s, end_s = stretch.first / rate_hz, min(stretch.end / rate_hz, len(sound) / SAMPLE_RATE_HZ)
    if speech.ratio(start_s, end_s) < limits.min_speech_ratio:
        funnel["drop:little_speech"] += 1
        return None
    if speech.snr_db(start_s, end_s) < limits.min_snr_db:
        funnel["drop:low_snr"] += 1
        return None
    try:
        faces = cut_crops(path, probe, stretch, detector, config)
    except MediaError:
        # The first pass could read these pictures, so the file is sound up to here; only seeking fails.
        funnel["drop:not_seekable"] += 1
        return None
    if max(face.size_px for face in faces) < limits.min_face_px:
        funnel["drop:small_face"] += 1
        return None
    if max(face.quality for face in faces) < limits.min_quality:
        funnel["drop:low_quality"] += 1
        return None
    box = np.median(track.boxes[stretch.rows], axis=0) / np.array([*track.size, *track.size])
    return Clip(
        start_s=start_s,
        end_s=end_s,
        box=tuple(np.clip(box, 0, 1).tolist()),
        speaking_score=stretch.score,
        faces=faces,
        voices=cut_segments(sound, speech, start_s, end_s, limits),
    )


def _result(
    clips: tuple[Clip, ...],
    tracks: list[Track],
    speech: Speech,
    probe: Probe,
    duration_s: float,
    funnel: Counter[str],
    config: ExtractionConfig,
) -> Extraction:
    cut_short = duration_s < SHORT_SHARE * probe.duration_s - 1
    damage = f"ends early: {duration_s:.1f} of {probe.duration_s:.1f} s could be decoded" if cut_short else ""
    counts = dict(funnel)
    if clips:
        return Extraction("done", damage, duration_s, clips, counts)
    if damage:
        return Extraction("failed", damage, duration_s, (), counts)
    return Extraction("empty", _why_empty(tracks, speech, funnel, config), duration_s, (), counts)


def _why_empty(tracks: list[Track], speech: Speech, funnel: Counter[str], config: ExtractionConfig) -> str:
    if not tracks:
        if funnel["small_faces"]:
            return f"no face found of {config.tracks.min_face_px:g} pixels or more (tracks.min_face_px)"
        return "no face found"
    if not speech.stretches:
        return "no speech found"
    if not funnel["candidates"]:
        return "no visible speaker: no face is in view while speech is heard"
    drops = {key.removeprefix("drop:"): count for key, count in funnel.items() if key.startswith("drop:") and count}
    main = max(drops, key=drops.__getitem__)
    if main == "not_speaking":
        return "no visible speaker: no face moves its lips with the speech"
    return f"every candidate was dropped, most often as {main} ({drops[main]} of {sum(drops.values())})"


def _reported(pictures: Iterable[np.ndarray], rate_hz: float, total_s: float, hook: Hook) -> Iterator[np.ndarray]:
    hook("decode", 0, total_s)
    for number, picture in enumerate(pictures):
        yield picture
        if number % round(rate_hz) == 0:
            hook("decode", number / rate_hz, total_s)
