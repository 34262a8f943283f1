"""The audio of a video in a temporary file, placed on the video's clock.

ffmpeg writes 16 kHz mono int16 and, beside it, the time of every packet. Where the audio format changes in mid-stream
(television does so at every break), ffmpeg builds new filters, which do not know the time before; the packet times
say where each run of samples belongs. Both files are unnamed: they vanish with the worker, however it ends.
"""

import mmap
import tempfile
from typing import IO

import numpy as np

from pipelines.extraction.video.frame_clock import LISTING, read_packet

SAMPLE_RATE_HZ = 16_000
SAMPLE_BYTES = 2


class AudioFile:
    """A temporary file that ffmpeg fills through `target`; then `place` and `samples` read it."""

    def __init__(self) -> None:
        self._data = _unnamed()
        self._times = _unnamed()

    @property
    def fds(self) -> tuple[int, int]:
        """The file descriptors that ffmpeg inherits."""
        return self._data.fileno(), self._times.fileno()

    @property
    def target(self) -> str:
        """The output for ffmpeg's `tee` muxer: samples to one file, times to the other."""
        data, times = self.fds
        return f"[f=s16le]pipe:{data}|[f={LISTING}]pipe:{times}"

    def place(self) -> None:
        """Moves the samples to the places that their packet times give; most often they are there already."""
        runs = self._runs()
        if not runs or runs == [(0, runs[0][1])]:
            return
        placed = _unnamed()
        self._data.seek(0)
        for start, count in runs:
            early = min(max(0, -start), count)  # before second 0
            self._data.seek(early * SAMPLE_BYTES, 1)
            placed.seek(max(0, start) * SAMPLE_BYTES)
            _copy(self._data, placed, (count - early) * SAMPLE_BYTES)
        self._data.close()
        self._data = placed

    def samples(self) -> np.ndarray:
        """Returns the audio, (samples,) int16 at 16 kHz, mapped from disk. Call it while the file is open."""
        self._data.flush()
        count = self._data.seek(0, 2) // SAMPLE_BYTES
        if not count:
            return np.zeros(0, np.int16)
        return np.frombuffer(mmap.mmap(self._data.fileno(), 0, access=mmap.ACCESS_READ), np.int16, count)

    def close(self) -> None:
        """Closes both files, which frees the disk."""
        self._data.close()
        self._times.close()

    def _runs(self) -> list[tuple[int, int]]:
        """Returns (first sample on the clock, count) of each run of contiguous packets."""
        runs: list[tuple[int, int]] = []
        self._times.seek(0)
        for line in self._times:
            packet = read_packet(line)
            if packet is None:
                continue
            first, count = packet.start, packet.size_bytes // SAMPLE_BYTES
            if runs and first == sum(runs[-1]):
                runs[-1] = runs[-1][0], runs[-1][1] + count
            else:
                runs.append((first, count))
        return runs


def _unnamed() -> IO[bytes]:
    return tempfile.TemporaryFile(prefix="vclip-audio-")


def release_pages(audio: np.ndarray) -> None:
    """Frees the memory that holds the parts read of a mapped audio file; they can be read again.

    The kernel may free these pages at any time, but until it does they count as memory of the worker.

    Args:
        audio: what `AudioFile.samples` returned, or a part of it. Nothing happens to an array that is not mapped.
    """
    base: object = audio
    while isinstance(base, np.ndarray):
        base = base.base
    mapped = base.obj if isinstance(base, memoryview) else base
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _copy(source: IO[bytes], target: IO[bytes], count: int) -> None:
    while count and (piece := source.read(min(count, 1 << 20))):
        target.write(piece)
        count -= len(piece)
