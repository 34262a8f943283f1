"""The sound of a video on disk, put on the video's clock.

ffmpeg writes 16 kHz mono int16 and, beside it, the time of every packet. Where the format of the sound changes in
mid-stream (television does it at every break), ffmpeg builds its filters anew and these forget what came before; the
times say where each run of samples belongs. Both files have no name: they vanish with the worker, however it ends.
"""

import mmap
import tempfile
from typing import BinaryIO

import numpy as np

from pipelines.extraction.video.frame_clock import packet_time

SAMPLE_RATE_HZ = 16_000
BYTES = 2  # per sample


class SoundFile:
    """A file that ffmpeg fills through `target` and `times`, and then `samples` reads."""

    def __init__(self) -> None:
        self._data = _unnamed()
        self._times = _unnamed()

    @property
    def fds(self) -> tuple[int, int]:
        """The descriptors that ffmpeg inherits."""
        return self._data.fileno(), self._times.fileno()

    @property
    def target(self) -> str:
        """The output for ffmpeg's `tee` muxer: samples to one file, times to the other."""
        data, times = self.fds
        return f"[f=s16le]pipe:{data}|[f=framecrc]pipe:{times}"

    def place(self) -> None:
        """Moves what was written to where its times say; most often it is there already."""
        runs = self._runs()
        if not runs or runs == [(0, runs[0][1])]:
            return
        placed = _unnamed()
        self._data.seek(0)
        for start, count in runs:
            early = min(max(0, -start), count)  # before second 0
            self._data.seek(early * BYTES, 1)
            placed.seek(max(0, start) * BYTES)
            _copy(self._data, placed, (count - early) * BYTES)
        self._data.close()
        self._data = placed

    def samples(self) -> np.ndarray:
        """The sound, (samples,) int16, mapped from disk; only while the file is open."""
        self._data.flush()
        count = self._data.seek(0, 2) // BYTES
        return np.memmap(self._data, np.int16, mode="r", shape=(count,)) if count else np.zeros(0, np.int16)

    def close(self) -> None:
        """Gives the disk back."""
        self._data.close()
        self._times.close()

    def _runs(self) -> list[tuple[int, int]]:
        """(first sample on the clock, count) of each run of packets that follow on each other."""
        runs: list[tuple[int, int]] = []
        self._times.seek(0)
        for line in self._times:
            time = packet_time(line)
            if time is None:
                continue
            first, count = time.start, time.size_bytes // BYTES
            if runs and first == sum(runs[-1]):
                runs[-1] = runs[-1][0], runs[-1][1] + count
            else:
                runs.append((first, count))
        return runs


def _unnamed() -> BinaryIO:
    return tempfile.TemporaryFile(prefix="vclip-sound-")


def forget(sound: np.ndarray) -> None:
    """Gives back the memory that holds what was read of a mapped sound; it can be read again.

    The pages are the kernel's to take at any time, but until it does they count as the worker's.
    """
    mapped = getattr(sound, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _copy(source: BinaryIO, target: BinaryIO, count: int) -> None:
    while count and (piece := source.read(min(count, 1 << 20))):
        target.write(piece)
        count -= len(piece)
