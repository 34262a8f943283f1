"""This machine and its processes: a clock that nobody sets, and names of processes that never come again."""

import os
import secrets
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


def _boot() -> str:
    """The name of this machine's time since its start; of this process alone where the system does not tell."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with suppress(OSError, subprocess.SubprocessError):  # macOS
        command = ["sysctl", "-n", "kern.bootsessionuuid"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    return secrets.token_hex(16)


def _since_boot_s() -> float:
    boottime = getattr(time, "CLOCK_BOOTTIME", None)  # counts while the machine sleeps
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


@dataclass(frozen=True)
class Clock:
    """A clock of durations, which no one sets.

    Args:
        name: clocks of one name show one time.
        now_s: returns seconds since some moment.
    """

    name: str
    now_s: Callable[[], float]


HERE = Clock(_boot(), _since_boot_s)


def process_name(pid: int) -> str:
    """The name of a process that no other has or had; "" if the system does not tell, or the process has ended."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else f"{HERE.name}/{os.readlink('/proc/self/ns/pid')}/{pid}/{fields[18]}"
    except OSError:
        return ""


def is_gone(name: str) -> bool:
    """Returns whether a process, by its name, ran on this machine and has ended."""
    if name.split("/")[:2] != process_name(os.getpid()).split("/")[:2]:
        return False
    pid = int(name.split("/")[2])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it is another user's
    return process_name(pid) != name and os.access(f"/proc/{pid}/stat", os.R_OK)
