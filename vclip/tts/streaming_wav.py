"""Speech on its way to a file, however long: a book does not fit into memory.

A TTS gives it in parts. They wait on disk beyond the first minutes, and their loudness is measured as they come: how
loud they are to be is only known at the end.
"""

import tempfile
from collections.abc import Iterable, Iterator

import numpy as np

from vclip.errors import InputError
from vclip.tts.loudness import Meter

IN_MEMORY_BYTES = 64 << 20  # eleven minutes at 24 kHz
CHUNK_BYTES = 4 << 20


class Spool:
    """The samples of some speech.

    Args:
        parts: (n,) float in -1..1 each, one after the other.
        sample_rate_hz: of the samples.

    Raises:
        InputError: a part is not finite or has another shape, or all of it is empty.
    """

    def __init__(self, parts: Iterable[np.ndarray], sample_rate_hz: int):
        self.sample_rate_hz = sample_rate_hz
        self._meter, self.samples = Meter(sample_rate_hz), 0
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 (as long as this lives)
        for part in parts:
            part = np.asarray(part)
            if part.ndim != 1 or not np.isfinite(part).all():
                raise InputError(f"expected finite samples of shape (n,), found {_described(part)}")
            self._meter.add(part)
            self._file.write(np.ascontiguousarray(part, np.float32).data)
            self.samples += len(part)
        if not self.samples:
            raise InputError("expected finite samples of shape (n,), found none")
        self._gain = np.float32(self._meter.gain())

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate_hz

    def chunks(self) -> Iterator[np.ndarray]:
        """Yields the samples (n,) float32 at -23 LUFS, or quieter where they would clip."""
        self._file.seek(0)
        while read := self._file.read(CHUNK_BYTES):
            yield np.frombuffer(read, np.float32) * self._gain

    def head(self, seconds: float) -> np.ndarray:
        """Returns the first samples (n,) float32, at that loudness: of so many seconds, or all."""
        self._file.seek(0)
        return np.frombuffer(self._file.read(4 * round(seconds * self.sample_rate_hz)), np.float32) * self._gain


def _described(part: np.ndarray) -> str:
    finite = "" if np.isfinite(part).all() else ", some not finite"
    return f"shape {part.shape}{finite}"
