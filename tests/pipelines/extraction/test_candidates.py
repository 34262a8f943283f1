import numpy as np

from pipelines.extraction import ExtractionConfig
from pipelines.extraction.candidates import VideoAnalysis, find_candidates
from pipelines.extraction.faces.tracks import Track
from pipelines.extraction.speech.vad import FRAME_S, Speech

RATE_HZ, FRAMES = 25.0, 200


def _track(first, frames):
    zeros = np.zeros
    return Track(
        0, first, (640, 360), zeros((frames, 4)), zeros((frames, 5, 2)), zeros((frames, 4)), zeros(frames), b""
    )


def _kept(*scores, firsts=None):
    """Returns (track, first frame, end) of what is kept of faces with these scores, all of whom are in one shot."""
    seconds = FRAMES / RATE_HZ
    frames = round(seconds / FRAME_S)
    speech = Speech(np.ones(frames), np.ones(frames), ((0.0, seconds),), np.ones(frames, bool))
    firsts = firsts or [0] * len(scores)
    tracks = tuple(_track(first, len(score)) for first, score in zip(firsts, scores, strict=True))
    audio = np.zeros(round(seconds * 16_000), np.int16)
    rows = tuple(np.asarray(score, np.float32) for score in scores)
    analysis = VideoAnalysis(RATE_HZ, (0,), tracks, speech, audio, rows)
    found = find_candidates(analysis, ExtractionConfig())
    return [(one.track_index, one.first, one.end) for one in found if not one.drop]


def test_of_two_faces_that_may_both_speak_the_likelier_one_is_kept():
    changes = np.where(np.arange(FRAMES) < 100, 0.47, 0.43)
    assert _kept(changes, np.full(FRAMES, 0.45)) == [(0, 0, 100), (1, 100, FRAMES)]


def test_a_face_out_of_view_does_not_count():
    assert _kept(np.full(FRAMES, 0.45), np.full(100, 0.5), firsts=[0, 100]) == [(0, 0, 100), (1, 100, FRAMES)]


def test_no_face_is_kept_where_none_is_likely():
    assert _kept(np.full(FRAMES, 0.3), np.full(FRAMES, 0.35)) == []
    assert _kept() == []
