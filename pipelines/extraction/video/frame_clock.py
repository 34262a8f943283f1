"""Decoded frames placed on a clock of constant rate.

ffmpeg's `fps` filter does this too, but it makes all frames of a gap at once, in memory, and a damaged timestamp or
duration makes a gap of hours. Here a repeated frame is the same object again and costs nothing.

The times come from ffmpeg's `framehash` muxer, which lists the packets: one line each, in units of the time base.
"""

import os
import select
from array import array
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import NamedTuple

from pipelines.extraction.video.frame import Frame
from pipelines.extraction.video.limits import MediaError

# The muxer that lists packets, as ffmpeg's `tee` names it. Adler-32, that of `framecrc`, collides for plain images.
LISTING = "framehash:hash=murmur3"


class Packet(NamedTuple):
    """A packet: its start and duration in units of its time base, its size and its checksum."""

    start: int
    duration: int
    size_bytes: int
    checksum: int  # 64 bits of the hash of its bytes


def read_packet(line: bytes) -> Packet | None:
    """Returns the packet on a line of `LISTING`, or None for the comments at the top."""
    if line.startswith(b"#"):
        return None
    # stream, decoding time, presentation time, ...
    _, _, start, duration, size, checksum, *_ = line.split(b",")
    return Packet(int(start), int(duration), int(size), int(checksum[:17], 16))


class PacketPipe:
    """Reads the list of packets that ffmpeg writes to `target` while it runs; a context manager."""

    def __init__(self) -> None:
        self._source, self.target = os.pipe()
        self._poll = select.poll()  # unlike `select.select`, for any number of open files
        self._poll.register(self._source, select.POLLIN)
        self._text = b""

    def __enter__(self) -> "PacketPipe":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes both ends of the pipe."""
        os.close(self._source)
        os.close(self.target)

    def next(self, limit_s: float = 0.0) -> Packet:
        """Returns the next packet.

        Raises:
            MediaError: none comes within `limit_s`.
        """
        while True:
            while b"\n" not in self._text:
                if not self._poll.poll(limit_s * 1000):
                    raise MediaError("ffmpeg gave a frame without a timestamp")
                self._text += os.read(self._source, 1 << 12)
            line, _, self._text = self._text.partition(b"\n")
            packet = read_packet(line)
            if packet is not None:
                return packet


class FrameIndex:
    """The decoded frame for each number on the clock; 12 bytes per number."""

    def __init__(self) -> None:
        self._starts, self._checksums = array("i"), array("Q")

    def __len__(self) -> int:
        return len(self._starts)

    def append(self, packet: Packet) -> None:
        """Adds the frame for the next number."""
        self._starts.append(packet.start)
        self._checksums.append(packet.checksum)

    def __getitem__(self, number: int) -> tuple[int, int]:
        """Returns the frame's own place on the clock, and the checksum of its analysis frame."""
        return self._starts[number], self._checksums[number]


class FrameClock:
    """Places frames by the packets that ffmpeg lists in `packets`, each before its frame.

    `index` has the frame for each number so far.
    """

    def __init__(self) -> None:
        self.packets = PacketPipe()
        self.index = FrameIndex()

    def place(self, frames: Iterable[Frame], longest: int) -> Iterator[Frame]:
        """Yields one frame for every number from 0 on: the latest so far, or before the first frame that one.

        Args:
            frames: the decoded frames in order.
            longest: most numbers for which the last frame is repeated; else it is repeated for its own duration.
        """
        number, shown, latest = 0, None, None
        for frame in frames:
            packet = self.packets.next()
            for one in repeat(frame if shown is None else shown, max(0, packet.start - number)):
                self.index.append(latest or packet)
                yield one
            self.index.append(packet)
            yield frame
            number, shown, latest = max(number, packet.start) + 1, frame, packet
        if shown is not None and latest is not None:
            for one in repeat(shown, min(latest.duration - 1, longest)):
                self.index.append(latest)
                yield one
