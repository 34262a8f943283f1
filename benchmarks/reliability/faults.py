"""Counting the calls that change files, and killing the process that makes one of them: the driver of `faults.c`."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reliability.children import in_child
from tests.support import ROOT

# The cells of a control: calls so far, the call to die at, 1 while counting, the operation's process, and for the S3
# server the first request to refuse.
CALLS, KILL_AT, COUNTING, PROCESS, REFUSE_FROM = range(5)


class Control:
    """The memory that children, `faults.c` and the S3 server share: five int64, named above."""

    def __init__(self, path: Path):
        self.path = path
        if not path.exists():
            path.write_bytes(bytes(4096))
        self.cells = np.memmap(path, np.int64, "r+", shape=(5,))

    def run(self, work: Callable[[], Any], kill_at: int = 0, refuse_from: int = 0) -> tuple[str, Any, int]:
        """Runs work in a child while its calls are counted; returns the answer of `in_child` and the number of calls.

        Args:
            work: what to run.
            kill_at: the number of the call to die at; 0 for none.
            refuse_from: the number of the first request that the S3 server refuses; 0 for none.
        """

        def counted() -> None:
            self.cells[PROCESS] = os.getpid()
            self.cells[COUNTING] = 1
            try:
                work()
            finally:
                self.cells[COUNTING] = 0

        self.cells[:] = 0
        self.cells[KILL_AT], self.cells[REFUSE_FROM] = kill_at, refuse_from
        kind, told = in_child(counted)
        calls = int(self.cells[CALLS])
        self.cells[:] = 0
        return kind, told, calls


def restart_with_faults() -> int:
    """Runs this command again with `faults.c` before libc, and returns its exit code."""
    with tempfile.TemporaryDirectory(prefix="reliability") as folder:
        room = Path(folder).resolve()
        (room / "files").mkdir()
        library, source = room / "faults.so", Path(__file__).with_name("faults.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
        Control(room / "control")
        env = os.environ | {
            "LD_PRELOAD": str(library),
            "FAULTS_CONTROL": str(room / "control"),
            "FAULTS_ROOT": str(room / "files"),
            "OMP_NUM_THREADS": "1",
            "PYTHONWARNINGS": "ignore",  # that forks of a process that has used no store yet might be a danger
            "PYTHONPATH": str(ROOT),
        }
        return subprocess.run([sys.executable, "-m", "benchmarks.reliability", *sys.argv[1:]], env=env).returncode
