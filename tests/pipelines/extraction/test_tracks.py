"""Tracks: one face keeps one track over missed detections, and no track crosses a cut."""

import numpy as np
import pytest

from pipelines.extraction.config import TrackConfig
from pipelines.extraction.faces import Face
from pipelines.extraction.shots import ShotPicture
from pipelines.extraction.tracks import TrackStatistics, follow_faces, overlap

SIZE = (320, 240)


def face(x, y=100.0, width=60.0):
    landmarks = np.array([[x - 12, y - 15], [x + 12, y - 15], [x, y], [x - 10, y + 14], [x + 10, y + 14]])
    return Face((x - width / 2, y - width / 2, x + width / 2, y + width / 2), 0.9, landmarks)


def pictures(count, cuts=()):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    for number in range(count):
        # The detectors below read the picture's number out of its corner.
        picture = noise.copy()
        picture[0, 0] = number % 256, number // 256, 0
        yield ShotPicture(number, picture, number == 0 or number in cuts, number + 1 in cuts or number == count - 1)


def follow(count, faces_at, cuts=(), **config):
    statistics = TrackStatistics()

    def detector(picture):
        return faces_at(int(picture[0, 0, 0]) + 256 * int(picture[0, 0, 1]))

    tracks = list(follow_faces(pictures(count, cuts), detector, 25, TrackConfig(**config), statistics))
    return tracks, statistics


def test_a_moving_face_is_followed_and_interpolated_between_detections():
    (track,), statistics = follow(52, lambda n: [face(60 + 2 * n)])
    assert (track.first, track.end) == (0, 52)
    assert statistics.detections == 12  # every fifth, and the last
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
    found, statistics = follow(20, lambda n: [face(160, width=20)], min_face_px=24)
    assert found == []
    assert (statistics.faces, statistics.small_faces) == (0, statistics.detections)


def test_overlap_is_the_intersection_over_union():
    assert overlap((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert overlap((0, 0, 2, 2), (2, 0, 4, 2)) == 0
