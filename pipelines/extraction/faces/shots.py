"""Cut a stream of pictures into shots.

A cut is a change of picture that stands out from the changes around it (motion changes many pictures in a row) and
that lasts (after a flash the old picture comes back). It is found with a short look ahead, so pictures can be
streamed.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from pipelines.extraction.config import ShotConfig
from pipelines.extraction.video.picture import Picture

# Small enough that motion within a shot changes few cells much, large enough to tell two framings apart.
THUMBNAIL_PX = (32, 18)
HISTOGRAM_BINS = 16
# After a flash the picture is again within this share of the change it made.
FLASH_RETURN = 0.5


@dataclass(frozen=True)
class ShotPicture:
    """A picture and its place in its shot."""

    number: int  # of all pictures
    picture: Picture
    first: bool  # of its shot
    last: bool


@dataclass(frozen=True)
class _Held:
    number: int
    picture: Picture
    signature: tuple[np.ndarray, np.ndarray]  # thumbnail, histogram
    change: float  # from the picture before, 0..1


def split_shots(pictures: Iterable[Picture], rate_hz: float, config: ShotConfig) -> Iterator[ShotPicture]:
    """Yields every picture in order, with the first and the last of each shot marked.

    Holds back `2 * config.around_s` of pictures. A change of the picture's size is a cut too.
    """
    around = max(2, round(config.around_s * rate_hz))
    waiting = None  # judged, but not known yet whether it is the last of its shot
    for window, middle in _windows(_measured(pictures), around):
        picture = window[middle]
        cut = picture.number == 0 or _is_cut(window, middle, config)
        if waiting is not None:
            yield ShotPicture(waiting[0].number, waiting[0].picture, first=waiting[1], last=cut)
        waiting = picture, cut
    if waiting is not None:
        yield ShotPicture(waiting[0].number, waiting[0].picture, first=waiting[1], last=True)


def _measured(pictures: Iterable[Picture]) -> Iterator[_Held]:
    before = None
    for number, picture in enumerate(pictures):
        signature = _signature(picture)
        if before is None:
            change = 0.0
        else:
            change = 1.0 if picture.shape != before.picture.shape else _change(before.signature, signature)
        before = _Held(number, picture, signature, change)
        yield before


def _windows(stream: Iterable[_Held], around: int) -> Iterator[tuple[deque[_Held], int]]:
    """Yields, for each item in turn, the items up to `around` before and after it, and its place among them."""
    window: deque[_Held] = deque()
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


def _is_cut(window: deque[_Held], middle: int, config: ShotConfig) -> bool:
    this, before = window[middle], window[middle - 1]
    if this.picture.shape != before.picture.shape:
        return True
    if this.change < config.threshold:
        return False
    items = list(window)
    others = [item.change for item in items[1 if items[0].number == 0 else 0 :] if item is not this]
    # The second largest: another cut close by must not hide this one.
    usual = sorted(others)[-2] if len(others) > 1 else 0.0
    if this.change < config.ratio * usual:
        return False
    # A flash comes and goes: the picture after it is the picture before it.
    least = FLASH_RETURN * this.change
    lasts = all(_change(before.signature, item.signature) > least for item in items[middle + 1 :])
    return lasts and all(_change(item.signature, this.signature) > least for item in items[: middle - 1])


def _signature(picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    small = picture.thumbnail(THUMBNAIL_PX)
    levels = [
        np.bincount(small[..., c].ravel() // (256 // HISTOGRAM_BINS), minlength=HISTOGRAM_BINS) for c in range(3)
    ]
    return small.astype(np.float32) / 255, np.concatenate(levels) / small[..., 0].size


def _change(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> float:
    """Half the mean difference of cells, half the share of cells that left their level of colour; 0..1."""
    return float(0.5 * np.abs(a[0] - b[0]).mean() + 0.5 * np.abs(a[1] - b[1]).sum() / 6)
