"""The task engine of all jobs: a Ray cluster works on many items, and each is in the results exactly once.

    batches of items -> work (tasks) -> results                           on CPUs
    batches of items -> first half (tasks) -> second (actors) -> results    where a GPU does the second half

Twice as many tasks as the cluster runs at once are submitted, those whose results wait for an actor among them, so
the object store and the driver stay small however many items there are. The size of the cluster is read every few
seconds: pending tasks are what makes an autoscaler add nodes, and each node or GPU that joins is given work. When a
task is submitted, it is decided whether it does the whole work or its first half.

A worker that dies (a segmentation fault, the kernel's or Ray's out-of-memory killer, a lost node) takes the items of
its task with it. They are tried again among the others, and at last one by one with nothing else running. Ray itself
must not retry them: it would do so forever with an item that kills its worker. An item that raises is a `Failure`
with its traceback; the other items go on.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from pipelines.cluster.actors import AHEAD, ActorPool, Actors, LastingError, Member
from pipelines.cluster.failures import Failure
from pipelines.cluster.remote_task import Batch, RemoteTask, Work
from pipelines.cluster.session import cluster_cpus, own_errors, worker_deaths
from pipelines.progress import warn
from pipelines.wording import count

T = TypeVar("T")
R = TypeVar("R")


DIED = Failure("the worker died three times, the last time with nothing else running (memory, or a crash)")
ATTEMPTS_AMONG_OTHERS = 2  # before an item is tried alone
SIZE_EVERY_S = 5.0  # how often the cluster is asked for its size


def run_tasks(
    batches: Iterable[Sequence[T]],
    open_work: Callable[[], Work[T, R]],
    name: str,
    task_cpus: float,
    *,
    actors: Actors | None = None,
    in_parts: bool = False,
    received: Callable[[Any], Any] = lambda result: result,
    threads: int = 1,
    cpus: Callable[[], float] = cluster_cpus,
    size_every_s: float = SIZE_EVERY_S,
) -> Iterator[tuple[T, R | Failure]]:
    """Yields each item with its result, in the order in which tasks finish; or with why there is none.

    Args:
        batches: the items of one task each; taken one by one as the cluster has room.
        open_work: called once in each worker; returns the function that does the whole work on one item.
        name: of the tasks, on Ray's dashboard.
        task_cpus: CPUs that a task asks Ray for.
        actors: the actors that do the second half of the work, where there are GPUs.
        in_parts: the work, or its first half, yields its result in parts, which are sent one by one; the result is
            their list. Needs batches of one item.
        received: applied to each result, or part of one, as it arrives.
        threads: items of a task to work on at once; for work that waits rather than computes.
        cpus: returns how many CPUs the cluster has now.
        size_every_s: how often `cpus`, and the count of `actors`, are called.

    Raises:
        InputError: the work raised it, in a task or in an actor: a node lacks weights, or nothing can be written.
        RayError: the cluster itself fails, or a node cannot import this package, say.
    """
    engine = _Engine(open_work, name, task_cpus, actors, in_parts, received, threads, cpus, size_every_s)
    try:
        died = yield from engine.run(batches, 1, ATTEMPTS_AMONG_OTHERS)
        if died:
            warn(f"{count(len(died), 'item')} did not come back because the worker died; trying again one at a time")
            alone = ATTEMPTS_AMONG_OTHERS + 1
            died = yield from engine.run(([item] for item in died), alone, alone, alone=True)
    finally:
        engine.end()
    for item in died:
        yield item, DIED


@dataclass(frozen=True)
class _Call(Generic[T]):
    """A call of an actor, with the batch and the number of each part that it was given."""

    member: Member
    parts: list[tuple[Batch[T], int]]


class _Engine(Generic[T, R]):
    """The tasks and actors of one job."""

    def __init__(
        self,
        open_work: Callable[[], Work[T, R]],
        name: str,
        task_cpus: float,
        actors: Actors | None,
        in_parts: bool,
        received: Callable[[Any], Any],
        threads: int,
        cpus: Callable[[], float],
        size_every_s: float,
    ):
        self._task_cpus, self._received = task_cpus, received
        self._cpus, self._size_every_s = cpus, size_every_s
        self._window, self._sized_s = 0, float("-inf")
        self._pool = ActorPool(actors) if actors else None
        self._task = partial(RemoteTask, name=name, cpus=task_cpus, in_parts=in_parts, threads=threads)
        self._whole, self._first = self._task(open_work, whole=True), None
        self._live: set[Batch[T]] = set()
        self._tasks: dict[Any, Batch[T]] = {}  # by the reference, or stream of them, that is waited for
        self._calls: dict[Any, _Call[T]] = {}
        self._for_actors: deque[tuple[Batch[T], int, Any]] = deque()  # (batch, part, reference to its value)

    def run(
        self, batches: Iterable[Sequence[T]], attempt: int, last: int, alone: bool = False
    ) -> Generator[tuple[T, R | Failure], None, list[T]]:
        """Yields results of batches, attempts `attempt` to `last`; returns the items whose workers always died."""
        fresh = ((batch, attempt) for batch in batches)
        again: deque[tuple[Sequence[T], int]] = deque()
        died: list[T] = []
        while True:
            self._resize()
            while len(self._live) < (1 if alone else self._window):
                begun = next(fresh, None) or (again.popleft() if again else None)
                if begun is None:
                    break
                self._begin(*begun)
            self._feed()
            again.extend(self._without_actors())
            if not self._live and not again:
                return died
            for batch in self._finished():
                if not batch.lost:
                    yield from zip(batch.items, batch.by_item(), strict=True)
                elif batch.attempt < last:
                    again.append((batch.items, batch.attempt + 1))
                else:
                    died += batch.items

    def end(self) -> None:
        """Stops what still runs."""
        for batch in self._live:
            self._drop(batch)
        if self._pool:
            self._pool.end()

    def _resize(self) -> None:
        """Reads the size of the cluster, and starts actors on GPUs that have joined."""
        now = time.monotonic()
        if now - self._sized_s < self._size_every_s:
            return
        self._sized_s = now
        self._window = AHEAD * max(1, int(self._cpus() / self._task_cpus))
        if self._pool:
            self._pool.resize()
            self._window += AHEAD * self._pool.open_count() * self._pool.actors.at_once
            if self._pool.first and self._first is None:
                self._first = self._task(self._pool.first, whole=False)

    def _begin(self, items: Sequence[T], attempt: int) -> None:
        halved = self._first if self._pool and self._pool.usable() else None
        batch = (halved or self._whole).begin(items, attempt)
        self._live.add(batch)
        self._tasks[batch.ref] = batch

    def _feed(self) -> None:
        """Gives what waits to the actors that have room."""
        while self._pool and any(self._give(member) for member in self._pool.free()):
            pass

    def _give(self, member: Member) -> bool:
        """Gives an actor what waits for it or for any; returns whether there was something."""
        assert self._pool is not None
        given = [waiting for waiting in self._for_actors if waiting[0].member in (None, member)]
        given = given[: self._pool.actors.at_once]
        if not given:
            return False
        taken = {id(waiting) for waiting in given}
        self._for_actors = deque(waiting for waiting in self._for_actors if id(waiting) not in taken)
        for batch, _, _ in given:
            batch.member = member
        ref = member.handle.work.remote(*(value for _, _, value in given))
        self._calls[ref] = _Call(member, [(batch, part) for batch, part, _ in given])
        member.calls += 1
        return True

    def _without_actors(self) -> list[tuple[Sequence[T], int]]:
        """Takes back the items that wait for actors where there are none any more."""
        if not self._for_actors or (self._pool and self._pool.usable()):
            return []
        waiting = {batch for batch, _, _ in self._for_actors}
        for batch in waiting:
            self._drop(batch)
        self._live -= waiting
        return [(batch.items, batch.attempt) for batch in waiting]

    def _finished(self) -> Iterator[Batch[T]]:
        """Waits until something happens, or the cluster may have changed; yields the batches that are over."""
        import ray

        opening = self._pool.openings() if self._pool else {}
        paused = self._pool is not None and len(self._for_actors) > AHEAD * self._pool.actors.at_once
        tasks = [ref for ref, batch in self._tasks.items() if batch.whole or not (paused and batch.in_parts)]
        refs = [*tasks, *self._calls, *opening]
        if not refs:
            time.sleep(min(1.0, self._size_every_s))
            return
        ray.wait(refs, num_returns=1, timeout=self._size_every_s)
        for ref in ray.wait(refs, num_returns=len(refs), timeout=0)[0]:
            if ref in opening:
                assert self._pool is not None
                self._pool.opened(opening[ref])
                self._sized_s = float("-inf")  # room for more, or an actor to start again
                continue
            batches = self._answered(ref) if ref in self._calls else self._proceeded(ref)
            for batch in batches:
                if batch.over and batch in self._live:
                    self._live.remove(batch)
                    self._drop(batch)
                    yield batch

    def _proceeded(self, ref: Any) -> list[Batch[T]]:
        """Takes what a task has given; returns its batch."""
        import ray

        batch = self._tasks.get(ref)
        if batch is None:  # it was dropped meanwhile
            return []
        try:
            with own_errors():
                value = batch.next_part()
                if value is not None and batch.whole:
                    batch.results.append([self._received(result) for result in ray.get(value)])
                elif value is not None:
                    self._for_actors.append((batch, len(batch.results), value))
                    batch.results.append(None)
        except worker_deaths():
            batch.lost = True
        if batch.ended:
            del self._tasks[ref]
        return [batch]

    def _answered(self, ref: Any) -> list[Batch[T]]:
        """Takes the answer of an actor; returns the batches of the call."""
        import ray
        from ray.exceptions import RayActorError

        call, pool = self._calls.pop(ref), self._pool
        assert pool is not None
        call.member.calls -= 1
        try:
            with own_errors():
                answer = ray.get(ref)
        except worker_deaths() as error:
            answer = LastingError("it died") if isinstance(error, RayActorError) else None
        batches = [batch for batch, _ in call.parts]
        if isinstance(answer, LastingError):
            pool.lost(call.member, answer.reason)
            self._sized_s = float("-inf")  # start another at once
            batches = [batch for batch in self._live if batch.member is call.member]  # it may keep earlier parts
        if answer is None or isinstance(answer, LastingError):
            for batch in batches:
                batch.lost = True
            return batches
        pool.succeeded(call.member)
        for (batch, part), results in zip(call.parts, answer, strict=True):
            if not batch.lost:
                batch.results[part] = [self._received(result) for result in results]
        return batches

    def _drop(self, batch: Batch[T]) -> None:
        """Forgets a batch, and stops its task if it still runs."""
        if self._tasks.pop(batch.ref, None):
            batch.stop()
        self._for_actors = deque(waiting for waiting in self._for_actors if waiting[0] is not batch)
