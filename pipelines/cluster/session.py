"""The Ray cluster of a job: a running one, or one that is started on this machine; and the errors of dead workers."""

import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import IO, Any
from urllib.parse import urlsplit

from vclip.errors import InputError

REACH_S = 5.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")
SHOWN_LINES = 5  # of what Ray printed before it failed


def start_ray(cpus: int | None = None) -> None:
    """Joins the cluster that RAY_ADDRESS names or that runs on this machine; otherwise starts one on this machine.

    Args:
        cpus: the number of CPUs of a cluster that is started here; None for all CPUs of this machine.

    Raises:
        InputError: the cluster cannot be reached, or Ray cannot start; with Ray's own reason.
    """
    import logging
    import warnings

    import ray

    # Ray forks and at once executes its servers; lance and lancedb warn of forks that go on in Python.
    for warning in ("lance is not fork-safe", "lancedb fork support"):
        warnings.filterwarnings("ignore", message=warning)
    if ray.is_initialized():
        return
    # Ray's core would warn of its issue 53727: an actor cannot restart once its arguments are lost. Here they are on
    # the driver's node, and without the driver there is no job.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # they are handled
    quietly: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    address = os.environ.get("RAY_ADDRESS", "")
    if address:
        check_address(address)
    with tempfile.TemporaryFile() as printed:
        try:
            with _stderr_to(printed):
                _init(cpus, quietly)
        except Exception as error:  # Ray raises anything from ValueError to Exception itself
            what = f"the cluster at RAY_ADDRESS={address} cannot be joined" if address else "cannot start here"
            hint = _if_busy() if "timed out" in str(error) else ""
            raise InputError(f"Ray: {what} ({_reason(error)}){hint}{_last_lines(printed)}") from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _end)  # Ray's core would print its stack and abort


class Terminated(SystemExit):
    """The process was asked to end, by SIGTERM."""


def _end(signum: int, frame: FrameType | None) -> None:
    """Ends the command as an interrupt does, so that its run is recorded; with the exit code of a shell."""
    raise Terminated(128 + signum)


def _init(cpus: int | None, quietly: dict[str, Any]) -> None:
    import ray

    if on_cluster():
        with _on_loopback() if _only_on_loopback(os.environ["RAY_ADDRESS"]) else nullcontext():
            ray.init(**quietly)
        return
    try:
        # The dashboard would take as much of a core as the job's own bookkeeping.
        with _on_loopback():
            ray.init(_where(), include_dashboard=False, num_cpus=cpus, **quietly)
    except ValueError:  # these options are refused where a cluster runs here already
        ray.init(**quietly)


def _where() -> str | None:
    """Returns "local" where the cluster that Ray has on record for this machine is gone, else None.

    `ray start` records its head in a file, which stays when the machine goes down without `ray stop`; Ray would then
    try for minutes to join it.
    """
    from ray._private import utils

    host, _, port = (utils.read_ray_address() or "").rpartition(":")
    gone = port.isdecimal() and all(_refusal(name, int(port), REACH_S) for name in _hosts_of(host))
    return "local" if gone else None


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Makes the servers of a cluster that the block starts listen on loopback only.

    Ray's servers listen on all interfaces unless the address of the node is 127.0.0.1, and `ray.init` replaces
    127.0.0.1 by the address of the machine unless it is told that clusters of several machines are off. Ray reads the
    variable when it is imported, and the processes that it starts read it from their environment.
    """
    from ray._private import ray_constants

    name, several = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, ray_constants.ENABLE_RAY_CLUSTER
    given = os.environ.get(name)
    os.environ[name], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = several
        if given is None:
            del os.environ[name]
        else:
            os.environ[name] = given


def check_address(address: str, reach_s: float = REACH_S) -> None:
    """Checks that something listens where RAY_ADDRESS says; Ray itself would try for minutes.

    Args:
        address: `host:port` of a head; `ray://host:port` of a Ray client server; "auto", "local" and other forms are
            Ray's to resolve.
        reach_s: seconds after which a cluster that does not answer is given up.

    Raises:
        InputError: nothing listens there, or the address is of no such form.
    """
    scheme, separator, _ = address.partition("://")
    if scheme in ("http", "https"):
        raise InputError(
            f"RAY_ADDRESS={address}: found the address of a dashboard, expected the cluster's host:port; "
            "`ray job submit` reads a dashboard's address from RAY_API_SERVER_ADDRESS"
        )
    if separator and scheme != "ray":
        return
    try:
        parts = urlsplit(address if separator else f"ray://{address}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"RAY_ADDRESS={address}: {error}; expected host:port") from None
    if not host or not port:
        if separator:
            raise InputError(f"RAY_ADDRESS={address}: found no port, expected ray://host:port")
        return  # "auto", "local"
    hosts = [host] if separator else _hosts_of(host)
    until_s = time.monotonic() + reach_s
    while errors := [error for error in (_refusal(name, port, reach_s) for name in hosts) if error]:
        if len(errors) < len(hosts):
            return
        if time.monotonic() > until_s:
            raise InputError(
                f"RAY_ADDRESS={address}: nothing answers there ({errors[0].strerror or errors[0]}); start that "
                "cluster, or unset RAY_ADDRESS to use this machine"
            )
        time.sleep(0.5)


def _hosts_of(host: str) -> list[str]:
    """Returns where Ray looks for a head: it replaces a loopback address by this machine's own."""
    import ray.util

    return [host, ray.util.get_node_ip_address()] if host in LOOPBACK else [host]


