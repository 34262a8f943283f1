"""`vclip inspect`: overlays lie where faces were measured, and the written files play."""

import itertools
import json
import re

import av
import cv2
import numpy as np
import pytest

from pipelines.extraction.candidates import VideoAnalysis
from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.faces.tracks import Track
from pipelines.extraction.speech.vad import FRAME_S, Speech
from pipelines.extraction.types import KEPT, Candidate, Extraction, outcome_in_words
from pipelines.inspection.drawing import GOOD, draw_faces, score_colour
from pipelines.inspection.sheet import MAX_SECTIONS, WIDTH_PX, ContactSheet
from pipelines.inspection.timeline import MAX_LANES, Timeline, clock
from pipelines.inspection.video_writer import PAGE_S, VideoWriter
from pipelines.inspection.view import View
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


def _view(tmp_path, tracks: list[Track], scores: list[float], candidates: list[Candidate], seconds: float) -> View:
    frames = int(seconds / FRAME_S)
    power = np.full(frames, 0.01, np.float32)
    speech = Speech(np.full(frames, 0.9, np.float32), power, ((0.5, seconds - 0.5),), np.ones(frames, bool))
    second = (3000 * np.sin(np.arange(SAMPLE_RATE_HZ) * 0.2)).astype(np.int16)
    audio = np.resize(second, int(seconds * SAMPLE_RATE_HZ))  # repeats the second
    rows = [np.full(len(t), s, np.float32) for t, s in zip(tracks, scores, strict=True)]
    analysis = VideoAnalysis(RATE_HZ, (0,), tuple(tracks), speech, audio, tuple(rows))
    extraction = Extraction("done", "", seconds, (), {}, tuple(candidates))
    return View(tmp_path / "writer.mp4", extraction, analysis, ExtractionConfig())


@pytest.fixture
def view(tmp_path) -> View:
    """Two seconds of two faces: one speaks and is kept, the other is not."""
    tracks = [_track(0, 50, SPEAKER), _track(0, 50, LISTENER)]
    boxes = [tuple(np.array(box) / (*SIZE, *SIZE)) for box in (SPEAKER, LISTENER)]
    kept, dropped = (Candidate(0.5, 1.5, box, i, s, outcome) for i, (box, s, outcome) in enumerate(
        zip(boxes, (0.9, 0.05), (KEPT, "not_speaking"), strict=True)
    ))  # fmt: skip
    return _view(tmp_path, tracks, [0.9, 0.05], [kept, dropped], 2.0)


def _frame() -> np.ndarray:
    frame = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    for x0, y0, x1, y1 in (SPEAKER, LISTENER):
        frame[y0:y1, x0:x1] = SKIN
    return frame


def _near(pixels: np.ndarray, colour: tuple[int, ...], tolerance: int = 30) -> np.ndarray:
    return (np.abs(pixels.astype(int) - colour) <= tolerance).all(-1)


