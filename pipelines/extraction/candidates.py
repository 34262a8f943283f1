"""Candidates: a face in view during speech, from its scores per frame to the segments that may become clips."""

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.faces.tracks import Track
from pipelines.extraction.speech.vad import FRAME_S, Speech, runs_of
from pipelines.extraction.types import Box, FaceCrop, box_of
from pipelines.extraction.video.audio_file import SAMPLE_RATE_HZ


@dataclass(frozen=True)
class TrackSegment:
    """Part of one track during speech: a candidate for a clip."""

    track: Track
    track_index: int  # among all tracks of the video
    first: int  # number of the first frame
    end: int  # one after the last frame
    score: float  # mean probability that the face is the active speaker, 0..1
    drop: str = ""  # the reason why it becomes no clip; empty while it may
    faces: tuple[FaceCrop, ...] = ()  # filled once the crops are cut

    @property
    def rows(self) -> slice:
        """The rows of the segment in its track."""
        return slice(self.first - self.track.first, self.end - self.track.first)

    @property
    def box(self) -> Box:
        """The median box of the face."""
        return box_of(np.median(self.track.boxes[self.rows], axis=0) / np.array([*self.track.size, *self.track.size]))


@dataclass(frozen=True)
class VideoAnalysis:
    """What extraction measured in a video before it judges the candidates. Frames are numbered from 0."""

    rate_hz: float  # frames per second
    shots: tuple[int, ...]  # number of each shot's first frame
    tracks: tuple[Track, ...]
    speech: Speech
    audio: np.ndarray  # (samples,) int16 at 16 kHz, mapped from disk
    scores: tuple[np.ndarray, ...]  # for each track, (frames,) probability that it is the active speaker, 0..1

    def span_s(self, segment: TrackSegment) -> tuple[float, float]:
        """Returns the start and the end of a segment in seconds, within the audio."""
        return segment.first / self.rate_hz, min(segment.end / self.rate_hz, len(self.audio) / SAMPLE_RATE_HZ)


def find_candidates(analysis: VideoAnalysis, config: ExtractionConfig) -> list[TrackSegment]:
    """Returns every part of a track that is in view during speech, in order of time.

    A track during one segment of speech is a candidate. It is dropped where it is too short, or where no part of it
    is likely enough to be the active speaker, and more likely than the other faces in view. What remains is cut at
    `clips.max_s`.
    """
    highest = _highest_scores(analysis)
    starts_s, ends_s = [[span_s[side] for span_s in analysis.speech.segments] for side in (0, 1)]
    found: list[TrackSegment] = []
    for index, track in enumerate(analysis.tracks):
        # The segments of speech in view, give or take a frame; both may be thousands.
        first = bisect_left(ends_s, (track.first - 1) / analysis.rate_hz)
        end = bisect_right(starts_s, (track.end + 1) / analysis.rate_hz)
        for span_s in analysis.speech.segments[first:end]:
            found += _within(index, span_s, analysis, highest, config)
    return sorted(found, key=lambda segment: segment.first)


def _highest_scores(analysis: VideoAnalysis) -> np.ndarray:
    """Returns the highest score (frames,) of the faces in view in each frame."""
    highest = np.zeros(max((track.end for track in analysis.tracks), default=0))
    for track, score in zip(analysis.tracks, analysis.scores, strict=True):
        np.maximum(highest[track.first : track.end], score, out=highest[track.first : track.end])
    return highest


def _within(
    index: int,
    span_s: tuple[float, float],
    analysis: VideoAnalysis,
    highest: np.ndarray,
    config: ExtractionConfig,
) -> Iterator[TrackSegment]:
    """Yields the candidates of one track during one segment of speech."""
    track, score, rate_hz = analysis.tracks[index], analysis.scores[index], analysis.rate_hz
    least = round(config.clips.min_s * rate_hz)
    first, end = max(track.first, round(span_s[0] * rate_hz)), min(track.end, round(span_s[1] * rate_hz))
    if first >= end:
        return

    def segment(a: int, b: int, drop: str = "") -> TrackSegment:
        return TrackSegment(track, index, a, b, float(score[a - track.first : b - track.first].mean()), drop)

    scores = score[first - track.first : end - track.first]
    likely = (scores >= config.speaking.threshold) & (scores >= highest[first:end])
    runs = [(first + a, first + b) for a, b in runs_of(likely) if b - a >= least]
    if end - first < least:
        yield segment(first, end, "too_short")
    elif not runs:
        yield segment(first, end, "not_speaking")
    for a, b in runs:
        yield from (segment(*piece) for piece in _pieces(a, b, analysis, config))


def _pieces(first: int, end: int, analysis: VideoAnalysis, config: ExtractionConfig) -> list[tuple[int, int]]:
    """Cuts a segment into even pieces of at most `clips.max_s`, each cut moved to the quietest moment near it."""
    rate_hz, probability = analysis.rate_hz, analysis.speech.probability
    longest = round(config.clips.max_s * rate_hz)
    count = -(-(end - first) // longest)
    # A cut may move by less than the slack that even pieces leave, so that no piece gets longer than the limit.
    slack = (longest - (end - first) // count) // 2
    cuts = [first]
    for i in range(1, count):
        even = first + (end - first) * i // count
        near = np.arange(even - slack, even + slack + 1)
        vad_frames = np.clip((near / rate_hz / FRAME_S).astype(int), 0, len(probability) - 1)
        cuts.append(int(near[np.argmin(probability[vad_frames])]))
    cuts.append(end)
    return list(itertools.pairwise(cuts))
