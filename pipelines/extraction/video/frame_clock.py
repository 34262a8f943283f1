"""Pictures as they come, put on a clock of constant rate.

ffmpeg's own `fps` filter would do, but it makes all pictures of a gap at once, in memory, and a damaged timestamp or
duration makes the gap hours long. Here a repeated picture is the same object again and costs nothing.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import NamedTuple

from pipelines.extraction.video.limits import MediaError
from pipelines.extraction.video.picture import Picture


class PacketTime(NamedTuple):
    """When a packet stands, in units of its time base."""

    start: int
    duration: int
    size_bytes: int


def packet_time(line: bytes) -> PacketTime | None:
    """Returns what a line says; None for the comments at the top."""
    if line.startswith(b"#"):
        return None
    _, _, start, duration, size, *_ = line.split(b",")  # stream, decoding time, presentation time, ...
    return PacketTime(int(start), int(duration), int(size))


class PictureClock:
    """Reads from `source` the number on the clock of each picture, which ffmpeg writes to `target` ahead of it."""

    def __init__(self) -> None:
        self.source, self.target = os.pipe()
        os.set_blocking(self.source, False)
        self._text = b""

    def close(self) -> None:
        """Gives both ends of the pipe back."""
        os.close(self.source)
        os.close(self.target)

    def place(self, pictures: Iterable[Picture], longest: int) -> Iterator[Picture]:
        """Yields a picture for every number from 0 on: the last one that came, or, before it, the first.

        The last picture of all is repeated for as long as it says that it lasts, but not beyond `longest` numbers.
        """
        number, shown, own = 0, None, 1
        for picture in pictures:
            time = self._next()
            yield from repeat(picture if shown is None else shown, max(0, time.start - number))
            yield picture
            number, shown, own = max(number, time.start) + 1, picture, time.duration
        yield from repeat(shown, min(own - 1, longest))

    def _next(self) -> PacketTime:
        while True:
            while b"\n" not in self._text:
                try:
                    self._text += os.read(self.source, 1 << 12)
                except BlockingIOError:
                    raise MediaError("ffmpeg gave a picture without its time") from None
            line, _, self._text = self._text.partition(b"\n")
            time = packet_time(line)
            if time is not None:
                return time
