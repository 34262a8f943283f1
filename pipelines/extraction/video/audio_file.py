"""The audio of a video in a temporary file, placed on the video's clock.

ffmpeg writes 16 kHz mono int16 and, beside it, the time of every packet. Where the audio format changes in mid-stream
(television does so at every break), ffmpeg builds new filters, which do not know the time before; the packet times
say where each run of samples belongs. Both files are unnamed: they vanish with the worker, however it ends.

Audio far below or above full scale loses its bits in int16. It is decoded again as float and brought to scale once.
"""

import mmap
import tempfile
from typing import IO

import numpy as np

from pipelines.extraction.video.frame_clock import LISTING, read_packet

SAMPLE_RATE_HZ = 16_000
SAMPLE_BYTES = 2
FULL_SCALE = 32_768
QUIET = 2**-8  # peak below which int16 keeps less than 8 bits
CLIPPED_SHARE = 0.01  # of the samples; a loud mix has runs at full scale too, but fewer
PIECE = 1 << 20  # samples


def out_of_scale(audio: np.ndarray) -> bool:
    """Returns whether int16 audio, (samples,), may have lost bits: it is very quiet, or much of it is clipped."""
    peak, clipped = 0, 0
    for i in range(0, len(audio), PIECE):
        magnitude = np.abs(audio[i : i + PIECE].astype(np.int32))
        peak = max(peak, int(magnitude.max()))
        clipped += int((magnitude >= FULL_SCALE - 1).sum())
        release_pages(audio)
    return bool(len(audio)) and (peak < QUIET * FULL_SCALE or clipped > CLIPPED_SHARE * len(audio))


def to_scale(peak: float) -> float:
    """Returns the factor that brings audio of this peak (full scale is 1) to scale; 1 where it is there already."""
    return 1.0 if QUIET <= peak <= 1 or peak == 0 else (1.0 if peak > 1 else 0.25) / peak


class AudioFile:
    """A temporary file that ffmpeg fills through `target`; then `place` and `samples` read it.

    Args:
        floats: ffmpeg writes float32, for audio that is not to scale.
    """

    def __init__(self, floats: bool = False) -> None:
        self._kind, self._bytes = (np.float32, 4) if floats else (np.int16, SAMPLE_BYTES)
        self.codec = "pcm_f32le" if floats else "pcm_s16le"
        self.gain = 1.0  # of `samples` over what ffmpeg decoded
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
        return f"[f={self.codec.removeprefix('pcm_')}]pipe:{data}|[f={LISTING}]pipe:{times}"

    def place(self) -> None:
        """Moves the samples to the places that their packet times give; most often they are there already."""
        runs = self._runs()
        if runs and runs != [(0, runs[0][1])]:
            self._move(runs)
        if self._kind is np.float32:
            self._bring_to_scale()

    def _move(self, runs: list[tuple[int, int]]) -> None:
        placed = _unnamed()
        self._data.seek(0)
        for start, count in runs:
            early = min(max(0, -start), count)  # before second 0
            self._data.seek(early * self._bytes, 1)
            placed.seek(max(0, start) * self._bytes)
            _copy(self._data, placed, (count - early) * self._bytes)
        self._data.close()
        self._data = placed

    def _bring_to_scale(self) -> None:
        floats, scaled = self._mapped(), _unnamed()
        pieces = range(0, len(floats), PIECE)
        peak = max((float(np.abs(np.nan_to_num(floats[i : i + PIECE])).max()) for i in pieces), default=0.0)
        self.gain = to_scale(peak)
        for i in pieces:
            piece = np.nan_to_num(floats[i : i + PIECE]) * np.float32(self.gain * FULL_SCALE)
            scaled.write(np.clip(np.rint(piece), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16).data)
        self._data.close()
        self._data, self._kind, self._bytes = scaled, np.int16, SAMPLE_BYTES

    def samples(self) -> np.ndarray:
        """Returns the audio, (samples,) int16 at 16 kHz, mapped from disk. Call it while the file is open."""
        return self._mapped()

    def _mapped(self) -> np.ndarray:
        self._data.flush()
        count = self._data.seek(0, 2) // self._bytes
        if not count:
            return np.zeros(0, self._kind)
        return np.frombuffer(mmap.mmap(self._data.fileno(), 0, access=mmap.ACCESS_READ), self._kind, count)

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
            first, count = packet.start, packet.size_bytes // self._bytes
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
