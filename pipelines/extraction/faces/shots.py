"""Split a stream of frames into shots.

A cut is a change between frames that stands out from the changes around it (motion changes many frames in a row) and
that lasts (after a flash the old image comes back). It is found with a short look-ahead, so frames can be streamed.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from pipelines.extraction.config import ShotConfig
from pipelines.extraction.video.frame import Frame

# Small enough that motion within a shot changes few cells much, large enough to tell two framings apart.
THUMBNAIL_PX = (32, 18)
HISTOGRAM_BINS = 16
# After a flash the image is again within this share of the change that it made.
FLASH_RETURN = 0.5


@dataclass(frozen=True)
class ShotFrame:
    """A frame, and whether its shot starts or ends with it."""

    number: int  # of all frames
    frame: Frame
    first: bool  # of its shot
    last: bool


@dataclass(frozen=True)
class _MeasuredFrame:
    number: int
    frame: Frame
    signature: tuple[np.ndarray, np.ndarray]  # thumbnail, histogram
    change: float  # from the frame before, 0..1


def split_shots(frames: Iterable[Frame], rate_hz: float, config: ShotConfig) -> Iterator[ShotFrame]:
    """Yields every frame in order, with the first and the last of each shot marked.

    Up to `2 * config.around_s` of frames are held back. A change of the frame size is a cut too.
    """
    around = max(2, round(config.around_s * rate_hz))
    waiting = None  # judged, but it may or may not be the last of its shot
    for window, middle in _windows(_measured(frames), around):
        frame = window[middle]
        cut = frame.number == 0 or _is_cut(window, middle, config)
        if waiting is not None:
            yield ShotFrame(waiting[0].number, waiting[0].frame, first=waiting[1], last=cut)
        waiting = frame, cut
    if waiting is not None:
        yield ShotFrame(waiting[0].number, waiting[0].frame, first=waiting[1], last=True)


def _measured(frames: Iterable[Frame]) -> Iterator[_MeasuredFrame]:
    before = None
    for number, frame in enumerate(frames):
        signature = _signature(frame)
        if before is None:
            change = 0.0
        else:
            change = 1.0 if frame.shape != before.frame.shape else _change(before.signature, signature)
        before = _MeasuredFrame(number, frame, signature, change)
        yield before


def _windows(stream: Iterable[_MeasuredFrame], around: int) -> Iterator[tuple[deque[_MeasuredFrame], int]]:
    """Yields for each item the items up to `around` before and after it, and its index among them."""
    window: deque[_MeasuredFrame] = deque()
    judged = 0
    for item in stream:
        window.append(item)
        if item.number - judged == around:
            yield window, judged - window[0].number
            judged += 1
            if len(window) > 2 * around:
                window.popleft()
    while window and judged <= window[-1].number:
        yield window, judged - window[0].number
        judged += 1


def _is_cut(window: deque[_MeasuredFrame], middle: int, config: ShotConfig) -> bool:
    this, before = window[middle], window[middle - 1]
    if this.frame.shape != before.frame.shape:
        return True
    if this.change < config.threshold:
        return False
    items = list(window)
    others = [item.change for item in items[1 if items[0].number == 0 else 0 :] if item is not this]
    # The second largest, so that another cut close by does not hide this one.
    usual = sorted(others)[-2] if len(others) > 1 else 0.0
    if this.change < config.ratio * usual:
        return False
    # After a flash the frames are those before it.
    least = FLASH_RETURN * this.change
    lasts = all(_change(before.signature, item.signature) > least for item in items[middle + 1 :])
    return lasts and all(_change(item.signature, this.signature) > least for item in items[: middle - 1])


def _signature(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    small = frame.thumbnail(THUMBNAIL_PX)
    levels = [
        np.bincount(small[..., c].ravel() // (256 // HISTOGRAM_BINS), minlength=HISTOGRAM_BINS) for c in range(3)
    ]
    return small.astype(np.float32) / 255, np.concatenate(levels) / small[..., 0].size


def _change(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> float:
    """Returns half the mean difference of cells plus half the share of cells that left their colour level, 0..1."""
    return float(0.5 * np.abs(a[0] - b[0]).mean() + 0.5 * np.abs(a[1] - b[1]).sum() / 6)
