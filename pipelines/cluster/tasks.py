"""The task engine of all jobs: a Ray cluster works on many items, and each is in the results exactly once.

    batches of items -> work (tasks) -> results                          on CPUs
    batches of items -> work (tasks) -> second stage (actors) -> results    where a GPU does the second half

Twice as many tasks as the cluster runs at once are submitted, those whose results wait for an actor among them, so
the object store and the driver stay small however many items there are. The size of the cluster is read every few
seconds: pending tasks are what makes an autoscaler add nodes, and each node that joins is given work.

A worker that dies (a segmentation fault, the kernel's or Ray's out-of-memory killer, a lost node) takes the items of
its task with it. They are tried again among the others, and at last one by one with nothing else running. Ray itself
must not retry them: it would do so forever with an item that kills its worker. An item that raises is a `Failure`
with its traceback; the other items go on.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pipelines.cluster.failures import Failure
from pipelines.cluster.session import cluster_cpus, cluster_gpus, limit_threads, worker_deaths
from pipelines.progress import say
from pipelines.wording import count
from vclip.errors import InputError

T = TypeVar("T")
R = TypeVar("R")

# Works on one item. The second argument says whether a worker that died may have done it already, in full or in part.
Work = Callable[[T, bool], R]

DIED = Failure("the worker died three times, the last time with nothing else running (memory, or a crash)")
ATTEMPTS_AMONG_OTHERS = 2  # before an item is tried alone
AHEAD = 2  # tasks submitted for each that the cluster runs at once, and calls for each actor
PARTS_WAITING = 4  # of the parts that one task yields; it pauses until they are taken
ACTOR_RETRIES = 2  # of a call whose actor died
# Everything else is the failure of one item; panics of libraries in Rust are no `Exception`.
ENDS_THE_JOB = (InputError, KeyboardInterrupt, SystemExit, GeneratorExit)
SIZE_EVERY_S = 5.0  # how often the cluster is asked for its size


@dataclass(frozen=True)
class Actors:
    """The second stage of a job: actors that take what the tasks give, a few at a time.

    Attributes:
        open: called once in each actor; returns a function of a list of results that returns as many.
        count: returns how many actors there should be now, at least one. It is called again as the cluster grows;
            actors are added, never removed.
        gpus: GPUs that each asks Ray for.
        at_once: results that one call takes, at most.
    """

    open: Callable[[], Callable[[list[Any]], Sequence[Any]]]
    count: Callable[[], int]
    gpus: float
    at_once: int


def gpu_actors(
    open_stage: Callable[[], Callable[[list[Any]], Sequence[Any]]],
    at_once: int,
    asked: int = 0,
    gpus: Callable[[], int] = cluster_gpus,
) -> Actors | None:
    """Returns the second stage for work that gains from a GPU, or None where the tasks should do it themselves.

    Args:
        open_stage, at_once: as of `Actors`.
        asked: the number of actors; 0 for one on each GPU of the cluster, also on those that join later.
        gpus: returns how many GPUs the cluster has now.
    """
    found = gpus()
    if not (asked or found):
        return None
    return Actors(open_stage, lambda: asked or max(found, gpus()), gpus=1 if found else 0, at_once=at_once)


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
        open_work: called once in each worker; returns the function that works on one item.
        name: of the tasks, on Ray's dashboard.
        task_cpus: CPUs that a task asks Ray for.
        actors: the second stage, which gives the results.
        in_parts: the work yields its result in parts, which are sent one by one; the result is their list. Needs
            batches of one item, and no actors.
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
            say(f"{count(len(died), 'item')} did not come back because the worker died; trying again one at a time")
            alone = ATTEMPTS_AMONG_OTHERS + 1
            died = yield from engine.run(([item] for item in died), alone, alone, alone=True)
    finally:
        engine.end()
    for item in died:
        yield item, DIED


@dataclass
class _Call(Generic[T]):
    """A task or an actor's call that was submitted."""

    batches: list[tuple[Sequence[T], int]]  # items, and which attempt this is; several in an actor's call alone
    value: Any = None  # of a task before the actors: the reference to its results
    actor: Any = None  # of an actor's call
    parts: list[Any] = field(default_factory=list)  # that have come so far


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
        import ray

        self._task_cpus, self._stage, self._in_parts, self._received = task_cpus, actors, in_parts, received
        self._cpus, self._size_every_s = cpus, size_every_s
        self._window, self._sized_s = 0, float("-inf")
        # Ray has no public option that bounds what a streaming task yields ahead of its reader. The option is still
        # private in Ray 2.60.0, with which this was tested.
        streaming = {"num_returns": "streaming", "_generator_backpressure_num_objects": PARTS_WAITING}
        function = _streaming_task(open_work) if in_parts else _task(open_work, threads)
        self._task: Any = ray.remote(function).options(
            name=name,
            num_cpus=task_cpus,
            max_retries=0,
            scheduling_strategy="SPREAD",
            **(streaming if in_parts else {"num_returns": 2}),
        )
        self._actors: list[Any] = []
        self._running: dict[Any, _Call[T]] = {}  # by the reference, or stream of them, that is waited for
        self._for_actors: deque[_Call[T]] = deque()

    def run(
        self, batches: Iterable[Sequence[T]], attempt: int, last: int, alone: bool = False
    ) -> Generator[tuple[T, R | Failure], None, list[T]]:
        """Yields results of batches, attempts `attempt` to `last`; returns the items whose workers always died."""
        fresh = ((batch, attempt) for batch in batches)
        again: deque[tuple[Sequence[T], int]] = deque()
        died: list[T] = []
        while True:
            while self._submitted() < (1 if alone else self._most()):
                begun = next(fresh, None) or (again.popleft() if again else None)
                if begun is None:
                    break
                self._begin(*begun)
            self._feed_actors()
            if not self._running:
                return died
            for call, results in self._finished():
                if results is not None:
                    items = (item for batch, _ in call.batches for item in batch)
                    yield from zip(items, results, strict=True)
                    continue
                for batch, number in call.batches:
                    if number < last:
                        again.append((batch, number + 1))
                    else:
                        died += batch

    def end(self) -> None:
        """Stops what still runs."""
        import ray

        for ref, call in self._running.items():
            if call.actor is None:
                ray.cancel(ref, force=True)
        for actor in self._actors:
            ray.kill(actor)

    def _submitted(self) -> int:
        return sum(len(call.batches) for call in self._running.values()) + len(self._for_actors)

    def _most(self) -> int:
        """Returns how many batches may be submitted at once; starts actors on GPUs that have joined."""
        now = time.monotonic()
        if now - self._sized_s >= self._size_every_s:
            self._sized_s = now
            self._window = AHEAD * max(1, int(self._cpus() / self._task_cpus))
            if self._stage:
                self._actors += _start_actors(self._stage, max(1, self._stage.count()) - len(self._actors))
                self._window += AHEAD * len(self._actors) * self._stage.at_once
        return self._window

    def _begin(self, batch: Sequence[T], attempt: int) -> None:
        if self._in_parts:
            self._running[self._task.remote(batch[0], attempt > 1)] = _Call([(batch, attempt)])
        else:
            done, value = self._task.remote(batch, attempt > 1)
            self._running[done] = _Call([(batch, attempt)], value=value)

    def _feed_actors(self) -> None:
        """Gives what waits to the actors that have room."""
        load = Counter({actor: 0 for actor in self._actors})
        load.update(call.actor for call in self._running.values() if call.actor is not None)
        while self._for_actors and self._stage and min(load.values()) < AHEAD:
            actor = min(load, key=load.__getitem__)
            calls = [self._for_actors.popleft() for _ in range(min(len(self._for_actors), self._stage.at_once))]
            ref = actor.work.remote(*(call.value for call in calls))
            self._running[ref] = _Call([batch for call in calls for batch in call.batches], actor=actor)
            load[actor] += 1

    def _finished(self) -> Iterator[tuple[_Call[T], list[Any] | None]]:
        """Waits until something finishes, or the cluster may have grown; yields each finished call with its results,
        or with None where its worker died."""
        import ray
        from ray.exceptions import RayTaskError

        refs = list(self._running)
        ray.wait(refs, num_returns=1, timeout=self._size_every_s)
        for ref in ray.wait(refs, num_returns=len(refs), timeout=0)[0]:
            call = self._running.pop(ref)
            try:
                results = self._results(ref, call)
            except worker_deaths():
                yield call, None
            except RayTaskError as error:
                raise error.cause if isinstance(error.cause, InputError) else error from None
            else:
                if results is not None:
                    yield call, results

    def _results(self, ref: Any, call: _Call[T]) -> list[Any] | None:
        """Returns the results of a call; None where there will be more of it to wait for."""
        import ray

        if call.actor is not None:
            return [self._received(result) for result in ray.get(ref)]
        if self._in_parts:
            try:
                call.parts.append(self._received(ray.get(next(ref))))
            except StopIteration:
                last = call.parts[-1] if call.parts else None
                return [last if isinstance(last, Failure) else call.parts]
            self._running[ref] = call
            return None
        ray.get(ref)  # raises what the task raised
        if self._stage is None:
            return [self._received(result) for result in ray.get(call.value)]
        self._for_actors.append(call)
        return None


