"""Runs ffmpeg under limits of time and memory and splits its output, frames in PPM or PGM, as they arrive.

Each frame carries its size, so ffmpeg resolves rotation, odd sizes and non-square pixels and nothing here has to
predict them.
"""

import fcntl
import functools
import math
import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import IO

import imageio_ffmpeg
import numpy as np

from pipelines.extraction.config import MediaConfig
from pipelines.extraction.video.limits import MediaError, dies_with_parent, ended_by, limit_files, limit_memory
from vclip.errors import InputError

# The version that imageio-ffmpeg 0.8 ships. With 7.0.2 the tests of MPEG-TS and HDR fail; with Debian 12's 5.1 the
# colours of BT.709 files are off and an exceeded memory limit is not reported. None between 7.0.2 and 9.0 was
# tried.
LEAST_VERSION = (9, 0)
HEADER, HEADER_BYTES = re.compile(rb"(P[56])\s(\d+)\s(\d+)\s\d+\s"), 40  # at most
CHANNELS = {b"P5": 1, b"P6": 3}
PIPE_BYTES = 1 << 20  # the most that Linux allows an unprivileged process
OUT_OF_MEMORY = "Cannot allocate memory"
# Messages of ffmpeg, and what they mean.
REASONS = {
    "Nothing was written into output file": "no frames or no audio could be decoded",
    "Error while opening decoder": "damaged: the header of a stream cannot be decoded",
}
UNHELPFUL = (
    "Terminating thread",
    "Task finished",
    "Conversion failed",
    "Last message repeated",
    "opening output",
)
COMPONENT = r"^(\[[^\]]* @ 0x[0-9a-f]+\] )+"
MOST_PACKETS_FAILED = 69  # ffmpeg's exit status for more than two thirds of a stream
CUT_SHORT = f"Error during demuxing: {OUT_OF_MEMORY}"  # ffmpeg does not count this as a failure


@functools.cache
def ffmpeg_binary(configured: str = "") -> str:
    """Returns the path of the ffmpeg binary: the configured one, else the one that imageio-ffmpeg ships.

    One on the PATH is not used unless it is configured, so that results do not depend on the machine.

    Args:
        configured: `media.ffmpeg`: a path, or the name of a program on the PATH.

    Raises:
        InputError: there is no such program, it is no ffmpeg, or it is older than `LEAST_VERSION`.
    """
    where = f"ffmpeg {configured} (media.ffmpeg)" if configured else "ffmpeg of imageio-ffmpeg"
    try:
        binary = shutil.which(configured) if configured else imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise InputError(f"{where}: not found ({error}); name one with media.ffmpeg") from None
    if binary is None:
        raise InputError(f"{where}: no such program")
    version = ffmpeg_version(binary)
    if not version:
        raise InputError(f"{where}: `{binary} -version` does not answer as ffmpeg does")
    number = re.match(r"n?(\d+)\.(\d+)", version)  # builds from git may have none
    if number and (int(number[1]), int(number[2])) < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        raise InputError(f"{where}: version {version}, older than {least}, the least that is supported")
    return binary


@functools.cache
def ffmpeg_version(binary: str) -> str:
    """Returns the version that a binary reports, as "7.0.2-static"; empty if it reports none."""
    try:
        done = subprocess.run([binary, "-version"], capture_output=True, text=True, timeout=20, errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        return ""
    reported = re.match(r"ffmpeg version (\S+)", done.stdout)
    return reported[1] if reported else ""


@functools.cache
def filters(binary: str) -> frozenset[str]:
    """Returns the names of the filters of an ffmpeg."""
    listed = subprocess.run([binary, "-v", "error", "-filters"], capture_output=True, text=True).stdout
    return frozenset(line.split()[1] for line in listed.splitlines() if "->" in line)


def run_ffmpeg(
    arguments: Sequence[str],
    config: MediaConfig,
    pass_fds: Sequence[int] = (),
    file_limit_bytes: int | None = None,
) -> Iterator[np.ndarray]:
    """Yields the frames that ffmpeg writes to its standard output.

    PPM gives (height, width, 3) uint8 RGB, PGM (rows, width) uint8.

    Args:
        arguments: the command line after `ffmpeg`.
        config: the ffmpeg to run, limits of time and memory.
        pass_fds: open files that ffmpeg writes to as `pipe:N`.
        file_limit_bytes: most bytes of each of these files.

    Raises:
        MediaError: ffmpeg fails, writes nothing for too long, is too slow, or exceeds the limits of memory or disk.
    """
    command = [*dies_with_parent(), ffmpeg_binary(config.ffmpeg), *arguments]
    with tempfile.TemporaryFile(prefix="vclip-ffmpeg-") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, bufsize=0, pass_fds=pass_fds
        )
        assert process.stdout is not None
        try:
            limit_memory(process.pid, config.memory_limit_mb)
            if file_limit_bytes is not None:
                limit_files(process.pid, file_limit_bytes)
            reader = _FrameReader(process.stdout.fileno(), config)
            while (frame := reader.next()) is not None:
                yield frame
            # The frames may end well before the audio.
            code = process.wait(config.stall_limit_s)
        except subprocess.TimeoutExpired:
            limit_s = config.stall_limit_s
            raise MediaError(f"ffmpeg did not end within {limit_s:g} s of the last frame") from None
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        lines = _lines(log)
        if code or any(CUT_SHORT in line for line in lines):
            raise MediaError(_failure_reason(code, lines, config))


