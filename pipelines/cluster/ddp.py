"""Training on several GPUs of a machine or a cluster: Ray Train runs a process on each, and they train as one.

Every process holds all vectors and takes its share of each batch (`vclip.association.distributed`). The first
one reports and hands the model over. A process or node that dies is replaced, and the training goes on from its last
state.
"""

import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.cluster.session import limit_threads, start_ray
from vclip.association.distributed import Distributed
from vclip.association.loop import History, OnStep
from vclip.association.pairs import Pairs
from vclip.association.training import TrainConfig
from vclip.association.training import train as train_model
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
    """As `training.train`, on so many processes, each with a GPU where the cluster has any.

    Args:
        workers: processes.
        pairs, face_space, voice_space, config, on_step, fit_one: see there.
        state: where all nodes see it, if the training is to go on from it when the first one's node dies.

    Raises:
        InputError: the cluster is too small, or as `training.train`.
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
    desk = ray.remote(num_cpus=0)(_Desk).remote()
    job = {
        "pairs": ray.put(pairs),
        "spaces": (face_space, voice_space),
        "config": config.model_copy(update={"device": "cuda" if use_gpu else config.device}),
        "state": state and state.absolute(),
        "fit_one": fit_one,
        "desk": desk,
    }
    with tempfile.TemporaryDirectory() as folder, _Watched(desk, on_step):
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
        return _outcome(ray.get(desk.outcome.remote()))


def _quiet(ray_train: Any) -> dict[str, Any]:
    """Returns the options of a RunConfig that log only errors; `LoggingConfig` is not in Ray 2.50."""
    logging_config = getattr(ray_train, "LoggingConfig", None)
    return {"logging_config": logging_config(log_level="ERROR")} if logging_config else {}


def _train_rank(job: dict[str, Any]) -> None:
    """What each process does."""
    import ray

    limit_threads()
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # they are only read
    group, desk = Distributed.here(), job["desk"]

    def on_step(*done: float) -> None:
        desk.at.remote(done)

    try:
        model, history = train_model(
            ray.get(job["pairs"]),
            *job["spaces"],
            job["config"],
            on_step if group.first else None,
            job["state"],
            job["fit_one"],
        )
        outcome = model.cpu(), history
    except InputError as error:  # all ranks meet the same one, and trying again would not help
        outcome = error
    if group.first:
        ray.get(desk.put.remote(outcome))


def _outcome(found: Any) -> tuple[Any, History]:
    if isinstance(found, InputError):
        raise found
    return found


class _Desk:
    """Where the first process says how far it is, and leaves what it has made."""

    def __init__(self) -> None:
        self._at, self._outcome = None, None

    def at(self, done: tuple[int, int, float] | None = None) -> tuple[int, int, float] | None:
        self._at = done or self._at
        return self._at

    def put(self, outcome: Any) -> None:
        self._outcome = outcome

    def outcome(self) -> Any:
        return self._outcome


class _Watched:
    """Tells, while the block runs, how far the work is."""

    def __init__(self, desk: Any, on_step: OnStep | None):
        self._desk, self._on_step, self._over = desk, on_step, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        if self._on_step:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._on_step:
            self._thread.join()

    def _watch(self) -> None:
        import ray

        while not self._over.wait(LOOK_EVERY_S):
            if at := ray.get(self._desk.at.remote()):
                self._on_step(*at)
