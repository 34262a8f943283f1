"""`vclip inspect`: what is drawn stands where it was seen, and what is written plays."""

import itertools
import json

import av
import cv2
import numpy as np
import pytest

from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.drop_reasons import in_words
from pipelines.extraction.faces.tracks import Track
from pipelines.extraction.pipeline import Trace
from pipelines.extraction.speech.activity import FRAME_S, Speech
from pipelines.extraction.types import KEPT, Candidate, Extraction
from pipelines.inspection.draw import GOOD, draw_faces, score_colour
from pipelines.inspection.job import PAGE_S, Film
from pipelines.inspection.sheet import MAX_SECTIONS, WIDTH_PX, ContactSheet
from pipelines.inspection.timeline import MAX_LANES, Timeline, clock
from pipelines.inspection.view import Seen
from tests.support.talking_portrait import SAMPLE_RATE_HZ, drifting, talking, voice, write_video

RATE_HZ, SIZE = 25, (320, 240)
SPEAKER, LISTENER = (40, 60, 120, 160), (200, 60, 280, 160)  # pixels
SKIN = (200, 40, 160)  # a colour that nothing else has


def _track(first: int, count: int, box: tuple[float, ...]) -> Track:
    boxes = np.tile(np.array(box, np.float32), (count, 1))
    marks = np.tile(
        np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32), (count, 1, 1)
    )
    landmarks = boxes[:, None, :2] + marks * (boxes[:, None, 2:] - boxes[:, None, :2])
    return Track(0, first, SIZE, boxes, landmarks, np.zeros((count, 1)), np.ones(count), b"")


def _seen(tmp_path, tracks: list[Track], scores: list[float], candidates: list[Candidate], seconds: float) -> Seen:
    frames = int(seconds / FRAME_S)
    power = np.full(frames, 0.01, np.float32)
    speech = Speech(np.full(frames, 0.9, np.float32), power, ((0.5, seconds - 0.5),), np.ones(frames, bool))
    sound = (3000 * np.sin(np.arange(int(seconds * SAMPLE_RATE_HZ)) * 0.2)).astype(np.int16)
    rows = [np.full(len(t), s, np.float32) for t, s in zip(tracks, scores, strict=True)]
    trace = Trace(RATE_HZ, [0], tracks, rows, speech, sound)
    extraction = Extraction("done", "", seconds, (), {}, tuple(candidates))
    return Seen(tmp_path / "film.mp4", extraction, trace, ExtractionConfig())


@pytest.fixture
def seen(tmp_path) -> Seen:
    """Two seconds of two faces: one speaks and is kept, the other is not."""
    tracks = [_track(0, 50, SPEAKER), _track(0, 50, LISTENER)]
    boxes = [tuple(np.array(box) / (*SIZE, *SIZE)) for box in (SPEAKER, LISTENER)]
    kept, dropped = (Candidate(0.5, 1.5, box, i, s, fate) for i, (box, s, fate) in enumerate(
        zip(boxes, (0.9, 0.05), (KEPT, "not_speaking"), strict=True)
    ))  # fmt: skip
    return _seen(tmp_path, tracks, [0.9, 0.05], [kept, dropped], 2.0)


def _picture() -> np.ndarray:
    picture = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    for x0, y0, x1, y1 in (SPEAKER, LISTENER):
        picture[y0:y1, x0:x1] = SKIN
    return picture


def _near(pixels: np.ndarray, colour: tuple[int, ...], tolerance: int = 30) -> np.ndarray:
    return (np.abs(pixels.astype(int) - colour) <= tolerance).all(-1)


