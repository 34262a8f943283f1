"""The whole chain: who speaks gives clips, who does not gives none and a reason, and no file raises."""

import csv
import io
import itertools
import mmap
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from pipelines.extraction import FILTERS, ExtractionConfig, Filter, extract
from pipelines.extraction.config import ClipConfig
from tests.support.mapped_memory import resident_kb
from tests.support.talking_portrait import SAMPLE_RATE_HZ, drifting, portrait, talking, voice, write_video

SECONDS = 4


@pytest.fixture(scope="module")
def audio():
    return voice(SECONDS, seed=0)


@pytest.fixture(scope="module")
def talking_video(tmp_path_factory, audio):
    return write_video(tmp_path_factory.mktemp("videos") / "talking.mp4", talking(audio, side=720), audio)


@pytest.fixture(scope="module")
def small_video(tmp_path_factory, audio):
    return write_video(tmp_path_factory.mktemp("videos") / "small.mp4", talking(audio, side=256), audio)


@pytest.fixture(scope="module")
def talking_extraction(talking_video):
    return extract(talking_video)


@pytest.fixture(scope="module")
def small_run(small_video):
    """The extraction of the small video and the reports to its hook: name, artifact, share done."""
    reports = []

    def hook(name, artifact=None, total=None, completed=None):
        reports.append((name, artifact, completed / total if total else 0.0))

    return extract(small_video, hook=hook), reports


def test_a_talking_face_gives_a_clip(talking_extraction):
    assert (talking_extraction.state, talking_extraction.reason) == ("done", "")
    (clip,) = talking_extraction.clips
    assert clip.start_s < 0.3
    assert clip.end_s == pytest.approx(SECONDS, abs=0.3)
    assert clip.speaking_score > 0.8
    x, y = (clip.box[0] + clip.box[2]) / 2, (clip.box[1] + clip.box[3]) / 2
    # The portrait's face is at (154, 97) of 310 pixels.
    assert (x, y) == (pytest.approx(0.50, abs=0.03), pytest.approx(0.32, abs=0.04))


