"""Tracks: one face keeps one track over missed detections, and no track crosses a cut."""

import numpy as np
import pytest

from pipelines.extraction.active_speaker.lip_motion import SIGNALS
from pipelines.extraction.config import TrackConfig
from pipelines.extraction.faces.detectors import iou
from pipelines.extraction.faces.shots import ShotFrame
from pipelines.extraction.faces.tracks import jump_cuts, track_faces
from tests.support.numbered_frames import Finds, face, numbered_frames
from tests.support.rgb_frame import RgbFrame


def follow(count, faces_at, cuts=(), **config):
    return track_faces(numbered_frames(count, cuts), Finds(faces_at), 25, TrackConfig(**config))


def test_a_moving_face_is_followed_and_interpolated_between_detections():
    (track,), counts = follow(52, lambda n: [face(60 + 2 * n)])
    assert (track.first, track.end) == (0, 52)
    assert counts.detections == 12  # every fifth, and the last
    centres = (track.boxes[:, 0] + track.boxes[:, 2]) / 2
    np.testing.assert_allclose(centres, 60 + 2 * np.arange(52), atol=0.01)
    np.testing.assert_allclose(track.landmarks[:, 2, 0], 60 + 2 * np.arange(52), atol=0.01)


@pytest.mark.parametrize(("missed", "tracks"), [(range(20, 35), 1), (range(20, 55), 2)])
def test_a_track_survives_missed_detections_up_to_the_limit(missed, tracks):
    found, _ = follow(80, lambda n: [] if n in missed else [face(60 + n)])
    assert len(found) == tracks
    if tracks == 1:
        assert (found[0].first, found[0].end) == (0, 80)


def test_faces_side_by_side_keep_their_own_tracks():
    found, _ = follow(40, lambda n: [face(80 + n), face(240 - n)][:: 1 if n % 2 else -1])
    starts = sorted((float(t.boxes[0, 0]), float(t.boxes[-1, 0])) for t in found)
    assert starts == [(50.0, 89.0), (210.0, 171.0)]


def test_a_cut_ends_every_track():
    found, _ = follow(60, lambda n: [face(160)], cuts=(23,))
    assert [(t.first, t.end, t.shot) for t in found] == [(0, 23, 1), (23, 60, 2)]


def test_small_faces_are_counted_and_not_followed():
    found, counts = follow(22, lambda n: [face(160, width=20)], min_face_px=24)
    assert found == []
    assert (counts.faces, counts.small_faces, counts.detections) == (0, 3, 3)  # in the frames 0, 20 and 21


def test_overlap_is_the_intersection_over_union():
    assert iou((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7, rel=1e-12)  # one division in float64
    assert iou((0, 0, 2, 2), (2, 0, 4, 2)) == 0


def lips_that_change(changes):
    lips = np.zeros((len(changes), len(SIGNALS)), np.float32)
    lips[:, SIGNALS.index("upper_change")] = changes
    return lips


def test_a_jump_cut_is_a_change_of_the_face_that_stands_alone():
    calm, shaking = np.full(40, 1.5), np.full(40, 9.0)
    assert jump_cuts(lips_that_change(calm)) == []
    assert jump_cuts(lips_that_change(shaking)) == []
    calm[[17, 18]] = 14.0, 2.0
    assert jump_cuts(lips_that_change(calm)) == [17]


def test_a_track_is_cut_in_two_at_a_jump_cut():
    """Two stills of one size in one place: the shot goes on, the face does not."""

    def in_the_middle(images):
        return [[face(image.shape[1] / 2, image.shape[0] / 2)] for image in images]

    faces = [np.random.default_rng(seed).integers(0, 255, (240, 320, 3), np.uint8) for seed in (1, 2)]
    stream = (ShotFrame(n, RgbFrame(faces[n >= 30].copy()), n == 0, n == 59) for n in range(60))
    (first, second), _ = track_faces(stream, in_the_middle, 25, TrackConfig())
    assert (first.first, first.end, second.first, second.end) == (0, 30, 30, 60)
    assert (len(first.lips), len(second.landmarks)) == (30, 30)


def test_a_watcher_sees_every_frame_of_its_track_once_and_in_order():
    class Observer:
        def __init__(self):
            self.centres = []

        def __call__(self, grey, box):
            assert grey.shape == (240, 320)
            self.centres.append((box[0] + box[2]) / 2)

        def end(self):
            return np.array(self.centres)

    detector = Finds(lambda n: [face(60 + 2 * n), face(280)])
    tracks, _ = track_faces(numbered_frames(52), detector, 25, TrackConfig(), Observer)
    moving, still = sorted(tracks, key=lambda track: track.observed[0])
    np.testing.assert_allclose(moving.observed, 60 + 2 * np.arange(52), atol=0.01)
    np.testing.assert_allclose(still.observed, 280, atol=0.01)
