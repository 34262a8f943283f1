"""Limits on the processes that read media files: memory, file size, and that they end with their worker."""

import functools
import resource
import shutil
import signal
import subprocess


class MediaError(Exception):
    """A file cannot be decoded, or only up to some point; the message is one line that says what was found.

    Args:
        message: the line.
        format: ffmpeg's name of the container, where the files that were joined into it may be readable.
    """

    def __init__(self, message: str, format: str = "") -> None:
        super().__init__(message)
        self.format = format


@functools.cache
def dies_with_parent() -> tuple[str, ...]:
    """Returns the command prefix with which a child is killed when its worker dies, even by SIGKILL (Linux).

    `setpriv` (util-linux) sets the parent-death signal and then executes the command. A `preexec_fn` could set it
    too, but makes Python fork, which is slow and unsafe in workers with threads. The prefix is empty where setpriv
    is missing: then ffmpeg ends at the next frame that nobody reads, and the header reader at the end of its input.
    """
    prefix = ("setpriv", "--pdeathsig", "KILL", "--")
    if shutil.which("setpriv") is None:
        return ()
    return prefix if subprocess.run([*prefix, "true"], capture_output=True).returncode == 0 else ()


def limit_memory(pid: int, limit_mb: int) -> None:
    """Limits the address space of a running child (Linux; elsewhere nothing happens)."""
    _limit(pid, "RLIMIT_AS", limit_mb << 20)


def limit_files(pid: int, limit_bytes: int) -> None:
    """Limits the size of each file that a running child writes (Linux; elsewhere nothing happens)."""
    _limit(pid, "RLIMIT_FSIZE", limit_bytes)


def _limit(pid: int, name: str, limit: int) -> None:
    if not hasattr(resource, "prlimit"):
        return
    try:
        hard = resource.prlimit(pid, getattr(resource, name))[1]
        most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.prlimit(pid, getattr(resource, name), (most, hard))
    except ProcessLookupError:
        pass  # it has ended already


def ended_by(code: int) -> str:
    """Returns how a process ended, in words: `with status 1`, `by SIGSEGV`."""
    if code >= 0:
        return f"with status {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"
