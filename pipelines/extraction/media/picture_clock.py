"""Pictures as they come, put on a clock of constant rate.

ffmpeg's own `fps` filter would do, but it makes all pictures of a gap at once, in memory, and a damaged timestamp or
duration makes the gap hours long. Here a repeated picture is the same object again and costs nothing.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import repeat

from pipelines.extraction.media.limits import MediaError
from pipelines.extraction.media.packet_times import PacketTime, packet_time
from pipelines.extraction.media.picture import Picture


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