def _only_on_loopback(address: str) -> bool:
    """Returns whether a head answers at a loopback address and not at this machine's own."""
    host, _, port = address.rpartition(":")
    if host not in LOOPBACK or not port.isdecimal():
        return False
    refusals = [_refusal(name, int(port), 1.0) for name in _hosts_of(host)]
    return refusals[0] is None and refusals[-1] is not None


def _refusal(host: str, port: int, timeout_s: float) -> OSError | None:
    """Returns why no connection can be made, or None if one can."""
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except OSError as error:
        return error
    return None


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _if_busy() -> str:
    """Returns what to do about a start that timed out, if this machine has more to do than it has cores."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    return (
        f"; {load:.0f} processes want the {cores} cores of this machine: run the command again"
        if load > cores
        else ""
    )


def _last_lines(printed: IO[bytes]) -> str:
    """Returns the end of what Ray printed, each line on a line of its own; empty where it printed nothing."""
    printed.seek(0)
    lines = [line for line in printed.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return "".join(f"\n  {line}" for line in lines[-SHOWN_LINES:])


def on_cluster() -> bool:
    """Returns whether RAY_ADDRESS names a cluster that runs already."""
    return bool(os.environ.get("RAY_ADDRESS"))


def ray_is_running() -> bool:
    """Returns whether this process has joined a cluster."""
    return "ray" in sys.modules and sys.modules["ray"].is_initialized()


def cluster_cpus() -> float:
    """Returns how many CPUs the cluster has now; 0 where no node that takes tasks has started yet."""
    import ray

    return ray.cluster_resources().get("CPU", 0.0)


def cluster_gpus() -> int:
    """Returns how many GPUs the cluster has now."""
    import ray

    return int(ray.cluster_resources().get("GPU", 0))


def worker_deaths() -> tuple[type[Exception], ...]:
    """Returns the errors that Ray raises where a worker, its node or an object that was made there is lost."""
    from ray import exceptions

    return (
        exceptions.WorkerCrashedError,
        exceptions.OutOfMemoryError,
        exceptions.NodeDiedError,
        exceptions.ObjectLostError,
        exceptions.RayActorError,
    )


@contextmanager
def own_errors() -> Iterator[None]:
    """Raises an InputError of a task or an actor as such, and other errors without the driver's part."""
    from ray.exceptions import RayTaskError

    try:
        yield
    except RayTaskError as error:
        if isinstance(error, worker_deaths()):
            raise
        raise error.cause if isinstance(error.cause, InputError) else error from None


def hide_gpus() -> None:
    """Hides the GPUs of its node from a task that asked for none; Ray shows them to it from version 2.60 on.

    Each task that found one would hold some hundred MB of it.
    """
    import ray

    if not ray.get_runtime_context().get_accelerator_ids().get("GPU"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def limit_threads() -> None:
    """Keeps OpenCV and torch to the one core that Ray gives a task; each would otherwise take every core."""
    import cv2
    import torch

    cv2.setNumThreads(1)
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@contextmanager
def _stderr_to(file: IO[bytes]) -> Iterator[None]:
    """Sends stderr, that of Ray's core too, to a file; the core always prints its log level there."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        os.dup2(file.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
