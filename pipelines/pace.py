"""How fast a job goes: over the last minutes, not since its start, which paid for starting up."""

import time
from collections import deque

LAST_S = 300.0


class Pace:
    """Counts what gets done; `add` it as it does."""

    def __init__(self) -> None:
        self._done: deque[tuple[float, float]] = deque([(time.monotonic(), 0.0)])  # when, seconds of video

    def add(self, video_s: float) -> None:
        """One more is done, of so much video."""
        now = time.monotonic()
        self._done.append((now, video_s))
        while now - self._done[0][0] > LAST_S:
            self._done.popleft()

    def __str__(self) -> str:
        """Returns as in "1.4 videos/s, 52 h of video per hour"; nothing while there is nothing to say."""
        took_s = self._done[-1][0] - self._done[0][0]
        if not took_s:
            return ""
        video_s = sum(amount for _, amount in list(self._done)[1:])
        return f"{(len(self._done) - 1) / took_s:.2g}/s, {video_s / took_s:.3g} h of video per hour"