def _start_actors(actors: Actors, more: int) -> list[Any]:
    import ray

    actor: Any = ray.remote(StageActor)
    options = {"num_gpus": actors.gpus, "num_cpus": 0, "max_restarts": -1, "max_task_retries": ACTOR_RETRIES}
    return [actor.options(**options).remote(actors.open) for _ in range(more)]


def _task(open_work: Callable[[], Work[T, R]], threads: int) -> Callable[[Sequence[T], bool], Any]:
    """Returns the task: of a batch, None and the list of results. The first tells the driver that the second is there
    without moving it."""
    opened: list[Work[T, R]] = []  # stays in the worker for its next task

    def task(batch: Sequence[T], again: bool) -> tuple[None, list[R | Failure]]:
        work = _opened(open_work, opened, threads)
        if threads == 1:
            return None, [_attempt(work, item, again) for item in batch]
        with ThreadPoolExecutor(threads) as pool:
            return None, list(pool.map(lambda item: _attempt(work, item, again), batch))

    return task


def _streaming_task(open_work: Callable[[], Work[T, Any]]) -> Callable[[T, bool], Iterator[Any]]:
    """Returns the task: of one item, the parts of its result, or a Failure as the last of them."""
    opened: list[Work[T, Any]] = []

    def task(item: T, again: bool) -> Iterator[Any]:
        work = _opened(open_work, opened, 1)
        try:
            # Ray sends values into a generator, which `yield from` would hand on to what has no `send`.
            for part in work(item, again):  # noqa: UP028
                yield part
        except ENDS_THE_JOB:
            raise
        except BaseException as error:
            yield Failure.of_defect(error)

    return task


