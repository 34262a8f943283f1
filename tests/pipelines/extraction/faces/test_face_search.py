"""Faces are searched where they are needed: whole frames now and then, small images in between."""

from pipelines.extraction.config import TrackConfig
from pipelines.extraction.faces.face_search import search_frames
from tests.support.numbered_frames import Finds, face, numbered_frames


def search(count, detector, cuts=(), number_of=int, **config):
    return list(search_frames(numbered_frames(count, cuts, number_of), detector, 25, TrackConfig(**config)))


def numbers(found, where):
    return [one.item.number for one in found if where(one)]


def test_faces_that_stay_are_searched_whole_four_times_less_than_in_parts():
    detector = Finds(lambda n: [face(60 + n), face(260 - n)])
    found = search(82, detector)
    assert [one.item.number for one in found] == list(range(82))
    assert numbers(found, lambda one: one.faces is not None) == [*range(0, 81, 5), 81]
    assert detector.whole == [0, 20, 40, 60, 80, 81]
    for one in found:
        if one.faces is not None:
            centres = [around.landmarks[2, 0] for around in one.faces]
            assert centres == [60 + one.item.number, 260 - one.item.number]


def test_a_face_that_comes_or_goes_is_found_as_early_as_with_whole_frames():
    """In the block from 20 to 40, one face comes at 27 and another goes at 33."""
    detector = Finds(lambda n: [face(60)] * (n < 33) + [face(200)] * (n >= 27))
    found = search(61, detector)
    seen = {one.item.number: sorted(around.landmarks[2, 0] for around in one.faces) for one in found if one.faces}
    assert seen[25] == [60]
    assert seen[30] == [60, 200]
    assert seen[35] == [200]


def test_a_face_that_is_not_where_it_is_expected_is_searched_in_the_whole_frame():
    """It jumps to the side and back between two whole frames, as in a fast turn."""
    detector = Finds(lambda n: [face(250 if 8 <= n <= 12 else 60)])
    found = search(41, detector)
    assert detector.whole == [0, 20, 10, 40]
    assert found[10].faces[0].landmarks[2, 0] == 250


def test_a_detector_that_finds_nothing_in_small_images_still_searches_as_often():
    detector = Finds(lambda n: [face(60 + n)], in_parts=False)
    found = search(41, detector)
    assert sorted(detector.whole) == list(range(0, 41, 5))
    assert [one.faces[0].landmarks[2, 0] for one in found if one.faces] == [60 + n for n in range(0, 41, 5)]


def test_every_shot_is_searched_whole_at_both_ends():
    detector = Finds(lambda n: [face(60)])
    search(60, detector, cuts=(23, 24))
    assert {0, 22, 23, 24, 59} <= set(detector.whole)


def test_an_image_that_does_not_change_is_searched_once():
    detector = Finds(lambda n: [face(60)])
    found = search(100, detector, number_of=lambda n: 0)
    assert len(detector.whole) == 1
    assert [one.item.number for one in found if one.searched][:1] == [0]
    assert all(len(one.faces) == 1 for one in found if one.faces is not None)


def test_faces_below_the_least_size_are_found_but_not_searched_for():
    """A crowd in the background comes and goes all the time."""
    detector = Finds(lambda n: [face(60), *[face(200, width=20)] * (n % 2)])
    found = search(81, detector)
    assert detector.whole == [0, 20, 40, 60, 80]
    assert all(len(one.faces) == 1 for one in found if one.faces)
