"""Files that are no good video: each ends as an extraction whose reason a person understands."""

import io
import os
import zipfile

import cv2
import numpy as np
import pytest

from pipelines.extraction import extract
from tests.support.flash_and_beep import H264, audio_source, ffmpeg, frames_source, make

KEY = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "00" * 16, "-encryption_kid", "11" * 16)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A video with nobody in it."""
    return make(tmp_path_factory.mktemp("good") / "v.mp4").read_bytes()


def boxes(data: bytes) -> dict[str, tuple[int, int]]:
    """Where the outermost boxes of an MP4 file start and end."""
    found, at = {}, 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        found[data[at + 4 : at + 8].decode()] = (at, at + size)
        at += size
    return found


def without(data: bytes, name: str) -> bytes:
    start, end = boxes(data)[name]
    return data[:start] + data[end:]


def zeroed(data: bytes, name: str) -> bytes:
    start, end = boxes(data)[name]
    return data[: start + 8] + bytes(end - start - 8) + data[end:]


def frame(suffix: str) -> bytes:
    return cv2.imencode(suffix, np.full((64, 64, 3), 90, np.uint8))[1].tobytes()


def zip_file(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("video.mp4", data)
    return buffer.getvalue()


# Name, what makes its bytes of a good MP4 file, state, and what the reason says.
BYTES = {
    "only_the_first_box.mp4": (lambda data: data[: boxes(data)["ftyp"][1]], "failed", "not a readable video"),
    "no_index.mp4": (lambda data: without(data, "moov"), "failed", "not a readable video"),
    "index_of_zeros.mp4": (lambda data: zeroed(data, "moov"), "failed", "neither video nor audio"),
    "no_packets.mp4": (lambda data: without(data, "mdat"), "failed", "cannot be decoded|no frame could"),
    "packets_of_zeros.mp4": (lambda data: zeroed(data, "mdat"), "failed", "cannot be decoded|no frame could"),
    "packets_of_noise.mp4": (
        lambda data: (
            data[: boxes(data)["mdat"][0] + 8]
            + np.random.default_rng(0).bytes(boxes(data)["mdat"][1] - boxes(data)["mdat"][0] - 8)
            + data[boxes(data)["mdat"][1] :]
        ),
        "failed",
        "cannot be decoded|no frame could",
    ),
    "all_zeros.mp4": (lambda data: bytes(len(data)), "failed", "not a readable video"),
    "one_byte.mp4": (lambda data: b"\0", "failed", "not a readable video"),
    "web_page.mp4": (
        lambda data: b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n" * 9,
        "failed",
        "not a read",
    ),
    "archive.mp4": (zip_file, "failed", "not a readable video"),
    "document.mp4": (lambda data: b"%PDF-1.7\n" + bytes(range(256)) * 99, "failed", "not a readable video"),
    "subtitles.mp4": (lambda data: b"1\n00:00:00,000 --> 00:00:02,000\nHello.\n\n" * 9, "failed", "neither video"),
    "playlist.mp4": (lambda data: b"#EXTM3U\n#EXTINF:3,\nother.ts\n#EXT-X-ENDLIST\n", "failed", "names other files"),
    "list.mp4": (lambda data: b"ffconcat version 1.0\nfile other.mp4\n", "failed", "names other files"),
    "frame_png.mp4": (lambda data: frame(".png"), "empty", "no audio stream"),
    "frame_jpeg.mp4": (lambda data: frame(".jpg"), "empty", "no audio stream"),
    "frame_webp.mp4": (lambda data: frame(".webp"), "empty", "no audio stream"),
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_are_no_video(tmp_path, good, name):
    make_bytes, state, reason = BYTES[name]
    (tmp_path / name).write_bytes(make_bytes(good))
    ends_as(tmp_path / name, state, reason)


AUDIO = ("-f", "lavfi", "-i", audio_source())
FRAMES = ("-f", "lavfi", "-i", frames_source())
# Name, ffmpeg's arguments, state, and what the reason says.
MADE = {
    "animation.gif": (FRAMES, "empty", "no audio stream"),
    "animation.webp": ((*FRAMES, "-c:v", "libwebp_anim"), "empty", "no audio stream"),
    "animation.apng": (FRAMES, "empty", "no audio stream"),
    "audio.wav": (AUDIO, "empty", "no video stream"),
    "encrypted.mp4": ((*FRAMES, *AUDIO, *H264, *KEY), "failed", "cannot be decoded|no frame could"),
    "one_frame.mp4": ((*FRAMES, *AUDIO, *H264, "-frames:v", 1), "empty", "no face found"),
    "tiny.mkv": ((*FRAMES, *AUDIO, "-c:v", "ffv1", "-c:a", "flac", "-s", "2x2"), "empty", "no face found"),
}


@pytest.mark.parametrize("name", MADE)
def test_videos_that_hold_too_little(tmp_path, name):
    arguments, state, reason = MADE[name]
    ffmpeg(*arguments, tmp_path / name)
    ends_as(tmp_path / name, state, reason)


@pytest.mark.parametrize("suffix", ["ts", "mkv", "avi", "webm"])
def test_a_download_that_broke_off(tmp_path, suffix):
    encoding = {"webm": ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libvorbis"), "avi": ("-c:v", "mpeg4")}
    data = make(tmp_path / f"whole.{suffix}", *encoding.get(suffix, H264)).read_bytes()
    part = tmp_path / f"part.{suffix}"
    part.write_bytes(data[: len(data) // 3])
    if suffix in ("ts", "avi"):
        # These do not say how long they should be: what is there is all that there is.
        ends_as(part, "empty", "no face found")
    else:
        ends_as(part, "failed", "ends early|no frame could be decoded|not a readable video")


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "nowhere.mp4")
    ends_as(tmp_path, "failed", "a folder")
    ends_as(tmp_path / "pipe.mp4", "failed", "not a regular file")
    ends_as(tmp_path / "dangling.mp4", "failed", "No such file")


def ends_as(path, state, reason):
    extraction = extract(path)
    print(f"{path.name}: {extraction.state}: {extraction.reason}")
    assert extraction.state == state
    assert any(part in extraction.reason for part in reason.split("|")), extraction.reason
    assert "\n" not in extraction.reason
    assert extraction.clips == ()
