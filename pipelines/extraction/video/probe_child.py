"""Reads headers in a child process (`headers`): one for all files, started at the first, replaced when it dies."""

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pipelines.extraction.config import MediaConfig
from pipelines.extraction.video.limits import MediaError, dies_with_parent, ended_by, limit_memory

SCRIPT = Path(__file__).with_name("headers.py")

_lock = threading.Lock()
_child: "HeaderReader | None" = None


def read_headers(path: str, config: MediaConfig) -> dict[str, Any]:
    """Returns the headers of a file, see `headers.headers`.

    Raises:
        MediaError: reading takes longer than `config.open_limit_s`, or the child dies of the file.
    """
    global _child
    with _lock:
        if _child is None or not _child.usable():
            _child = HeaderReader()
            atexit.register(_child.close)
        return _child.read(path, config)


class HeaderReader:
    """One child process.

    Args:
        script: the Python file that it runs.
    """

    def __init__(self, script: Path = SCRIPT) -> None:
        # -P keeps the script's folder off the import path: modules there have names of packages, such as `ffmpeg`.
        self._process = subprocess.Popen(
            [*dies_with_parent(), sys.executable, "-P", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        self._owner = os.getpid()

    def usable(self) -> bool:
        """Returns whether the child lives and is ours: a forked worker must not share its parent's pipes."""
        return self._owner == os.getpid() and self._process.poll() is None

    def read(self, path: str, config: MediaConfig) -> dict[str, Any]:
        """Returns the headers of a file; raises MediaError as `read_headers`."""
        assert self._process.stdin is not None
        limit_memory(self._process.pid, config.memory_limit_mb)
        try:
            self._process.stdin.write(json.dumps({"path": path}).encode() + b"\n")
            line = self._line(config.open_limit_s)
        except BrokenPipeError:
            line = b""
        except TimeoutError:
            self.close()
            raise MediaError(f"the headers could not be read within {config.open_limit_s:g} s") from None
        if not line.endswith(b"\n"):
            code = self._process.wait()
            self.close()
            raise MediaError(f"reading the headers ended {ended_by(code)}")
        return json.loads(line)

    def _line(self, limit_s: float) -> bytes:
        assert self._process.stdout is not None
        line, deadline_s = b"", time.monotonic() + limit_s
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        while not line.endswith(b"\n"):
            if not poll.poll(max(0.0, deadline_s - time.monotonic()) * 1000):
                raise TimeoutError
            piece = os.read(self._process.stdout.fileno(), 1 << 16)
            if not piece:
                break
            line += piece
        return line

    def close(self) -> None:
        """Ends the child."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        atexit.unregister(self.close)
        if self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
