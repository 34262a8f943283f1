"""One video in, clips out. The whole way, from top to bottom:

    probe -> decode -> shots -> faces -> tracks -> speech -> active speaker -> speaker change -> quality
          -> crops and segments

Whatever the file holds, the result is an `Extraction` with a state and a reason.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from pipelines.extraction.active_speaker.base import Backend, active_speaker_scores, open_backend
from pipelines.extraction.candidates import TrackSegment, VideoAnalysis, find_candidates
from pipelines.extraction.clip_file import kept_clips
from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.faces.crops import cut_crops
from pipelines.extraction.faces.detectors import FaceDetector, open_detector
from pipelines.extraction.faces.patches import FacePatchFile
from pipelines.extraction.faces.shots import split_shots
from pipelines.extraction.faces.tracks import track_faces
from pipelines.extraction.filters import FILTERS, Filter, apply_filters
from pipelines.extraction.measures import measure_clips
from pipelines.extraction.speech.audio_choice import choose_audio
from pipelines.extraction.speech.segments import cut_segments
from pipelines.extraction.speech.speaker_change import split_at_speaker_changes
from pipelines.extraction.types import KEPT, Candidate, Clip, ClipMeasures, Extraction, outcome_in_words
from pipelines.extraction.video.decode import Decoder
from pipelines.extraction.video.ffmpeg import ffmpeg_binary
from pipelines.extraction.video.frame import Frame
from pipelines.extraction.video.one_clock import open_on_one_clock
from pipelines.extraction.video.probe import MediaError, MediaProbe

# A file that ends this much before its declared end is damaged, not just rounded.
SHORT_SHARE = 0.8
EXAMPLES = 2  # thumbnails for each drop reason


class Hook(Protocol):
    """Receives the progress of each step and what it measured."""

    def __call__(
        self, name: str, artifact: object = None, total: float | None = None, completed: float | None = None
    ) -> None:
        """Receives one report.

        Args:
            name: of the step: "probe", "decode", "speech", "speaking", "voices" or "crops".
            artifact: the `VideoAnalysis` at the end of "speaking"; else None.
            total, completed: the progress of the step, in seconds of video, for "crops" in clips; a step starts with
                completed = 0.
        """
        ...


class KeepAnalysis:
    """A hook that keeps the analysis of the video; `analysis` is None where extraction ended before that."""

    def __init__(self) -> None:
        self.analysis: VideoAnalysis | None = None

    def __call__(
        self, name: str, artifact: object = None, total: float | None = None, completed: float | None = None
    ) -> None:
        if isinstance(artifact, VideoAnalysis):
            self.analysis = artifact


def extract(
    path: str | Path,
    config: ExtractionConfig | None = None,
    hook: Hook | None = None,
    filters: Sequence[Filter] = FILTERS,
    detector: FaceDetector | None = None,
) -> Extraction:
    """Returns the clips of one video, or why there are none.

    Args:
        path: the video file.
        config: the configuration; the defaults where None.
        hook: receives the progress of each step and the `VideoAnalysis`.
        filters: what candidates have to pass, in this order.
        detector: finds the faces; that of the configuration where None.

    Returns:
        state "done": it has clips; its reason is empty, or says that the file ends early, what of it was left
            out, or which audio was used.
        state "empty": it was read, and the reason says why nothing was kept.
        state "failed": it could not be read, and the reason says what was found.

    Raises:
        InputError: the configuration names a detector, weights or an ffmpeg that cannot be opened. A bad file never
            raises.
    """
    config = config or ExtractionConfig()
    ffmpeg_binary(config.media.ffmpeg)
    steps = _Steps(hook or _no_hook)
    detector, backend = detector or open_detector(config.tracks.detector), open_backend(config.speaking)
    duration_s = 0.0
    try:
        steps.start("probe", 1)
        with open_on_one_clock(path, config.media) as recording:
            probe = recording.probe
            duration_s = probe.duration_s
            for kind, index in (("video", probe.video_index), ("audio", probe.audio_index)):
                if index is None:
                    return Extraction("empty", f"no {kind} stream found", duration_s)
            with Decoder(recording.path, probe, config.media) as decoder, FacePatchFile() as patches:
                extraction = _extract(decoder, recording.note, patches, detector, backend, config, steps, filters)
    except MediaError as error:
        extraction = Extraction("failed", str(error), duration_s)
    return replace(extraction, seconds=steps.end())


def _no_hook(name: str, artifact: object = None, total: float | None = None, completed: float | None = None) -> None:
    """A hook that ignores everything."""


class _Steps:
    """Reports the steps to the hook and measures their time."""

    def __init__(self, hook: Hook):
        self._hook, self._name, self._total, self._since_s = hook, "", 0.0, 0.0
        self._seconds: dict[str, float] = {}

    def start(self, name: str, total: float) -> None:
        self.end()
        self._name, self._total, self._since_s = name, total, time.monotonic()
        self.at(0)

    def at(self, completed: float) -> None:
        self._hook(self._name, total=self._total, completed=completed)

    def measured(self, artifact: VideoAnalysis) -> None:
        self._hook(self._name, artifact, self._total, self._total)

    def end(self) -> dict[str, float]:
        """Returns the seconds of each step so far."""
        if self._name:
            self._seconds[self._name] = round(time.monotonic() - self._since_s, 3)
        return self._seconds


def _extract(
    decoder: Decoder,
    note: str,
    patches: FacePatchFile,
    detector: FaceDetector,
    backend: Backend,
    config: ExtractionConfig,
    steps: _Steps,
    filters: Sequence[Filter],
) -> Extraction:
    probe, rate_hz = decoder.probe, config.media.rate_hz

    steps.start("decode", probe.duration_s)
    shot_frames = split_shots(_with_progress(decoder.frames(), rate_hz, steps), rate_hz, config.shots)
    keeping = patches if probe.side_px <= config.media.max_side_px else None
    tracks, counts = track_faces(shot_frames, detector, rate_hz, config.tracks, backend.observe, keeping)
    if not counts.frames:
        raise MediaError("no frame could be decoded")
    duration_s = counts.frames / rate_hz

    steps.start("speech", duration_s)
    chosen = choose_audio(decoder, config.speech)
    audio, speech = chosen.samples, chosen.speech

    steps.start("speaking", duration_s)
    scores = active_speaker_scores(tracks, audio, rate_hz, config.speaking, backend.evidence)
    analysis = VideoAnalysis(rate_hz, tuple(counts.shots), tuple(tracks), speech, audio, tuple(scores))
    steps.measured(analysis)
    segments = find_candidates(analysis, config)

    steps.start("voices", duration_s)
    segments = [part for segment in segments for part in _split_by_speaker(segment, analysis, config)]

    steps.start("crops", len(segments))
    segments = apply_filters(segments, [one for one in filters if not one.on_crops], analysis, config)
    kept = [segment for segment in segments if not segment.drop]
    crops = iter(cut_crops(decoder, kept, patches, detector, config, steps.at))
    segments = [segment if segment.drop else replace(segment, faces=next(crops)) for segment in segments]
    segments = apply_filters(segments, [one for one in filters if one.on_crops], analysis, config)
    kept = [segment for segment in segments if not segment.drop]
    measures = measure_clips(kept, analysis, probe.side_px, config.speaking)
    clips = kept_clips(_clip(*one, analysis, config) for one in zip(kept, measures, strict=True))
    steps.at(len(segments))

    # The keys are stored with the videos; they stay as they are.
    funnel = Counter(
        pictures=counts.frames,
        shots=len(counts.shots),
        searched=counts.detections,
        faces=counts.faces,
        small_faces=counts.small_faces,
        tracks=len(tracks),
        speech_stretches=len(speech.segments),
        candidates=len(segments),
        clips=len(clips),
    )
    funnel.update(f"drop:{segment.drop}" for segment in segments if segment.drop)
    state, reason = _state(funnel, duration_s, probe, config, "; ".join(filter(None, [note, chosen.note])))
    return Extraction(state, reason, duration_s, clips, dict(funnel), _candidates(segments, rate_hz))


def _split_by_speaker(
    segment: TrackSegment, analysis: VideoAnalysis, config: ExtractionConfig
) -> Iterator[TrackSegment]:
    """Yields a segment in parts of one speaker each, some with a reason to drop them."""
    if segment.drop:
        yield segment
        return
    rate_hz = analysis.rate_hz
    for part in split_at_speaker_changes(analysis.audio, analysis.speech, *analysis.span_s(segment), config.voices):
        first, end = round(part.start_s * rate_hz), round(part.end_s * rate_hz)
        if first < end:
            yield replace(segment, first=first, end=end, drop=part.drop)


def _clip(segment: TrackSegment, measures: ClipMeasures, analysis: VideoAnalysis, config: ExtractionConfig) -> Clip:
    start_s, end_s = analysis.span_s(segment)
    voices = cut_segments(analysis.audio, analysis.speech, start_s, end_s, config.clips)
    return Clip(start_s, end_s, segment.box, segment.score, segment.faces, voices, measures)


def _candidates(segments: Sequence[TrackSegment], rate_hz: float) -> tuple[Candidate, ...]:
    shown: Counter[str] = Counter()
    candidates = []
    for segment in segments:
        shown[segment.drop] += 1
        example = segment.drop and shown[segment.drop] <= EXAMPLES
        candidates.append(
            Candidate(
                start_s=segment.first / rate_hz,
                end_s=segment.end / rate_hz,
                box=segment.box,
                track=segment.track_index,
                score=segment.score,
                outcome=segment.drop or KEPT,
                thumbnail=segment.track.thumbnail if example else b"",
            )
        )
    return tuple(candidates)


def _state(
    funnel: Counter[str], duration_s: float, probe: MediaProbe, config: ExtractionConfig, note: str
) -> tuple[str, str]:
    """Returns the state of the extraction and its reason."""
    cut_short = duration_s < SHORT_SHARE * probe.duration_s - 1
    damage = f"ends early: {duration_s:.1f} of {probe.duration_s:.1f} s could be decoded" if cut_short else ""
    if funnel["clips"]:
        return "done", "; ".join(filter(None, [damage, note]))
    return ("failed", damage) if damage else ("empty", "; ".join(filter(None, [_why_empty(funnel, config), note])))


def _why_empty(funnel: Counter[str], config: ExtractionConfig) -> str:
    if not funnel["tracks"]:
        if funnel["small_faces"]:
            return f"no face found of {config.tracks.min_face_px:g} pixels or more (tracks.min_face_px)"
        return "no face found"
    if not funnel["speech_stretches"]:
        return "no speech found"
    if not funnel["candidates"]:
        return "no visible speaker: no face is in view while speech is heard"
    drops = {key.removeprefix("drop:"): count for key, count in funnel.items() if key.startswith("drop:")}
    main = max(drops, key=drops.__getitem__)
    if main == "not_speaking":
        return "no visible speaker: no face moves its lips with the speech"
    most = f"{outcome_in_words(main)} ({drops[main]} of {sum(drops.values())})"
    return f"every candidate was dropped, most often because: {most}"


def _with_progress(frames: Iterable[Frame], rate_hz: float, steps: _Steps) -> Iterator[Frame]:
    for number, frame in enumerate(frames):
        yield frame
        if number % round(rate_hz) == 0:
            steps.at(number / rate_hz)
