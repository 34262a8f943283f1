"""The actors of a job's second half: one for each GPU or share of one, replaced where they or their GPUs are lost.

An actor is given work once it has opened, so that one which waits for a GPU holds nothing up. Where no actor opens,
the tasks do the whole work, and the job says so once. An error that breaks a CUDA context makes every later
call fail too: the actor is replaced and its items are tried again. A GPU that keeps failing is held by an actor
without work, so that no other actor is placed on it.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.cluster.failures import ENDS_THE_JOB, Failure
from pipelines.cluster.session import cluster_gpus, own_errors, worker_deaths
from pipelines.progress import warn
from pipelines.wording import count as counted
from vclip.errors import InputError

AHEAD = 2  # calls submitted to each actor
FAULTS = 3  # in a row, after which a GPU is given no more work
STARTS = 3  # that end without an actor in a row, after which the job ends
OPENING_S = 120.0  # that tasks wait for the first actor, before they do the whole work
# Messages of PyTorch and ONNX Runtime; what follows such an error in the same process fails as well.
LASTING = ("CUDA error", "CUDA failure", "cuDNN error")

OpenFirst = Callable[[], Callable[[Any, bool], Any]]  # the work of a task, see `tasks.run_tasks`
OpenSecond = Callable[[str], Callable[[list[Any]], Sequence[Any]]]  # (device) -> (results of tasks) -> as many


@dataclass(frozen=True)
class Actors:
    """How the work of a job is halved between tasks and actors.

    Attributes:
        halves: called when there is room for a first actor; returns what opens the half of the tasks and that of the
            actors, or None if the work does not gain from GPUs.
        count: returns how many actors there should be now; it is called again as the cluster changes.
        gpus: GPUs, or the share of one, that each actor asks Ray for.
        at_once: results of tasks, or parts of them, that one call takes, at most. The parts of one result come to
            one actor, in order.
        calls: calls that an actor works on at a time, each in a thread.
    """

    halves: Callable[[], tuple[OpenFirst, OpenSecond] | None]
    count: Callable[[], int]
    gpus: float
    at_once: int
    calls: int = 1


def gpu_actors(
    halves: Callable[[], tuple[OpenFirst, OpenSecond] | None],
    at_once: int,
    asked: int = 0,
    share: float = 1.0,
    gpus: Callable[[], int] = cluster_gpus,
    calls: int = 1,
) -> Actors:
    """Returns actors on the GPUs of the cluster, also on those that join later; without GPUs there are none.

    Args:
        halves, at_once, calls: as of `Actors`.
        asked: the number of actors; 0 for as many as the GPUs have room for, and never more than those.
        share: of a GPU, for each actor.
        gpus: returns how many GPUs the cluster has now.
    """
    said = []

    def count() -> int:
        room = gpus() * int(1 / share + 1e-9)
        if asked > room and not said:
            said.append(room)
            warn(f"{counted(asked, 'actor')} asked for, but the cluster's GPUs have room for {room}")
        return min(asked or room, room)

    return Actors(halves, count, share, at_once, calls)


@dataclass(frozen=True)
class LastingError:
    """The answer of an actor whose process can do no more work."""

    reason: str


@dataclass(eq=False)
class Member:
    """An actor of the pool."""

    handle: Any
    opening: Any  # the reference to the name of its GPU; None once it is open
    started_s: float
    gpu: str = ""
    calls: int = 0  # submitted and not answered
    retired: bool = False  # it only holds a GPU that fails


class ActorPool:
    """The actors of one job."""

    def __init__(self, actors: Actors):
        self.actors = actors
        self.first: OpenFirst | None = None  # the half of the tasks, once it is known that GPUs help
        self._second: OpenSecond | None = None
        self._members: list[Member] = []
        self._faults: Counter[str] = Counter()  # by GPU, since its last success
        self._failed_starts, self._said, self._gains = 0, False, True

    def resize(self) -> None:
        """Starts actors on GPUs that have joined, and gives up those that wait for GPUs that have left."""
        wanted = self.actors.count() if self._gains else 0
        if wanted and self.first is None:
            halves = self.actors.halves()
            self._gains = halves is not None
            if halves is None:
                return
            self.first, self._second = halves
        for member in [member for member in self._members if member.opening is not None]:
            if len(self._members) > wanted:
                self._remove(member)
        self._members += [self._start() for _ in range(wanted - len(self._members))]

    def usable(self) -> bool:
        """Returns whether work may be given to actors: one is open, or one may open soon."""
        now = time.monotonic()
        if any(not m.retired and (m.opening is None or now - m.started_s < OPENING_S) for m in self._members):
            return True
        if self._members and not self._said:
            self._said = True
            warn("no GPU takes work now (they are in use or have failed); the tasks do all the work until one does")
        return False

    def open_count(self) -> int:
        """Returns how many actors take work."""
        return sum(member.opening is None and not member.retired for member in self._members)

    def free(self) -> list[Member]:
        """Returns the actors that have room for more work, those with the least first."""
        able = [m for m in self._members if m.opening is None and not m.retired and m.calls < AHEAD]
        return sorted(able, key=lambda member: member.calls)

    def openings(self) -> dict[Any, Member]:
        """Returns the actors that open, by the references to wait for."""
        return {member.opening: member for member in self._members if member.opening is not None}

    def opened(self, member: Member) -> None:
        """Takes an actor that has opened, or has failed to.

        Raises:
            InputError: it lacks something, such as an encoder or CUDA; or actors die again and again while they open.
            RayTaskError: it met a defect.
        """
        import ray

        try:
            with own_errors():
                member.gpu, member.opening = ray.get(member.opening), None
        except worker_deaths() as error:
            self._remove(member)
            self._failed_starts += 1
            if self._failed_starts >= STARTS:
                reason = (str(error).strip().splitlines() or ["no reason given"])[-1].strip()
                raise InputError(f"the actors for GPUs die while they open; the last: {reason}") from None
            return
        self._failed_starts, self._said = 0, False
        if self._faults[member.gpu] >= FAULTS:
            member.retired = True
            warn(f"{member.gpu} failed {FAULTS} times in a row and is given no more work")

    def succeeded(self, member: Member) -> None:
        """Records that an actor has answered."""
        self._faults[member.gpu] = 0

    def lost(self, member: Member, reason: str) -> None:
        """Removes an actor that died or can do no more work; `resize` starts another."""
        if member in self._members:
            self._faults[member.gpu] += 1
            warn(f"the actor on {member.gpu} is replaced and its items are tried again: {reason}")
            self._remove(member)

    def end(self) -> None:
        """Stops all actors."""
        for member in list(self._members):
            self._remove(member)

    def _start(self) -> Member:
        import ray

        actor: Any = ray.remote(StageActor)
        options = {"num_gpus": self.actors.gpus, "num_cpus": 0, "max_restarts": 0, "max_task_retries": 0}
        handle = actor.options(**options, max_concurrency=self.actors.calls).remote(self._second)
        return Member(handle, handle.open.remote(), time.monotonic())

    def _remove(self, member: Member) -> None:
        import ray

        self._members.remove(member)
        ray.kill(member.handle)


class StageActor:
    """Does the second half. It opens in a call, because an error of an actor's constructor reaches the driver as the
    death of the actor."""

    def __init__(self, open_stage: OpenSecond):
        self._open_stage = open_stage
        self._work: Callable[[list[Any]], Sequence[Any]] = list

    def open(self) -> str:
        """Opens the stage on the GPU that Ray gave, and returns the name of that GPU."""
        import ray

        context = ray.get_runtime_context()
        given = context.get_accelerator_ids().get("GPU", [])
        self._work = self._open_stage("cuda" if given else "cpu")
        return f"GPU {', '.join(given)} of node {ray.util.get_node_ip_address()}" if given else "a node's CPU"

    def work(self, *values: list[Any]) -> list[list[Any]] | LastingError:
        """Returns the results of each value in order; failures of the first half are passed on."""
        items = [item for value in values for item in value]
        try:
            done = iter(self._guarded([item for item in items if not isinstance(item, Failure)]))
        except _LastingFault as fault:
            return LastingError(str(fault))
        return [[item if isinstance(item, Failure) else next(done) for item in value] for value in values]

    def _guarded(self, items: list[Any]) -> list[Any]:
        """Returns a result for each item; where the batch raises, each is tried on its own."""
        try:
            return list(self._work(items)) if items else []
        except ENDS_THE_JOB:
            raise
        except BaseException as error:
            if is_lasting(error):
                raise _LastingFault(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}") from None
            if len(items) > 1:
                return [done for item in items for done in self._guarded([item])]
            return [Failure.of_defect(error)]


class _LastingFault(Exception):
    """An error after which the actor's process can do no more work."""


def is_lasting(error: BaseException) -> bool:
    """Returns whether an error breaks the CUDA context of its process, so that later calls fail too."""
    text = f"{type(error).__name__}: {error}"
    return "OutOfMemoryError" not in text and (
        type(error).__name__ == "AcceleratorError" or any(mark in text for mark in LASTING)
    )
