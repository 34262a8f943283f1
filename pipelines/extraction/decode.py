"""Pictures and sound of a video, decoded by ffmpeg on one clock.

One process per video gives small pictures at a constant rate through a pipe and 16 kHz mono sound into a temporary
file; a second, seeking one gives chosen full-resolution pictures. Pictures are streamed and the sound is mapped from
disk as int16 (2 hours: 230 MB of disk), so memory does not grow with the length of the video.

Pictures travel as PPM: each carries its size, so that rotation, odd pixels and a change of resolution in mid-stream
are ffmpeg's to resolve and need not be foretold.
"""

import functools
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from pipelines.extraction.config import MediaConfig
from pipelines.extraction.probe import MediaError, Probe

SAMPLE_RATE_HZ = 16_000
SEEK_LEAD = 2  # pictures


@functools.cache
def ffmpeg_binary() -> str:
    """Returns the ffmpeg on the PATH, else the one that imageio-ffmpeg ships."""
    import imageio_ffmpeg

    return shutil.which("ffmpeg") or imageio_ffmpeg.get_ffmpeg_exe()


class Decoder:
    """Decodes one video. Iterate over `pictures` to the end, then read `sound`; a context manager.

    Args:
        path: the video.
        probe: what `probe_media` found in it; it must have both streams.
        config: rates and limits.
    """

    def __init__(self, path: str | Path, probe: Probe, config: MediaConfig):
        self.path, self.probe, self.config = path, probe, config
        self._folder = tempfile.TemporaryDirectory(prefix="vclip-decode-")
        self._sound = Path(self._folder.name) / "sound.s16"

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(self, *error: Any) -> None:
        self._folder.cleanup()

    def pictures(self) -> Iterator[np.ndarray]:
        """Yields the pictures, (height, width, 3) uint8 RGB, number i standing at second `i / rate_hz`.

        A stream that starts late repeats its first picture until then.

        Raises:
            MediaError: ffmpeg fails, stalls, or the video is longer than the limit.
        """
        config, source = self.config, _input(self.path, self.config)
        side = config.max_side_px
        # Display size: the pixels made square, shrunk to the limit but never enlarged; even sizes.
        shrink = f"min(1,{side}/max(iw*sar,ih))"
        video = (
            source[str(self.probe.video_index)]
            .filter("fps", config.rate_hz, start_time=0)
            .filter("scale", f"max(2,2*round(iw*sar*{shrink}/2))", f"max(2,2*round(ih*{shrink}/2))", flags="area")
            .output("pipe:", format="image2pipe", vcodec="ppm", pix_fmt="rgb24")
        )
        audio = (
            source[str(self.probe.audio_index)]
            # Gaps become silence and a late start stays late: sample n stands at second n / 16000.
            .filter("aresample", SAMPLE_RATE_HZ, **{"async": 1, "first_pts": 0})
            .output(str(self._sound), format="s16le", ac=1, ar=SAMPLE_RATE_HZ)
        )
        limit = round(config.max_duration_s * config.rate_hz)
        for count, picture in enumerate(_run(ffmpeg.merge_outputs(video, audio), config.stall_limit_s)):
            if count >= limit:
                raise MediaError(f"longer than the limit of {config.max_duration_s:g} s (media.max_duration_s)")
            yield picture

    @property
    def sound(self) -> np.ndarray:
        """The sound, (samples,) int16 at 16 kHz, mapped from disk; only while the decoder is open."""
        if not self._sound.exists() or self._sound.stat().st_size < 2:
            return np.zeros(0, np.int16)
        return np.memmap(self._sound, np.int16, mode="r", shape=(self._sound.stat().st_size // 2,))


def full_pictures(
    path: str | Path, probe: Probe, config: MediaConfig, numbers: Sequence[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (number, picture at full resolution) for the numbers, rising, of some of a decoder's pictures.

    Seeks to the first of them and decodes up to the last, so ask for those of one clip at a time.

    Raises:
        MediaError: ffmpeg fails or stalls.
    """
    # Start a little early: a seek to a picture's very time may land after it.
    start = max(0, numbers[0] - SEEK_LEAD)
    wanted = "+".join(f"eq(n,{number - start})" for number in numbers)
    video = (
        _input(path, config, ss=f"{start / config.rate_hz:.6f}")[str(probe.video_index)]
        # The same clock as in the first pass, so that the same number is the same instant.
        .filter("fps", config.rate_hz, start_time=0)
        .filter("select", wanted)
        .filter("scale", "round(iw*sar)", "ih", flags="bicubic")
        .output(
            "pipe:", format="image2pipe", vcodec="ppm", pix_fmt="rgb24", fps_mode="passthrough", vframes=len(numbers)
        )
    )
    yield from zip(numbers, _run(video, config.stall_limit_s), strict=False)


def _input(path: str | Path, config: MediaConfig, **options: Any) -> Any:
    # Only local files: a playlist that calls itself .mp4 must not make ffmpeg open addresses.
    return ffmpeg.input(
        f"file:{Path(path).absolute()}", protocol_whitelist="file,pipe", threads=config.threads, **options
    )


def _run(output: Any, stall_limit_s: float) -> Iterator[np.ndarray]:
    command = output.global_args("-nostdin", "-v", "error", "-y").compile(cmd=ffmpeg_binary())
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, bufsize=0)
        try:
            reader = _PpmReader(process.stdout.fileno(), stall_limit_s)
            while (picture := reader.next()) is not None:
                yield picture
            # The pictures may end well before the sound does.
            code = process.wait(stall_limit_s)
        except subprocess.TimeoutExpired:
            raise MediaError(f"ffmpeg did not end within {stall_limit_s:g} s of the last picture") from None
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        if code:
            raise MediaError(f"ffmpeg failed: {_last_line(log) or f'exit status {code}'}")


def _last_line(log: Any) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


class _PpmReader:
    """Splits a pipe of PPM pictures, waiting for at most `stall_limit_s` for more bytes."""

    def __init__(self, pipe: int, stall_limit_s: float):
        self._pipe, self._stall_limit_s = pipe, stall_limit_s

    def next(self) -> np.ndarray | None:
        magic = self._read(2)
        if not magic:
            return None
        if magic != b"P6":
            raise MediaError(f"ffmpeg gave {bytes(magic)!r} where a picture should start")
        self._read(1)
        width, height, _ = (self._number() for _ in range(3))
        pixels = self._read(width * height * 3)
        if len(pixels) < width * height * 3:
            raise MediaError("ffmpeg ended in the middle of a picture")
        return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)

    def _number(self) -> int:
        digits = b""
        while (byte := self._read(1)).isdigit():
            digits += byte
        return int(digits or 0)

    def _read(self, count: int) -> bytearray:
        buffer = bytearray(count)
        view, filled = memoryview(buffer), 0
        while filled < count:
            deadline_s = time.monotonic() + self._stall_limit_s
            ready, _, _ = select.select([self._pipe], [], [], deadline_s - time.monotonic())
            if not ready:
                raise MediaError(f"ffmpeg gave nothing for {self._stall_limit_s:g} s")
            got = os.readv(self._pipe, [view[filled:]])
            if not got:
                break
            filled += got
        view.release()
        return buffer[:filled]
