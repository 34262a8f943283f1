"""What is measured over all frames of the clips of a video, from the analysis that found them."""

from collections.abc import Sequence

import numpy as np

from pipelines.extraction.active_speaker.dubbed import dubbed_probability, dubbing_features
from pipelines.extraction.active_speaker.lip_sync import RATE_HZ, lip_coordinates, sync_evidence
from pipelines.extraction.active_speaker.offset import find_offsets, offset_evidence
from pipelines.extraction.candidates import TrackSegment, VideoAnalysis
from pipelines.extraction.config import ActiveSpeakerConfig
from pipelines.extraction.faces.pose import head_motion, head_pose
from pipelines.extraction.types import ClipMeasures


def measure_clips(
    segments: Sequence[TrackSegment], analysis: VideoAnalysis, side_px: float, config: ActiveSpeakerConfig
) -> list[ClipMeasures]:
    """Returns the measures of each clip.

    Args:
        segments: the clips of one video.
        analysis: of the video.
        side_px: longer side of a frame at full resolution.
        config: the windows in which lips and audio are compared.
    """
    faces = [_face_measures(segment, side_px, analysis.rate_hz) for segment in segments]
    if analysis.rate_hz != RATE_HZ or not segments:  # the coefficients of the lips are for that rate
        return [ClipMeasures(**one) for one in faces]
    offsets = find_offsets(_offset_evidence(segments, analysis))
    return [
        ClipMeasures(
            **one,
            av_offset_s=offset.offset_s,
            av_confidence=offset.confidence,
            dubbed=dubbed_probability(dubbing_features(segment, analysis, sync)),
        )
        for segment, one, offset, sync in zip(
            segments, faces, offsets, sync_of(segments, analysis, config), strict=True
        )
    ]


def sync_of(
    segments: Sequence[TrackSegment], analysis: VideoAnalysis, config: ActiveSpeakerConfig
) -> list[np.ndarray]:
    """Returns `lip_sync.sync_evidence` of the track of each segment, (frames,)."""
    tracks = {segment.track_index: segment.track for segment in segments}
    found = {index: sync_evidence(track, analysis.audio, analysis.rate_hz, config) for index, track in tracks.items()}
    return [found[segment.track_index] for segment in segments]


def _offset_evidence(segments: Sequence[TrackSegment], analysis: VideoAnalysis) -> list[np.ndarray]:
    tracks = {segment.track_index: segment.track for segment in segments}
    lips = {index: lip_coordinates(track) for index, track in tracks.items()}
    return [offset_evidence(lips[one.track_index][one.rows], analysis.audio, one.first) for one in segments]


def _face_measures(segment: TrackSegment, side_px: float, rate_hz: float) -> dict[str, float]:
    track = segment.track
    boxes, landmarks = track.boxes[segment.rows], track.landmarks[segment.rows]
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    sizes_px = np.minimum(widths, heights) * side_px / max(track.size)
    return {
        "min_face_px": float(sizes_px.min()),
        "mean_face_px": float(sizes_px.mean()),
        **head_pose(landmarks)._asdict(),
        "head_motion": head_motion(landmarks, widths, rate_hz),
    }