def _opened(open_work: Callable[[], Work[T, R]], opened: list[Work[T, R]], threads: int) -> Work[T, R]:
    if threads == 1:
        limit_threads()
    if not opened:
        opened.append(open_work())
    return opened[0]


def _attempt(work: Work[T, R], item: T, again: bool) -> R | Failure:
    """Returns the result for an item; a defect in one item must not end a job of a million."""
    try:
        return work(item, again)
    except ENDS_THE_JOB:
        raise
    except BaseException as error:
        return Failure.of_defect(error)


class StageActor:
    """Holds the second stage. It opens at the first call, because an error of an actor's constructor reaches the
    driver as the death of the actor."""

    def __init__(self, open_stage: Callable[[], Callable[[list[Any]], Sequence[Any]]]):
        self._open = open_stage
        self._work: Callable[[list[Any]], Sequence[Any]] | None = None

    def work(self, *values: list[Any]) -> list[Any]:
        """Returns the results of all values in order; failures of the first stage are passed on."""
        self._work = self._work or self._open()
        items = [item for value in values for item in value]
        done = iter(self._guarded([item for item in items if not isinstance(item, Failure)]))
        return [item if isinstance(item, Failure) else next(done) for item in items]

    def _guarded(self, items: list[Any]) -> list[Any]:
        """Returns a result for each item; where the batch raises, each is tried on its own."""
        assert self._work is not None
        try:
            return list(self._work(items)) if items else []
        except ENDS_THE_JOB:
            raise
        except BaseException as error:
            if len(items) > 1:
                return [done for item in items for done in self._guarded([item])]
            return [Failure.of_defect(error)]