def _lines(log: IO[bytes]) -> list[str]:
    # The log of a broken file may be long; the cause is at its end.
    log.seek(max(0, log.seek(0, os.SEEK_END) - 100_000))
    return [line.strip() for line in log.read().decode(errors="replace").split("\n") if line.strip()]


def _failure_reason(code: int, lines: Sequence[str], config: MediaConfig) -> str:
    if any(OUT_OF_MEMORY in line for line in lines):
        return f"ffmpeg needs more than {config.memory_limit_mb} MB of memory for it (media.memory_limit_mb)"
    if code == MOST_PACKETS_FAILED:
        return "damaged or encrypted: most of its packets cannot be decoded"
    for words, reason in REASONS.items():
        if any(words in line for line in lines):
            return reason
    informative = [re.sub(COMPONENT, "", line) for line in lines if not any(words in line for words in UNHELPFUL)]
    return f"ffmpeg failed: {informative[-1]}" if informative and code > 0 else f"ffmpeg ended {ended_by(code)}"


class _FrameReader:
    """Splits a pipe of PPM or PGM frames and measures the time spent waiting for them."""

    def __init__(self, pipe: int, config: MediaConfig):
        self._pipe, self._config = pipe, config
        self._poll = select.poll()  # unlike select, for any number of open files
        self._poll.register(pipe, select.POLLIN)
        self._waited_s = 0.0
        self._count = 0
        self._ahead = b""  # read with a header
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def next(self) -> np.ndarray | None:
        while not (header := HEADER.match(self._ahead)):
            more = bytearray(HEADER_BYTES - len(self._ahead))
            got = self._read(memoryview(more)) if more else 0
            if not got and not self._ahead:
                return None
            if not got:
                raise MediaError(f"ffmpeg gave {self._ahead!r} where a frame should start")
            self._ahead += more[:got]
        kind, width, height = header.groups()
        shape = int(height), int(width), CHANNELS[kind]
        pixels = np.empty(math.prod(shape), np.uint8)
        start = self._ahead[header.end() :][: len(pixels)]
        pixels[: len(start)] = np.frombuffer(start, np.uint8)
        self._ahead = self._ahead[header.end() + len(start) :]
        filled = len(start)
        while filled < len(pixels):
            got = self._read(pixels[filled:].data)
            if not got:
                raise MediaError("ffmpeg ended in the middle of a frame")
            filled += got
        self._count += 1
        return pixels.reshape(shape if shape[2] > 1 else shape[:2])

    def _read(self, into: memoryview) -> int:
        """Waits for some bytes; returns how many came, 0 at the end."""
        self._wait()
        return os.readv(self._pipe, [into])

    def _wait(self) -> None:
        config, start_s = self._config, time.monotonic()
        if not self._poll.poll(config.stall_limit_s * 1000):
            raise MediaError(f"ffmpeg gave nothing for {config.stall_limit_s:g} s")
        self._waited_s += time.monotonic() - start_s
        given_s = self._count / config.rate_hz
        if self._waited_s > config.slow_limit_s + config.slow_limit_ratio * given_s:
            raise MediaError(f"too slow to decode: {self._waited_s:.0f} s of waiting for {given_s:.1f} s of frames")
