"""Telemetry of an ingest: its rate in the progress line, and metrics for Ray's dashboard and Prometheus."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from pipelines.extraction.types import Extraction
from pipelines.wording import number
from stores import VideoRows

LAST_S = 300.0  # of the rate
SECONDS = [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000]  # edges of the histogram of times


class Rate:
    """The rate of a job over its last minutes, LAST_S seconds at most.

    Args:
        clock: returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._done: deque[tuple[float, float]] = deque([(clock(), 0.0)])  # when, seconds of video

    def add(self, video_s: float) -> None:
        """Counts one more video, of this length."""
        now = self._clock()
        self._done.append((now, video_s))
        while now - self._done[0][0] > LAST_S:
            self._done.popleft()

    def __str__(self) -> str:
        """Returns the rate, as "52 h of video per hour"; empty before the first video."""
        took_s = self._done[-1][0] - self._done[0][0]
        if not took_s:
            return ""
        video_s = sum(amount for _, amount in list(self._done)[1:])
        return f"{number(video_s / took_s)} h of video per hour"


class IngestMetrics:
    """Counters of one driver, which Ray exports as `ray_vclip_...`; Prometheus queries add up several drivers.

    Args:
        kinds: the module with Counter and Histogram, `ray.util.metrics` or one like it.
    """

    def __init__(self, kinds: Any):
        self._videos = kinds.Counter("vclip_videos_total", "Videos by state", ("state",))
        self._clips = kinds.Counter("vclip_clips_total", "Clips kept")
        self._drops = kinds.Counter("vclip_drops_total", "Candidates dropped, by reason", ("reason",))
        self._seconds = kinds.Histogram(
            "vclip_stage_seconds", "Time that a stage took for a video", SECONDS, ("stage",)
        )

    def add(self, rows: VideoRows, extraction: Extraction) -> None:
        """Counts one video that is in the store."""
        self._videos.inc(1, {"state": rows.video["state"]})
        if rows.clips:
            self._clips.inc(len(rows.clips))
        for name, count in rows.video["funnel"].items():
            if name.startswith("drop:") and count:
                self._drops.inc(count, {"reason": name.removeprefix("drop:")})
        for stage, took_s in extraction.seconds.items():
            self._seconds.observe(took_s, {"stage": stage})
