"""Child processes in which operations run, so that they can be killed, and the end of whatever they leave."""

import ctypes
import os
import pickle
import select
import signal
import time
from collections.abc import Callable
from typing import Any

import psutil

LIMIT_S = 600.0  # of one child
SERVER = "benchmarks.reliability.s3_server"  # the module of the only child that outlives an operation


def adopt_orphans() -> None:
    """Makes what the children leave children of this process, which ends them."""
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER


def in_child(work: Callable[[], Any]) -> tuple[str, Any]:
    """Runs work in a fork of this process, and ends what it leaves.

    Args:
        work: what to run; its result must be picklable.

    Returns:
        ("done", result); ("told", text) of an error of ours, ("error", text) of any other; ("killed", signal) or
        ("hung", None).
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        _answer(work, writer)
    os.close(writer)
    answer, until_s = b"", time.monotonic() + LIMIT_S
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while True:
            ready, _, _ = select.select([pipe], [], [], max(0.0, until_s - time.monotonic()))
            if not ready:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                end_orphans()
                return "hung", None
            part = pipe.read(1 << 20)
            if not part:
                break
            answer += part
    _, status = os.waitpid(pid, 0)
    end_orphans()
    return pickle.loads(answer) if answer else ("killed", os.WTERMSIG(status) if os.WIFSIGNALED(status) else status)


def undisturbed(name: str, work: Callable[[], Any]) -> Any:
    """Returns the result of work in a child, which must not fail."""
    return expect_done(name, *in_child(work))


def expect_done(name: str, kind: str, told: Any) -> Any:
    """Returns the result of a child; ends the command if there is none."""
    if kind != "done":
        raise SystemExit(f"{name}, undisturbed: {kind} {told}")
    return told


def end_orphans() -> None:
    """Ends the processes that an operation left, such as Ray's, which notice only later that it is gone."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return
    left = [child for child in psutil.Process().children() if not _serves(child)]
    for child in left:
        child.kill()
    psutil.wait_procs(left)
    if left:
        end_orphans()  # those of the ones that ended


def _answer(work: Callable[[], Any], writer: int) -> None:
    """Runs work in a child, sends its answer and ends the process."""
    os.setpgid(0, 0)
    with open(os.environ.get("RELIABILITY_LOG", os.devnull), "a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        answer = ("done", work())
    except BaseException as error:
        from stores import StoreError
        from vclip.errors import InputError

        ours = isinstance(error, StoreError | InputError)
        answer = ("told" if ours else "error", f"{type(error).__name__}: {error}"[:300])
    try:
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(answer, pipe)
    finally:
        os._exit(0)


def _serves(process: psutil.Process) -> bool:
    """Whether a process is our S3 server; one that has ended since is not."""
    try:
        return SERVER in process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False