def test_boxes_have_the_colour_of_their_score_at_any_size(seen):
    for scale in (1, 3):
        large = cv2.resize(_picture(), None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
        drawn = draw_faces(large, seen, 20)
        for (x0, y0, _, y1), score in ((SPEAKER, 0.9), (LISTENER, 0.05)):
            edge = drawn[scale * (y0 + 30) : scale * (y1 - 30), scale * x0]
            assert _near(edge, score_colour(score), 3).all()
        assert drawn.shape == large.shape


def test_landmarks_are_marked_where_they_are(seen):
    drawn = draw_faces(_picture(), seen, 20)
    x, y = seen.trace.tracks[0].landmarks[20][2].round().astype(int)
    assert _near(drawn[y, x], score_colour(0.9), 3)
    assert _near(drawn[y, x + 15], SKIN, 3)


def test_nothing_is_drawn_where_no_face_was_followed(seen):
    np.testing.assert_array_equal(draw_faces(_picture(), seen, 50), _picture())


def test_names_at_the_edge_stay_within_the_picture(tmp_path):
    track = _track(0, 5, (0, 0, 30, 40))
    candidate = Candidate(0.0, 1.0, (0, 0, 0.1, 0.1), 0, 0.5, "not_speaking")
    drawn = draw_faces(_picture(), _seen(tmp_path, [track], [0.5], [candidate], 1.0), 2)
    name = draw_faces(np.zeros((400, 700, 3), np.uint8), _seen(tmp_path, [track], [0.5], [], 1.0), 2)
    assert drawn.shape == _picture().shape
    assert _near(name[2:20], score_colour(0.5), 3).any()


def test_labels_of_faces_side_by_side_do_not_cover_each_other(tmp_path):
    tracks = [_track(0, 5, (100, 60, 130, 100)), _track(0, 5, (135, 60, 165, 100))]
    drawn = draw_faces(np.zeros((240, 320, 3), np.uint8), _seen(tmp_path, tracks, [0.0, 1.0], [], 1.0), 2)
    alone = [
        draw_faces(np.zeros((240, 320, 3), np.uint8), _seen(tmp_path, [t], [s], [], 1.0), 2)
        for t, s in zip(tracks, (0.0, 1.0), strict=True)
    ]
    for one, score in zip(alone, (0.0, 1.0), strict=True):
        assert _near(drawn, score_colour(score), 3).sum() == pytest.approx(
            _near(one, score_colour(score), 3).sum(), rel=0.05
        )


def test_tracks_in_one_lane_are_never_in_view_together(tmp_path):
    rng = np.random.default_rng(0)
    tracks = [
        _track(int(a), int(n), SPEAKER)
        for a, n in zip(rng.integers(0, 200, 40), rng.integers(2, 60, 40), strict=True)
    ]
    seen = _seen(tmp_path, tracks, [0.5] * 40, [], 12.0)
    lanes, hidden = Timeline(seen, 2.0, 8.0, 1280).lanes
    assert len(lanes) <= MAX_LANES
    for lane in lanes:
        for a, b in itertools.combinations(lane, 2):
            assert tracks[a].end <= tracks[b].first or tracks[b].end <= tracks[a].first
    shown = {i for i, t in enumerate(tracks) if t.first < 200 and t.end > 50}
    assert len(shown) == sum(map(len, lanes)) + hidden
    assert shown >= {i for lane in lanes for i in lane}


def test_candidates_get_a_lane_before_other_faces(tmp_path):
    tracks = [_track(0, 50, SPEAKER) for _ in range(MAX_LANES + 3)]
    seen = _seen(
        tmp_path, tracks, [0.5] * len(tracks), [Candidate(0, 1, (0, 0, 1, 1), len(tracks) - 1, 0.5, KEPT)], 2.0
    )
    lanes, hidden = Timeline(seen, 0.0, 2.0, 1280).lanes
    assert [len(tracks) - 1] in lanes
    assert hidden == 3


def test_places_on_the_timeline_and_times_are_inverse(seen):
    timeline = Timeline(seen, 3.0, 7.0, 1280)
    for time_s in (3.0, 4.25, 7.0):
        assert timeline.time_s(timeline.x(time_s)) == pytest.approx(time_s)


def test_the_film_plays_in_a_browser_with_all_pictures_and_the_whole_sound(seen, tmp_path):
    film = Film(tmp_path / "out.mp4", seen, SIZE[0] / SIZE[1])
    for _ in range(50):
        film.add(_picture())
    film.close()
    with av.open(str(tmp_path / "out.mp4")) as out:
        video, audio = out.streams.video[0], out.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert audio.codec_context.name == "aac"
        pictures = [frame.to_ndarray(format="rgb24") for frame in out.decode(video)]
        out.seek(0)
        sound = np.concatenate([frame.to_ndarray()[0] for frame in out.decode(audio)])
    assert len(pictures) == 50
    assert len(sound) / SAMPLE_RATE_HZ == pytest.approx(2.0, abs=0.13)
    assert np.abs(sound).max() == pytest.approx(3000 / 32768, rel=0.2)
    # The cursor is the only thing that moves in the timeline; the frame of a kept clip is green.
    moved = np.flatnonzero((np.abs(pictures[10].astype(int) - pictures[40])[-60:].sum((0, 2))) > 2000)
    line = Timeline(seen, 0.0, 2.0, pictures[0].shape[1])
    assert abs(moved.min() - line.x(0.4)) < 4
    assert abs(moved.max() - line.x(1.6)) < 4
    left = (pictures[0].shape[1] - 960) // 2
    assert _near(pictures[25][300:500, left + 3], GOOD).mean() > 0.9
    assert not _near(pictures[2][300:500, left + 3], GOOD).any()


def test_a_long_video_turns_its_pages(seen, tmp_path):
    long = _seen(tmp_path, seen.trace.tracks, [0.9, 0.05], [], 3 * PAGE_S - 1)
    pages = Film(tmp_path / "out.mp4", long, 1.0)._pages
    assert [pages[0].start_s, *(page.end_s for page in pages)] == pytest.approx(np.linspace(0, 3 * PAGE_S - 1, 4))


def test_the_sheet_shows_frames_faces_and_verdicts(seen, tmp_path):
    sheet = ContactSheet(seen, SIZE[0] / SIZE[1])
    for number in range(50):
        sheet.add(number, _picture())
    sheet.save(tmp_path / "sheet.jpg")
    image = cv2.imread(str(tmp_path / "sheet.jpg"))[..., ::-1]
    assert image.shape[1] == WIDTH_PX
    assert _near(image, SKIN).mean() > 0.05
    assert _near(image, GOOD).sum(1).max() > 0.4 * WIDTH_PX  # the bar of the kept clip, half of the time


def test_hours_of_video_make_no_larger_sheet(tmp_path):
    tracks = [_track(i * 100, 90, SPEAKER) for i in range(1800)]  # two hours
    seen = _seen(tmp_path, tracks, [0.5] * len(tracks), [], 7200.0)
    sheet = ContactSheet(seen, 16 / 9)
    for number in range(180_000):
        sheet.add(number, np.zeros((9, 16, 3), np.uint8))
    held = len(sheet._frames) + len(sheet._faces)
    assert 50 < held < 40 * MAX_SECTIONS
    assert len(sheet._sections) == MAX_SECTIONS


def test_every_fate_is_said_in_words():
    assert in_words("not_speaking") != "not speaking"
    assert in_words("a_new_reason") == "a new reason"


@pytest.mark.parametrize(
    ("time_s", "step_s", "said"), [(5, 1, "0:05"), (65.04, 0.1, "1:05.0"), (3725, 60, "1:02:05")]
)
def test_times_are_said_as_clocks_do(time_s, step_s, said):
    assert clock(time_s, step_s) == said


def test_inspect_writes_both_files_and_lists_the_candidates(vclip, tmp_path):
    sound = voice(4.0, seed=1)
    video = write_video(tmp_path / "ein Gespräch.mp4", talking(sound), sound)
    said = vclip("inspect", video, "--out", tmp_path / "new" / "out.mp4", "--sheet", tmp_path / "sheet.jpg", "--json")
    assert said.code == 0, said.err
    result = json.loads(said.out)
    assert result["state"] == "done"
    assert [c["fate"] for c in result["candidates"]] == ["kept"]
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"out.mp4"}
    assert cv2.imread(str(tmp_path / "sheet.jpg")).shape[1] == WIDTH_PX
    with av.open(str(tmp_path / "new" / "out.mp4")) as out:
        assert sum(1 for _ in out.decode(video=0)) == 100
        out.seek(0)
        heard = np.concatenate([frame.to_ndarray()[0] for frame in out.decode(audio=0)])
    assert np.abs(heard).max() == pytest.approx(np.abs(sound).max(), rel=0.3)


