"""The Ray cluster that a job runs on: one that is there already, or this machine; and its tasks' lives and deaths."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def start_ray(cpus: int | None = None) -> None:
    """Joins the cluster that RAY_ADDRESS names (as in `ray job submit`) or that runs here, else starts one here.

    Args:
        cpus: of the one that is started here; all there are if None.
    """
    import logging
    import warnings

    import ray

    # Ray forks and at once executes its servers; lancedb fears for forks that go on in Python.
    warnings.filterwarnings("ignore", message="lancedb fork support")
    if ray.is_initialized():
        return
    # Ray's core would warn of its issue 53727: an actor may not start again once its arguments are lost. They lie
    # on the driver's node, as the job does.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # they are handled
    quietly = {"log_to_driver": False, "logging_level": logging.ERROR}
    with _silent():
        if on_cluster():
            ray.init(**quietly)
            return
        try:
            # The dashboard would take as much of a core as the job's own bookkeeping.
            ray.init(include_dashboard=False, num_cpus=cpus, **quietly)
        except ValueError:  # that cannot be asked of a cluster that runs here already
            ray.init(**quietly)


def on_cluster() -> bool:
    """Returns whether RAY_ADDRESS names a cluster that runs already."""
    return bool(os.environ.get("RAY_ADDRESS"))


def ray_is_running() -> bool:
    """Returns whether this process has joined a cluster."""
    return "ray" in sys.modules and sys.modules["ray"].is_initialized()


def cluster_cpus() -> float:
    """Returns how many CPUs the cluster has now; 0 where all its nodes that work are still to be started."""
    import ray

    return ray.cluster_resources().get("CPU", 0.0)


def cluster_gpus() -> int:
    """Returns how many GPUs the cluster has now."""
    import ray

    return int(ray.cluster_resources().get("GPU", 0))


def worker_deaths() -> tuple[type[Exception], ...]:
    """Returns what Ray raises where a worker or its node is gone, or an object that was made there."""
    from ray import exceptions

    return (
        exceptions.WorkerCrashedError,
        exceptions.OutOfMemoryError,
        exceptions.NodeDiedError,
        exceptions.ObjectLostError,
        exceptions.ActorUnavailableError,
    )


def limit_threads() -> None:
    """Keeps OpenCV and torch to the one core that Ray gives a task; each would otherwise take every core."""
    import cv2
    import torch

    cv2.setNumThreads(1)
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@contextmanager
def _silent() -> Iterator[None]:
    """Keeps what Ray's core says of its log level off stderr; errors are raised."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
