"""Decoded frames placed on a clock of constant rate.

ffmpeg's `fps` filter does this too, but it makes all frames of a gap at once, in memory, and a damaged timestamp or
duration makes a gap of hours. Here a repeated frame is the same object again and costs nothing.

The times come from ffmpeg's `framecrc` muxer, which lists the packets: one line each, in units of the time base.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import NamedTuple

from pipelines.extraction.video.frame import Frame
from pipelines.extraction.video.limits import MediaError


class PacketTime(NamedTuple):
    """When a packet starts and how long it lasts, in units of its time base."""

    start: int
    duration: int
    size_bytes: int


def packet_time(line: bytes) -> PacketTime | None:
    """Returns the time on a line of `framecrc`, or None for the comments at the top."""
    if line.startswith(b"#"):
        return None
    _, _, start, duration, size, *_ = line.split(b",")  # stream, decoding time, presentation time, ...
    return PacketTime(int(start), int(duration), int(size))


class FrameClock:
    """Reads the clock number of each frame from `source`; ffmpeg writes it to `target` before the frame."""

    def __init__(self) -> None:
        self.source, self.target = os.pipe()
        os.set_blocking(self.source, False)
        self._text = b""

    def close(self) -> None:
        """Closes both ends of the pipe."""
        os.close(self.source)
        os.close(self.target)

    def place(self, frames: Iterable[Frame], longest: int) -> Iterator[Frame]:
        """Yields one frame for every number from 0 on: the latest so far, or before the first frame that one.

        Args:
            frames: the decoded frames in order.
            longest: most numbers for which the last frame is repeated; else it is repeated for its own duration.
        """
        number, shown, own = 0, None, 1
        for frame in frames:
            time = self._next()
            yield from repeat(frame if shown is None else shown, max(0, time.start - number))
            yield frame
            number, shown, own = max(number, time.start) + 1, frame, time.duration
        if shown is not None:
            yield from repeat(shown, min(own - 1, longest))

    def _next(self) -> PacketTime:
        while True:
            while b"\n" not in self._text:
                try:
                    self._text += os.read(self.source, 1 << 12)
                except BlockingIOError:
                    raise MediaError("ffmpeg gave a frame without a timestamp") from None
            line, _, self._text = self._text.partition(b"\n")
            time = packet_time(line)
            if time is not None:
                return time