def test_boxes_have_the_colour_of_their_score_at_any_size(view):
    for scale in (1, 3):
        large = cv2.resize(_frame(), None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
        drawn = draw_faces(large, view, 20)
        for (x0, y0, _, y1), score in ((SPEAKER, 0.9), (LISTENER, 0.05)):
            edge = drawn[scale * (y0 + 30) : scale * (y1 - 30), scale * x0]
            assert _near(edge, score_colour(score), 3).all()
        assert drawn.shape == large.shape


def test_landmarks_are_marked_where_they_are(view):
    drawn = draw_faces(_frame(), view, 20)
    x, y = view.analysis.tracks[0].landmarks[20][2].round().astype(int)
    assert _near(drawn[y, x], score_colour(0.9), 3)
    assert _near(drawn[y, x + 15], SKIN, 3)


def test_nothing_is_drawn_where_no_face_was_followed(view):
    np.testing.assert_array_equal(draw_faces(_frame(), view, 50), _frame())


def test_names_at_the_edge_stay_within_the_frame(tmp_path):
    track = _track(0, 5, (0, 0, 30, 40))
    candidate = Candidate(0.0, 1.0, (0, 0, 0.1, 0.1), 0, 0.5, "not_speaking")
    drawn = draw_faces(_frame(), _view(tmp_path, [track], [0.5], [candidate], 1.0), 2)
    name = draw_faces(np.zeros((400, 700, 3), np.uint8), _view(tmp_path, [track], [0.5], [], 1.0), 2)
    assert drawn.shape == _frame().shape
    assert _near(name[2:20], score_colour(0.5), 3).any()


def test_labels_of_faces_side_by_side_do_not_cover_each_other(tmp_path):
    tracks = [_track(0, 5, (100, 60, 130, 100)), _track(0, 5, (135, 60, 165, 100))]
    drawn = draw_faces(np.zeros((240, 320, 3), np.uint8), _view(tmp_path, tracks, [0.0, 1.0], [], 1.0), 2)
    alone = [
        draw_faces(np.zeros((240, 320, 3), np.uint8), _view(tmp_path, [t], [s], [], 1.0), 2)
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
    view = _view(tmp_path, tracks, [0.5] * 40, [], 12.0)
    lanes, hidden = Timeline(view, 2.0, 8.0, 1280).lanes
    assert len(lanes) <= MAX_LANES
    for lane in lanes:
        for a, b in itertools.combinations(lane, 2):
            assert tracks[a].end <= tracks[b].first or tracks[b].end <= tracks[a].first
    shown = {i for i, t in enumerate(tracks) if t.first < 200 and t.end > 50}
    assert len(shown) == sum(map(len, lanes)) + hidden
    assert shown >= {i for lane in lanes for i in lane}


def test_candidates_get_a_lane_before_other_faces(tmp_path):
    tracks = [_track(0, 50, SPEAKER) for _ in range(MAX_LANES + 3)]
    view = _view(
        tmp_path, tracks, [0.5] * len(tracks), [Candidate(0, 1, (0, 0, 1, 1), len(tracks) - 1, 0.5, KEPT)], 2.0
    )
    lanes, hidden = Timeline(view, 0.0, 2.0, 1280).lanes
    assert [len(tracks) - 1] in lanes
    assert hidden == 3


def test_places_on_the_timeline_and_times_are_inverse(view):
    timeline = Timeline(view, 3.0, 7.0, 1280)
    for time_s in (3.0, 4.25, 7.0):
        assert timeline.time_s(timeline.x(time_s)) == pytest.approx(time_s)


def test_the_video_plays_in_a_browser_with_all_frames_and_the_whole_audio(view, tmp_path):
    writer = VideoWriter(tmp_path / "out.mp4", view, SIZE[0] / SIZE[1])
    for _ in range(50):
        writer.add(_frame())
    writer.close()
    with av.open(str(tmp_path / "out.mp4")) as out:
        video, audio = out.streams.video[0], out.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert audio.codec_context.name == "aac"
        frames = [frame.to_ndarray(format="rgb24") for frame in out.decode(video)]
        out.seek(0)
        audio = np.concatenate([frame.to_ndarray()[0] for frame in out.decode(audio)])
    assert len(frames) == 50
    assert len(audio) / SAMPLE_RATE_HZ == pytest.approx(2.0, abs=0.13)
    assert np.abs(audio).max() == pytest.approx(3000 / 32768, rel=0.2)
    # The cursor is the only thing that moves in the timeline; the frame of a kept clip is green.
    moved = np.flatnonzero((np.abs(frames[10].astype(int) - frames[40])[-60:].sum((0, 2))) > 2000)
    line = Timeline(view, 0.0, 2.0, frames[0].shape[1])
    assert abs(moved.min() - line.x(0.4)) < 4
    assert abs(moved.max() - line.x(1.6)) < 4
    left = (frames[0].shape[1] - 960) // 2
    assert _near(frames[25][300:500, left + 3], GOOD).mean() > 0.9
    assert not _near(frames[2][300:500, left + 3], GOOD).any()


def test_a_long_video_turns_its_pages(view, tmp_path):
    long = _view(tmp_path, view.analysis.tracks, [0.9, 0.05], [], 3 * PAGE_S - 1)
    pages = VideoWriter(tmp_path / "out.mp4", long, 1.0).pages
    assert [pages[0].start_s, *(page.end_s for page in pages)] == pytest.approx(np.linspace(0, 3 * PAGE_S - 1, 4))


def test_the_sheet_shows_frames_faces_and_outcomes(view, tmp_path):
    sheet = ContactSheet(view, SIZE[0] / SIZE[1])
    for number in range(50):
        sheet.add(number, _frame())
    sheet.save(tmp_path / "sheet.jpg")
    image = cv2.imread(str(tmp_path / "sheet.jpg"))[..., ::-1]
    assert image.shape[1] == WIDTH_PX
    assert _near(image, SKIN).mean() > 0.05
    assert _near(image, GOOD).sum(1).max() > 0.4 * WIDTH_PX  # the bar of the kept clip, half of the time


def test_hours_of_video_make_no_larger_sheet(tmp_path):
    tracks = [_track(i * 100, 90, SPEAKER) for i in range(1800)]  # two hours
    view = _view(tmp_path, tracks, [0.5] * len(tracks), [], 7200.0)
    sheet = ContactSheet(view, 16 / 9)
    for number in range(180_000):
        sheet.add(number, np.zeros((9, 16, 3), np.uint8))
    held = len(sheet.frames) + len(sheet.faces)
    assert 50 < held < 40 * MAX_SECTIONS
    assert len(sheet.sections) == MAX_SECTIONS


def test_every_outcome_has_words():
    assert outcome_in_words("not_speaking") != "not speaking"
    assert outcome_in_words("a_new_reason") == "a new reason"


@pytest.mark.parametrize(
    ("time_s", "step_s", "answer"), [(5, 1, "0:05"), (65.04, 0.1, "1:05.0"), (3725, 60, "1:02:05")]
)
def test_times_are_written_as_on_a_clock(time_s, step_s, answer):
    assert clock(time_s, step_s) == answer


def test_inspect_writes_both_files_and_lists_the_candidates(vclip, tmp_path):
    audio = voice(4.0, seed=1)
    video = write_video(tmp_path / "ein Gespräch.mp4", talking(audio), audio)
    answer = vclip(
        "inspect", video, "--out", tmp_path / "new" / "out.mp4", "--sheet", tmp_path / "sheet.jpg", "--json"
    )
    assert answer.code == 0, answer.err
    assert re.search(r" extract: 4 s of video in \S+ s\n", answer.err)
    result = json.loads(answer.out)
    assert result["state"] == "done"
    assert [c["fate"] for c in result["candidates"]] == ["kept"]
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"out.mp4"}
    assert cv2.imread(str(tmp_path / "sheet.jpg")).shape[1] == WIDTH_PX
    with av.open(str(tmp_path / "new" / "out.mp4")) as out:
        assert sum(1 for _ in out.decode(video=0)) == 100
        out.seek(0)
        samples = np.concatenate([frame.to_ndarray()[0] for frame in out.decode(audio=0)])
    assert np.abs(samples).max() == pytest.approx(np.abs(audio).max(), rel=0.3)


def test_a_dropped_candidate_is_listed_with_its_reason(vclip, tmp_path, monkeypatch):
    audio = voice(3.0, seed=2)
    write_video(tmp_path / "over.mp4", drifting(75), audio)
    monkeypatch.chdir(tmp_path)
    answer = vclip("inspect", "over.mp4")
    assert answer.code == 0, answer.err
    assert outcome_in_words("not_speaking") in answer.out
    assert (tmp_path / "over.inspected.mp4").stat().st_size > 10_000
    assert (tmp_path / "over.inspected.jpg").stat().st_size > 10_000


def test_a_file_that_cannot_be_drawn_on_is_one_line(vclip, tmp_path):
    (tmp_path / "text.mp4").write_text("no video\n")
    audio_only = write_video(tmp_path / "audio.mp4", None, voice(2.0, seed=3))
    video = write_video(tmp_path / "video.mp4", drifting(5), voice(0.2, seed=3))
    before = video.read_bytes()
    for args, named in (
        (("missing.mp4",), "missing.mp4"),
        ((tmp_path / "text.mp4",), "text.mp4"),
        ((audio_only,), "no video stream"),
        ((video, "--out", tmp_path / "out.avi"), ".avi"),
        ((video, "--out", video), "the video itself"),
    ):
        answer = vclip("inspect", *args, *([] if "--out" in args else ["--out", tmp_path / "out.mp4"]))
        assert answer.code == 2, named
        assert named in answer.err
        assert "Traceback" not in answer.err
    assert video.read_bytes() == before
    assert not list(tmp_path.glob("*out*")) + list(tmp_path.glob(".*part*"))
