"""Limits: no file takes more time, memory or disk than it may, and a killed worker leaves nothing behind."""

import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import av
import pytest

from pipelines.extraction.config import MediaConfig
from pipelines.extraction.video.audio_file import AudioFile
from pipelines.extraction.video.decode import BURST, Decoder
from pipelines.extraction.video.ffmpeg import run_ffmpeg
from pipelines.extraction.video.limits import MediaError, dies_with_parent
from pipelines.extraction.video.probe import probe_media
from tests.support.flash_and_beep import MEDIA, audio_source, decoded, ffmpeg, flash_s, frames_source, make

linux = pytest.mark.skipif(sys.platform != "linux", reason="limits on processes are Linux's")


def retimed(source: Path, path: Path, shift_s) -> Path:
    """A copy with every presentation time moved by `shift_s(kind, seconds)`."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        streams = {s.index: new.add_stream_from_template(s) for s in old.streams}
        for packet in old.demux():
            if packet.dts is None:
                continue
            kind, base = packet.stream.type, packet.time_base
            shift = round(shift_s(kind, float(packet.pts * base)) / base)
            packet.pts += shift
            packet.stream = streams[packet.stream.index]
            new.mux(packet)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return make(tmp_path_factory.mktemp("plain") / "v.mkv")


@pytest.mark.parametrize("kind", ["video", "audio"])
def test_what_comes_after_a_jump_of_hours_is_left_out(tmp_path, plain, kind):
    path = retimed(plain, tmp_path / "v.mkv", lambda of, time_s: 7200 if of == kind and time_s > 2 else 0)
    frames, audio, probe = decoded(path)
    assert probe.duration_s > 7000
    assert len(frames) == pytest.approx(50 if kind == "video" else 75, abs=3)
    assert len(audio) == pytest.approx((48_000 if kind == "video" else 32_000), abs=3200)
    assert flash_s(frames) == pytest.approx(1.0, abs=0.05)


def test_a_single_time_in_the_future_costs_one_frame(tmp_path, plain):
    path = retimed(plain, tmp_path / "v.mkv", lambda of, time_s: 7200 if of == "video" and 0.7 < time_s < 0.73 else 0)
    frames, _, _ = decoded(path)
    assert len(frames) == pytest.approx(75, abs=2)
    assert flash_s(frames) == pytest.approx(1.0, abs=0.05)


def test_frames_that_start_hours_after_the_audio_are_an_error_that_says_so(tmp_path, plain):
    path = retimed(plain, tmp_path / "v.mkv", lambda of, time_s: 7200 if of == "video" else 0)
    with pytest.raises(MediaError, match=r"first frame is at 7200\.0 s, .* 600 s"):
        decoded(path)


def test_a_gap_below_the_limit_is_kept_as_a_gap(tmp_path, plain):
    path = retimed(plain, tmp_path / "v.mkv", lambda of, time_s: 20 if time_s > 2 else 0)
    frames, audio, _ = decoded(path)
    assert len(frames) == pytest.approx(23 * 25, abs=3)
    assert len(audio) == pytest.approx(23 * 16_000, abs=3200)


def test_the_audio_ends_at_the_limit_of_length(tmp_path):
    path = make(tmp_path / "v.mkv", audio=audio_source(seconds=30))
    _, audio, _ = decoded(path, MediaConfig(max_duration_s=5))
    assert len(audio) == pytest.approx(5 * 16_000, abs=320)


def png(width: int, height: int) -> bytes:
    """A black frame, a thousandth of the size that it unpacks to."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pack = zlib.compressobj(1)
    pixels = b"".join([*(pack.compress(bytes(width * 3 + 1)) for _ in range(height)), pack.flush()])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def png_video(path: Path, *sizes: tuple[int, int]) -> Path:
    """A video of PNG frames of these sizes, as they come."""
    row = path.with_suffix(".pngs")
    row.write_bytes(b"".join(png(*size) for size in sizes))
    frames = ("-f", "png_pipe", "-framerate", 25, "-i", row)
    ffmpeg(*frames, "-f", "lavfi", "-i", audio_source(seconds=1), "-c:v", "copy", "-c:a", "aac", path)
    return path


@pytest.mark.parametrize("suffix", ["mov", "mkv", "avi"])
def test_a_frame_bomb_is_not_unpacked(tmp_path, suffix):
    path = png_video(tmp_path / f"v.{suffix}", (8300, 8300))
    with pytest.raises(MediaError, match=r"8300x8300 .69 megapixels., more than 68"):
        probe_media(path, MEDIA)


