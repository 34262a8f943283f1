"""Limits on the processes that read media files: what they may take, and that they end with their worker."""

import functools
import resource
import shutil
import signal
import subprocess


class MediaError(Exception):
    """A file cannot be decoded, or not any further. One line that says what was found."""


@functools.cache
def dies_with_parent() -> tuple[str, ...]:
    """Returns what to put before a command so that it is killed when the worker is, even by SIGKILL (Linux).

    `setpriv` (util-linux) asks the kernel for it and becomes the command. A function run between fork and exec could
    too, but then Python forks in earnest, which is slow and unsafe in workers with threads. Where there is no such
    program, ffmpeg ends at the next picture that nobody reads, and a header reader at the end of its input.
    """
    prefix = ("setpriv", "--pdeathsig", "KILL", "--")
    if shutil.which("setpriv") is None:
        return ()
    return prefix if subprocess.run([*prefix, "true"], capture_output=True).returncode == 0 else ()


def limit_memory(pid: int, limit_mb: int) -> None:
    """Limits the address space of a child that runs (Linux; elsewhere nothing happens)."""
    _limit(pid, "RLIMIT_AS", limit_mb << 20)


def limit_files(pid: int, limit_bytes: int) -> None:
    """Limits the size of every file that a child writes (Linux; elsewhere nothing happens)."""
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
