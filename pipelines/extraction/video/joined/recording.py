"""The recording that is looked at, and spans of it: files that lie in it."""

import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import av

BUFFER_BYTES = 1 << 20
MOST_PARTS = 1000
JOINABLE = "flv,matroska,nut,ogg,asf,mov"  # may follow a file of any format


class Progress:
    """Tells the parent every second that reading came further, but only where it did."""

    def __init__(self) -> None:
        self._most, self._told_s = 0, time.monotonic()

    def start(self) -> None:
        """Begins another pass over the file."""
        self._most = 0

    def __call__(self, done: int) -> None:
        if done > self._most and (now_s := time.monotonic()) > self._told_s + 1:
            self._most, self._told_s = done, now_s
            print(json.dumps({"at": done}), flush=True)


@dataclass(frozen=True)
class Recording:
    """A file, and the limits of what is read of it."""

    path: str
    format: str  # of its beginning, as ffmpeg names it
    gap_s: float  # the longest gap in its times
    most_s: float  # the longest recording
    progress: Progress

    @property
    def size_bytes(self) -> int:
        return os.path.getsize(self.path)


@dataclass(frozen=True)
class Span:
    """Where a file lies in the recording, in bytes."""

    start: int
    end: int
    prefix: bytes = b""  # to be read before it
    whole: bool = False  # the recording itself

    @contextmanager
    def opened(self, recording: Recording) -> Iterator[Any]:
        """Opens the file as a container of PyAV."""
        path = recording.path
        source: Any = f"file:{path}" if self.whole else _Slice(path, self.start, self.end, self.prefix)
        options = {"format_whitelist": f"{JOINABLE},{recording.format}", "protocol_whitelist": "file"}
        try:
            with av.open(source, options=options, metadata_errors="replace", buffer_size=BUFFER_BYTES) as container:
                yield container
        finally:
            if not self.whole:
                source.close()


class _Slice(io.RawIOBase):
    """A part of a file, behind `prefix`, as a file of its own."""

    def __init__(self, path: str, start: int, end: int, prefix: bytes) -> None:
        self._file = open(path, "rb")  # noqa: SIM115
        self._start, self._size, self._prefix, self._at = start, end - start + len(prefix), prefix, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = max(0, min(len(buffer), self._size - self._at))
        if self._at < len(self._prefix):
            data = self._prefix[self._at : self._at + count]
        else:
            self._file.seek(self._start + self._at - len(self._prefix))
            data = self._file.read(count)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        target = offset + {io.SEEK_CUR: self._at, io.SEEK_END: self._size}.get(whence, 0)
        self._at = max(0, min(target, self._size))  # damaged files ask for other places too
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        self._file.close()
        super().close()


def bytes_at(file: IO[bytes], at: int, count: int) -> bytes:
    """Returns `count` bytes of an open file, fewer at its end."""
    file.seek(at)
    return file.read(count)
