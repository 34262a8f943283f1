"""The worker's side of `headers`: one child process for all files, started at the first, replaced when it dies."""

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
_child: "_HeaderReader | None" = None


def read_headers(path: str, config: MediaConfig) -> dict[str, Any]:
    """Returns what `headers.headers` says about a file.

    Raises:
        MediaError: it takes longer than `config.open_limit_s`, or the reading process dies of the file.
    """
    global _child
    with _lock:
        if _child is None or not _child.usable():
            _child = _HeaderReader()
            atexit.register(_child.close)
        return _child.ask(path, config)


class _HeaderReader:
    def __init__(self) -> None:
        # -P: the script's folder is no place to import from; it holds modules named like others.
        self._process = subprocess.Popen(
            [*dies_with_parent(), sys.executable, "-P", str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        self._owner = os.getpid()

    def usable(self) -> bool:
        """Whether it lives and is ours: a forked worker must not share its parent's pipes."""
        return self._owner == os.getpid() and self._process.poll() is None

    def ask(self, path: str, config: MediaConfig) -> dict[str, Any]:
        limit_memory(self._process.pid, config.memory_limit_mb)
        try:
            self._process.stdin.write(json.dumps({"path": path}).encode() + b"\n")
            line = self._line(config.open_limit_s)
        except BrokenPipeError:
            line = b""
        except TimeoutError:
            self.close()
            raise MediaError(f"its headers could not be read within {config.open_limit_s:g} s") from None
        if not line.endswith(b"\n"):
            code = self._process.wait()
            self.close()
            raise MediaError(f"reading its headers ended {ended_by(code)}")
        return json.loads(line)

    def _line(self, limit_s: float) -> bytes:
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
        atexit.unregister(self.close)
        if self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