def test_crops_come_from_the_full_resolution_in_order_of_time(talking_extraction):
    (clip,) = talking_extraction.clips
    times = [face.time_s for face in clip.faces]
    assert len(times) == 3
    assert times == sorted(times)
    assert clip.start_s <= times[0] < times[-1] <= clip.end_s
    for face in clip.faces:
        # The face is 93 pixels wide in the portrait's 310: 216 in the video's 720, but 192 in the analysed 640.
        assert face.size_px == pytest.approx(216, rel=0.08)
        image = cv2.imdecode(np.frombuffer(face.image, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (256, 256, 3)
        assert 0 < face.quality <= 1


def test_segments_hold_the_clips_audio(talking_extraction, audio):
    (clip,) = talking_extraction.clips
    (segment,) = clip.voices
    samples, rate_hz = soundfile.read(io.BytesIO(segment.audio))
    assert rate_hz == SAMPLE_RATE_HZ
    assert len(samples) == pytest.approx((segment.end_s - segment.start_s) * rate_hz, abs=1)
    original = audio[round(segment.start_s * rate_hz) :][: len(samples)]
    # AAC in between; a shift of one millisecond would bring this below 0.9.
    assert np.corrcoef(samples[: len(original)], original)[0, 1] > 0.95
    assert segment.snr_db > 20
    assert segment.speech_ratio > 0.6


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="no madvise here")
def test_what_was_read_of_the_audio_does_not_stay_in_memory(small_run):
    extraction, reports = small_run
    assert extraction.clips
    (audio,) = (artifact.audio for _, artifact, _ in reports if artifact is not None)
    assert resident_kb(audio) == 0
    assert np.asarray(audio).any()
    assert resident_kb(audio) > 0


def test_long_speech_is_cut_into_clips_and_segments_that_cover_it(small_video):
    limits = ClipConfig(max_s=2.5, segment_max_s=1.5, segment_min_s=0.5)
    extraction = extract(small_video, ExtractionConfig(clips=limits))
    assert len(extraction.clips) == 2
    assert extraction.clips[0].end_s == extraction.clips[1].start_s
    for clip in extraction.clips:
        assert clip.end_s - clip.start_s <= 2.5
        edges = [s.start_s for s in clip.voices] + [clip.voices[-1].end_s]
        assert (edges[0], edges[-1]) == (clip.start_s, clip.end_s)
        assert all(0.5 <= b - a <= 1.5 for a, b in itertools.pairwise(edges))


def test_the_funnel_adds_up(small_video, small_run):
    for limits in (ClipConfig(), ClipConfig(min_face_px=1000), ClipConfig(min_snr_db=59), ClipConfig(min_quality=1)):
        default = limits == ClipConfig()
        extraction = small_run[0] if default else extract(small_video, ExtractionConfig(clips=limits))
        funnel = extraction.funnel
        dropped = sum(count for name, count in funnel.items() if name.startswith("drop:"))
        assert funnel["candidates"] == len(extraction.candidates) == dropped + funnel["clips"] == 1
        assert funnel["clips"] == len(extraction.clips) == default
        assert (extraction.state, bool(extraction.reason)) == (
            ("done", False) if funnel["clips"] else ("empty", True)
        )


def test_every_candidate_has_an_outcome_and_a_dropped_one_a_thumbnail(small_video, talking_extraction):
    (dropped,) = extract(small_video, ExtractionConfig(clips=ClipConfig(min_face_px=1000))).candidates
    (kept,) = talking_extraction.candidates
    assert (dropped.outcome, kept.outcome) == ("small_face", "kept")
    assert cv2.imdecode(np.frombuffer(dropped.thumbnail, np.uint8), cv2.IMREAD_COLOR).shape == (96, 96, 3)
    assert (kept.start_s, kept.box) == (talking_extraction.clips[0].start_s, talking_extraction.clips[0].box)
    assert set(talking_extraction.seconds) == {"probe", "decode", "speech", "speaking", "voices", "crops"}
    assert all(seconds >= 0 for seconds in talking_extraction.seconds.values())


def test_the_hook_receives_every_step_and_the_analysis(small_run):
    extraction, reports = small_run
    assert list(dict.fromkeys(name for name, _, _ in reports)) == list(extraction.seconds)
    assert list(extraction.seconds) == ["probe", "decode", "speech", "speaking", "voices", "crops"]
    assert all(0 <= share <= 1 for _, _, share in reports)
    ((name, analysis),) = [(name, artifact) for name, artifact, _ in reports if artifact is not None]
    assert (name, len(analysis.tracks), len(analysis.scores)) == ("speaking", 1, 1)
    assert analysis.shots == (0,)
    assert len(analysis.scores[0]) == len(analysis.tracks[0])


def test_a_filter_of_ones_own_drops_candidates_with_its_reason(small_video):
    seen = []

    def left_half(segment, analysis, config):
        seen.append(analysis.span_s(segment))
        return segment.box[2] < 1

    extraction = extract(small_video, filters=[*FILTERS, Filter("left_half", left_half, on_crops=True)])
    assert [one.outcome for one in extraction.candidates] == ["left_half"]
    assert extraction.funnel["drop:left_half"] == 1
    assert extraction.reason == "every candidate was dropped, most often because: left half (1 of 1)"
    assert seen == [(one.start_s, one.end_s) for one in extraction.candidates]
    assert extract(small_video, filters=[]).clips


SILENT = {
    "voice_over": (lambda audio: (drifting(100), audio), "no visible speaker"),
    "muted": (lambda audio: (talking(audio), 0 * audio), "no speech"),
    "frozen": (lambda audio: ([portrait(0.0)] * 100, audio), "no visible speaker"),
    "no_face": (lambda audio: ([np.full((120, 160, 3), 90, np.uint8)] * 100, audio), "no face"),
    "no_audio_stream": (lambda audio: (talking(audio), None), "no audio stream"),
    "no_frame_stream": (lambda audio: (None, audio), "no video stream"),
}


@pytest.mark.parametrize("kind", SILENT)
def test_a_video_without_a_visible_speaker_gives_nothing_and_says_why(tmp_path, audio, kind):
    make, reason = SILENT[kind]
    extraction = extract(write_video(tmp_path / f"{kind}.mp4", *make(audio)))
    assert (extraction.state, extraction.clips) == ("empty", ())
    assert reason in extraction.reason


BROKEN = {
    "missing.mp4": None,
    "empty.mp4": b"",
    "text.mp4": b"this is not a video\n" * 50,
    "garbage.mkv": np.random.default_rng(0).integers(0, 256, 40_000, dtype=np.uint8).tobytes(),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_video_fails_with_a_reason(tmp_path, name):
    if BROKEN[name] is not None:
        (tmp_path / name).write_bytes(BROKEN[name])
    extraction = extract(tmp_path / name)
    assert extraction.state == "failed"
    assert extraction.reason
    assert "\n" not in extraction.reason


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_truncated_file_fails_with_a_reason(tmp_path, audio, suffix):
    whole = write_video(tmp_path / f"whole.{suffix}", drifting(100), audio)
    part = tmp_path / f"part.{suffix}"
    part.write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    extraction = extract(part)
    assert extraction.state == "failed"
    assert extraction.reason


def test_a_folder_fails_with_a_reason(tmp_path):
    assert extract(tmp_path).state == "failed"


@pytest.mark.shared
@pytest.mark.skipif("VCLIP_SHARED" not in os.environ, reason="VCLIP_SHARED does not point at the real data")
def test_real_talking_clips_are_found():
    folder = Path(os.environ["VCLIP_SHARED"]) / "data" / "clips"
    rows = list(csv.DictReader((folder / "clips.csv").open()))
    clean = [row["file"] for row in rows if row["kind"] == "clean" and float(row["seconds"]) >= 2.5]
    chosen = clean[::6]
    found = [name for name in chosen if extract(folder / name).clips]
    assert len(found) >= 0.85 * len(chosen), sorted(set(chosen) - set(found))
