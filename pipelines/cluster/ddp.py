"""Distributed training on several GPUs of a machine or a cluster: Ray Train runs one process per GPU.

Every process holds all vectors and takes its share of each batch (`vclip.association.distributed`). Rank 0 reports
its progress and hands the model over. A process or node that dies is replaced, and training resumes from the last
state.
"""

import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.cluster.session import limit_threads, own_errors, start_ray
from vclip.association.distributed import Distributed
from vclip.association.loop import History, OnStep
from vclip.association.pairs import Pairs
from vclip.association.training import TrainConfig
from vclip.association.training import train as train_model
from vclip.device import torch_device
from vclip.errors import InputError

LOOK_EVERY_S = 0.5
MOST_DEATHS = 3


def train_on(
    workers: int,
    pairs: Pairs,
    face_space: str,
    voice_space: str,
    config: TrainConfig | None = None,
    on_step: OnStep | None = None,
    state: Path | None = None,
    fit_one: Callable[..., tuple[Any, History]] | None = None,
) -> tuple[Any, History]:
    """Returns the model and the history of `training.train`, run by several processes.

    Args:
        workers: the number of processes, each with a GPU where the cluster has GPUs.
        pairs, face_space, voice_space, config, on_step, fit_one: as of `training.train`.
        state: as of `training.train`; on a path that all nodes share, training resumes even if rank 0's node dies.

    Raises:
        InputError: the cluster is too small, torch finds no GPU where Ray has one, or as of `training.train`.
    """
    import ray
    import ray.train
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    config = config or TrainConfig()
    start_ray()
    has = ray.cluster_resources()
    use_gpu = config.device.startswith("cuda") or (not config.device and has.get("GPU", 0) > 0)
    kind = "GPU" if use_gpu else "CPU"
    if has.get(kind, 0) < workers:
        raise InputError(f"{workers} workers asked for, but the cluster has {has.get(kind, 0):g} {kind}s")
    if use_gpu:
        _check_gpus(workers)
    mailbox: Any = ray.remote(num_cpus=0)(_Mailbox).remote()
    job = {
        "pairs": ray.put(pairs),
        "spaces": (face_space, voice_space),
        "config": config.model_copy(update={"device": "cuda" if use_gpu else config.device}),
        "state": state and state.absolute(),
        "fit_one": fit_one,
        "mailbox": mailbox,
    }
    with tempfile.TemporaryDirectory() as folder, _ProgressRelay(mailbox, on_step):
        trainer = TorchTrainer(
            _train_rank,
            train_loop_config=job,
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=use_gpu),
            run_config=RunConfig(
                storage_path=folder,
                failure_config=FailureConfig(max_failures=MOST_DEATHS),
                **_quiet(ray.train),
            ),
        )
        trainer.fit()
        return _model_or_error(ray.get(mailbox.outcome.remote()))


def _check_gpus(workers: int) -> None:
    """Raises InputError where torch finds no GPU in a worker; the process group would end in a long traceback."""
    import ray

    check: Any = ray.remote(num_gpus=1, num_cpus=0, max_retries=0, scheduling_strategy="SPREAD")(_see_gpu)
    with own_errors():
        ray.get([check.remote() for _ in range(workers)])


def _see_gpu() -> None:
    torch_device("cuda")


def _quiet(ray_train: Any) -> dict[str, Any]:
    """Returns the options of a RunConfig that log only errors; `LoggingConfig` is not in Ray 2.50."""
    logging_config = getattr(ray_train, "LoggingConfig", None)
    return {"logging_config": logging_config(log_level="ERROR")} if logging_config else {}


def _train_rank(job: dict[str, Any]) -> None:
    """Trains in one process of the run; rank 0 puts model and history, or the InputError, into the mailbox."""
    import ray

    limit_threads()
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # they are only read
    group, mailbox = Distributed.here(), job["mailbox"]
    face_space, voice_space = job["spaces"]

    def on_step(*done: float) -> None:
        mailbox.at.remote(done)

    try:
        model, history = train_model(
            ray.get(job["pairs"]),
            face_space,
            voice_space,
            job["config"],
            on_step if group.first else None,
            job["state"],
            job["fit_one"],
        )
        outcome = model.cpu(), history
    except InputError as error:  # all ranks raise the same one, and a retry would not help
        outcome = error
    if group.first:
        ray.get(mailbox.put.remote(outcome))


def _model_or_error(found: Any) -> tuple[Any, History]:
    if isinstance(found, InputError):
        raise found
    return found


class _Mailbox:
    """The actor through which rank 0 reports its progress and hands over the outcome."""

    def __init__(self) -> None:
        self._at, self._outcome = None, None

    def at(self, done: tuple[int, int, float] | None = None) -> tuple[int, int, float] | None:
        self._at = done or self._at
        return self._at

    def put(self, outcome: Any) -> None:
        self._outcome = outcome

    def outcome(self) -> Any:
        return self._outcome


class _ProgressRelay:
    """Calls `on_step` with the progress in the mailbox, while the block runs."""

    def __init__(self, mailbox: Any, on_step: OnStep | None):
        self._mailbox, self._on_step, self._over = mailbox, on_step, threading.Event()
        self._thread = threading.Thread(target=self._relay, args=(on_step,), daemon=True)

    def __enter__(self) -> None:
        if self._on_step:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._on_step:
            self._thread.join()

    def _relay(self, on_step: OnStep) -> None:
        import ray

        while not self._over.wait(LOOK_EVERY_S):
            if at := ray.get(self._mailbox.at.remote()):
                on_step(*at)
