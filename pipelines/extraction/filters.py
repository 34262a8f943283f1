"""Filters: each keeps a candidate or drops it for one reason.

A filter of your own needs no change here:

    def at_the_edge(segment, analysis, config):
        return min(segment.box) < 0.02

    extract("video.mp4", filters=[*FILTERS, Filter("at_the_edge", at_the_edge)])
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from pipelines.extraction.candidates import TrackSegment, VideoAnalysis
from pipelines.extraction.config import ExtractionConfig

Predicate = Callable[[TrackSegment, VideoAnalysis, ExtractionConfig], bool]


@dataclass(frozen=True)
class Filter:
    """Drops the candidates for which `drops` returns true.

    Args:
        reason: the drop reason, counted in the funnel as `drop:REASON`; `types.OUTCOME_WORDS` has it in words.
        drops: the test, of (segment, analysis, configuration).
        on_crops: whether the test looks at `segment.faces`. Such filters run after the crops are cut, the others
            before, so that no crop is cut for nothing.
    """

    reason: str
    drops: Predicate
    on_crops: bool = False


def little_speech(segment: TrackSegment, analysis: VideoAnalysis, config: ExtractionConfig) -> bool:
    """Returns whether too small a share of the segment holds speech."""
    return analysis.speech.ratio(*analysis.span_s(segment)) < config.clips.min_speech_ratio


def low_snr(segment: TrackSegment, analysis: VideoAnalysis, config: ExtractionConfig) -> bool:
    """Returns whether the signal-to-noise ratio of the speech is too low."""
    return analysis.speech.snr_db(*analysis.span_s(segment)) < config.clips.min_snr_db


def not_seekable(segment: TrackSegment, analysis: VideoAnalysis, config: ExtractionConfig) -> bool:
    """Returns whether no crop could be cut: the frames were decoded in the first pass but cannot be read again."""
    return not segment.faces


def small_face(segment: TrackSegment, analysis: VideoAnalysis, config: ExtractionConfig) -> bool:
    """Returns whether even the largest crop shows too small a face."""
    return max(face.size_px for face in segment.faces) < config.clips.min_face_px


def low_quality(segment: TrackSegment, analysis: VideoAnalysis, config: ExtractionConfig) -> bool:
    """Returns whether the quality of even the best crop is too low."""
    return max(face.quality for face in segment.faces) < config.clips.min_quality


FILTERS = (
    Filter("little_speech", little_speech),
    Filter("low_snr", low_snr),
    Filter("not_seekable", not_seekable, on_crops=True),
    Filter("small_face", small_face, on_crops=True),
    Filter("low_quality", low_quality, on_crops=True),
)


def apply_filters(
    segments: Iterable[TrackSegment], filters: Sequence[Filter], analysis: VideoAnalysis, config: ExtractionConfig
) -> list[TrackSegment]:
    """Returns the segments in order, each with the reason of the first filter that drops it."""
    judged = []
    for segment in segments:
        reasons = (one.reason for one in filters if not segment.drop and one.drops(segment, analysis, config))
        judged.append(replace(segment, drop=next(reasons, segment.drop)))
    return judged