def test_a_frame_bomb_behind_a_small_frame_is_not_unpacked(tmp_path):
    path = png_video(tmp_path / "v.mkv", *[(64, 64)] * 5, (8300, 8300), *[(64, 64)] * 5)
    frames, _, _ = decoded(path)
    assert {frame.shape for frame in frames} == {(64, 64, 3)}


@linux
def test_an_ffmpeg_that_needs_too_much_memory_fails():
    hoard = "color=s=4000x4000:r=25:d=9,format=gbrpf32le,loop=loop=1:size=100"  # 192 MB a frame
    command = [
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        hoard,
        "-f",
        "image2pipe",
        "-c:v",
        "ppm",
        "-pix_fmt",
        "rgb24",
        "-s",
        "64x64",
        "pipe:1",
    ]
    with pytest.raises(MediaError, match=r"more than 1024 MB of memory"):
        list(run_ffmpeg(command, MediaConfig(memory_limit_mb=1024)))


@linux
def test_audio_that_needs_too_much_disk_is_stopped(plain):
    audio = AudioFile()
    command = ["-v", "error", "-i", str(plain), "-f", "s16le", f"pipe:{audio.fds[0]}"]
    with pytest.raises(MediaError, match=r"SIGXFSZ|File too large"):
        list(run_ffmpeg(command, MEDIA, audio.fds, file_limit_bytes=1000))
    audio.close()


# Writes a frame and, ahead of it, its time to the pipe that the command names for it.
STAND_IN = f"""#!{sys.executable}
import os, re, sys, time
if sys.argv[1] == "-version":
    sys.exit(print("ffmpeg version 9.0"))
times = re.search(r"]pipe:([0-9]+)[|].f=data", " ".join(sys.argv))
def frame(number):
    os.write(int(times[1]), b"0,%d,%d,1,3,0f\\n" % (number, number))
    os.write(1, b"P5\\n2 3\\n255\\nabcdef")
"""


def stand_in(tmp_path, does):
    """A script to put in ffmpeg's place."""
    path = tmp_path / "ffmpeg"
    path.write_text(STAND_IN + does)
    path.chmod(0o755)
    return str(path)


def test_an_ffmpeg_that_is_much_too_slow_is_stopped(tmp_path, plain):
    probe = probe_media(plain, MEDIA)
    slow = stand_in(tmp_path, "for number in range(100): frame(number), time.sleep(0.2)")
    config = MediaConfig(slow_limit_s=0.5, slow_limit_ratio=1, ffmpeg=slow)
    with Decoder(plain, probe, config) as decoder, pytest.raises(MediaError, match="too slow to decode"):
        list(decoder.frames())


@pytest.mark.parametrize("output", [b"P6 1 1", b"P6 1 1 255 a", b"P5 2 3 255 abcdef", b"P6" + b"1" * 80, b"nonsense"])
def test_an_ffmpeg_that_gives_nonsense_is_an_error(tmp_path, plain, output):
    probe = probe_media(plain, MEDIA)
    config = MEDIA.model_copy(update={"ffmpeg": stand_in(tmp_path, f"os.write(1, {output!r})")})
    with Decoder(plain, probe, config) as decoder, pytest.raises(MediaError, match="ffmpeg"):
        list(decoder.frames())


WORKER = """
import os, sys
from pipelines.extraction.config import MediaConfig
from pipelines.extraction.video.decode import Decoder
from pipelines.extraction.video.probe import probe_media

config = MediaConfig(ffmpeg=sys.argv[2])
probe = probe_media(sys.argv[1], config)
with Decoder(sys.argv[1], probe, config) as decoder:
    for frame in decoder.frames():
        os.write(1, b"decoding")
        os.read(0, 1)
"""


@linux
@pytest.mark.skipif(not dies_with_parent(), reason="no setpriv here")
@pytest.mark.parametrize("hangs", [False, True], ids=["works", "hangs"])
def test_a_killed_worker_leaves_no_process_and_no_file(tmp_path, hangs):
    path = make(tmp_path / "v.mkv", frames=frames_source(seconds=60, size="320x240"))
    folder = tmp_path / "tmp"
    folder.mkdir()
    sleeper = stand_in(tmp_path, f"[frame(i) for i in range({BURST})], time.sleep(600)")
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, path, sleeper if hangs else ""],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    assert worker.stdout.read(8) == b"decoding"
    children = [int(pid) for pid in Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()]
    assert len(children) == 2  # ffmpeg and the reader of headers
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    deadline_s = time.monotonic() + 10
    while any(_lives(pid) for pid in children) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert not any(_lives(pid) for pid in children)
    assert list(folder.iterdir()) == []


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
