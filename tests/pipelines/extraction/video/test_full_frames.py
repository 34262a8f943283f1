"""A frame read again is the frame that the first pass saw, or is left out, whatever the container and the codec."""

import subprocess

import numpy as np
import pytest

from pipelines.extraction.config import MediaConfig
from pipelines.extraction.video.decode import Decoder
from pipelines.extraction.video.frame_clock import FrameIndex, Packet
from pipelines.extraction.video.full_frames import full_resolution_frames
from pipelines.extraction.video.probe import probe_media
from tests.support.ffmpeg import shipped_ffmpeg

MEDIA = MediaConfig(max_side_px=64)
COUNT, BITS, BLOCK, SOURCE_HZ = 150, 8, 32, 30
H264, MPEG2, MPEG4 = (
    "-c:v libx264 -preset veryfast -c:a aac",
    "-c:v mpeg2video -c:a mp2",
    "-c:v mpeg4 -c:a libmp3lame",
)
VP9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus"
# Container, its codecs, and whether these have B-frames.
KINDS = [
    ("mp4", H264, True),
    ("mov", MPEG4, True),
    ("mkv", "-c:v libx265 -preset ultrafast -x265-params log-level=none -c:a aac", True),
    ("webm", VP9, False),
    ("ts", H264, True),
    ("m2ts", H264, True),
    ("ts", MPEG2, True),
    ("mpg", MPEG2, True),
    ("vob", MPEG2, True),
    ("avi", H264 + " -bsf:v h264_mp4toannexb", True),
    ("avi", MPEG4, True),
    ("flv", H264, True),
    ("nut", MPEG4, True),
    ("mxf", "-c:v mpeg2video -c:a pcm_s16le", True),
    ("asf", "-c:v msmpeg4 -c:a wmav2", False),
    ("ogv", "-c:v libtheora -c:a libvorbis", False),
    ("3gp", H264, True),
]
CASES = [(*kind[:2], gop, b) for kind in KINDS for gop in (1, 12, 250) for b in ((0, 2) if kind[2] else (0,))]


def numbered():
    """(frames, height, width, 3) uint8: each frame shows its number in binary as light and dark blocks."""
    bits = (np.arange(COUNT)[:, None] >> np.arange(BITS)) & 1
    rows = np.repeat(np.stack([bits, 1 - bits], 1) * 170 + 40, BLOCK, axis=2)
    frames = np.repeat(rows, BLOCK * 2, axis=1).astype(np.uint8)
    return np.repeat(frames[..., None], 3, axis=3)


def number_shown(frame):
    """The number that a frame of any size shows."""
    height, width = frame.shape[:2]
    columns = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    bits = frame[height // 4, columns].mean(-1) > frame[3 * height // 4, columns].mean(-1)
    return int((bits << np.arange(BITS)).sum())


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    path = tmp_path_factory.mktemp("raw") / "numbered.rgb"
    numbered().tofile(path)
    return path


def encode(raw, path, codecs, *options):
    size = f"{BITS * BLOCK}x{BLOCK * 4}"
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(SOURCE_HZ), "-i", str(raw)]
    tone = ["-f", "lavfi", "-i", f"sine=f=220:r=48000:d={COUNT / SOURCE_HZ}"]
    command = [shipped_ffmpeg(), "-v", "error", "-y", *source, *tone, "-pix_fmt", "yuv420p", *codecs.split()]
    subprocess.run([*command, "-b:v", "2M", *options, str(path)], check=True)
    return path


def first_pass(path):
    probe = probe_media(path, MEDIA)
    with Decoder(path, probe, MEDIA) as decoder:
        return probe, [number_shown(frame.rgb) for frame in decoder.frames()], decoder.index


@pytest.mark.parametrize(("container", "codecs", "gop", "b_frames"), CASES)
def test_a_frame_read_again_is_the_frame_seen_first(tmp_path, raw, container, codecs, gop, b_frames):
    path = encode(raw, tmp_path / f"v.{container}", codecs, "-g", str(gop), "-bf", str(b_frames))
    probe, shown, index = first_pass(path)
    assert len(set(shown)) > 100
    numbers = sorted({0, 1, 40, 41, 77, len(shown) - 2, len(shown) - 1})
    again = dict(full_resolution_frames(path, probe, MEDIA, numbers, index))
    assert {number: number_shown(frame) for number, frame in again.items()} == {n: shown[n] for n in numbers}
    assert all(frame.shape == (BLOCK * 4, BITS * BLOCK, 3) for frame in again.values())


def test_a_frame_that_is_not_the_one_seen_is_left_out(tmp_path, raw):
    path = encode(raw, tmp_path / "v.mp4", H264)
    probe, _, index = first_pass(path)
    other = FrameIndex()
    for number in range(len(index)):
        place, checksum = index[number]
        other.append(Packet(place, 1, 0, checksum ^ (number == 60)))
    assert set(dict(full_resolution_frames(path, probe, MEDIA, [20, 60, 100], other))) == {20, 100}


def test_without_an_index_the_video_is_decoded_to_make_one(tmp_path, raw):
    path = encode(raw, tmp_path / "v.ts", H264, "-g", "250")
    probe, shown, _ = first_pass(path)
    again = dict(full_resolution_frames(path, probe, MEDIA, [3, 90]))
    assert {number: number_shown(frame) for number, frame in again.items()} == {3: shown[3], 90: shown[90]}


def test_a_video_without_audio_is_read_again(tmp_path, raw):
    path = encode(raw, tmp_path / "v.ts", H264, "-an", "-g", "250")
    probe, shown, _ = first_pass(path)
    again = dict(full_resolution_frames(path, probe, MEDIA, [3, 90]))
    assert {number: number_shown(frame) for number, frame in again.items()} == {3: shown[3], 90: shown[90]}


def test_a_number_behind_the_end_is_left_out(tmp_path, raw):
    path = encode(raw, tmp_path / "v.mp4", H264)
    probe, shown, index = first_pass(path)
    assert set(dict(full_resolution_frames(path, probe, MEDIA, [5, len(shown), 10_000], index))) == {5}


def test_a_recording_joined_of_two_sizes_gives_the_frames_of_both(tmp_path, raw):
    small = encode(raw, tmp_path / "a.ts", H264, "-g", "250")
    large = encode(raw, tmp_path / "b.ts", H264, "-vf", "scale=512:256", "-g", "250")
    joined = tmp_path / "v.ts"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    probe, shown, index = first_pass(joined)
    numbers = [30, len(shown) - 30]
    again = dict(full_resolution_frames(joined, probe, MEDIA, numbers, index))
    assert {number: number_shown(frame) for number, frame in again.items()} == {n: shown[n] for n in numbers}