def test_what_was_dropped_is_said_with_its_reason(vclip, tmp_path, monkeypatch):
    sound = voice(3.0, seed=2)
    write_video(tmp_path / "over.mp4", drifting(75), sound)
    monkeypatch.chdir(tmp_path)
    said = vclip("inspect", "over.mp4")
    assert said.code == 0, said.err
    assert in_words("not_speaking") in said.out
    assert (tmp_path / "over.inspected.mp4").stat().st_size > 10_000
    assert (tmp_path / "over.inspected.jpg").stat().st_size > 10_000


def test_a_file_that_cannot_be_drawn_on_is_one_line(vclip, tmp_path):
    (tmp_path / "text.mp4").write_text("no video\n")
    sound_only = write_video(tmp_path / "sound.mp4", None, voice(2.0, seed=3))
    video = write_video(tmp_path / "video.mp4", drifting(5), voice(0.2, seed=3))
    before = video.read_bytes()
    for args, named in (
        (("missing.mp4",), "missing.mp4"),
        ((tmp_path / "text.mp4",), "text.mp4"),
        ((sound_only,), "no video stream"),
        ((video, "--out", tmp_path / "out.avi"), ".avi"),
        ((video, "--out", video), "the video itself"),
    ):
        said = vclip("inspect", *args, *([] if "--out" in args else ["--out", tmp_path / "out.mp4"]))
        assert said.code == 2, named
        assert named in said.err
        assert "Traceback" not in said.err
    assert video.read_bytes() == before
    assert not list(tmp_path.glob("*out*")) + list(tmp_path.glob(".*part*"))
