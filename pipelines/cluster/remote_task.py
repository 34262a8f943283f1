"""A task: the function that works on a batch in a Ray worker, and what the driver has of the results so far."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pipelines.cluster.actors import Member
from pipelines.cluster.failures import ENDS_THE_JOB, Failure
from pipelines.cluster.session import hide_gpus, limit_threads

T = TypeVar("T")
R = TypeVar("R")

# Works on one item. The second argument says whether a worker that died may have done it already, in full or in part.
Work = Callable[[T, bool], R]

PARTS_WAITING = 4  # of the parts that one task yields; it pauses until they are taken


@dataclass(eq=False)
class Batch(Generic[T]):
    """The items of one task, from its start until all results are there."""

    items: Sequence[T]
    attempt: int
    whole: bool  # whether the task does the whole work, or the half before an actor's
    in_parts: bool  # whether the task yields the result of its one item in parts
    ref: Any = None  # of the task: its stream of parts, or what it returns when it is done
    value: Any = None  # of a task that returns its results at once: the reference to them; of a stream, the next part
    results: list[list[Any] | None] = field(default_factory=list)  # by part; None while an actor has it
    ended: bool = False  # whether the task is
    lost: bool = False  # whether a worker with its items died
    member: Member | None = None  # the actor that takes all its parts, in order

    @property
    def over(self) -> bool:
        """Whether all results are there, or a worker with the items died."""
        return self.lost or (self.ended and None not in self.results)

    def next_part(self) -> Any:
        """Returns the reference to a further part of the results, or None; raises what the task raised."""
        import ray

        if not self.in_parts:
            ray.get(self.ref)
            self.ended = True
            return self.value
        try:
            given = next(self.ref)
        except StopIteration:
            self.ended = True
            if self.value is not None:  # no part but an error: without a mark
                ray.get(self.value)
            return None
        # A part and then a mark that it is there: the mark raises where the worker died, and moves no data.
        if self.value is None and not self.whole:
            self.value = given
            return None
        if self.whole:
            return given
        ray.get(given)
        value, self.value = self.value, None
        return value

    def by_item(self) -> list[Any]:
        """Returns the result of each item, once the batch is over."""
        parts = [result for part in self.results for result in part or []]
        if not self.in_parts:
            return parts
        return [next((part for part in parts if isinstance(part, Failure)), parts)]

    def stop(self) -> None:
        """Ends the task if it still runs."""
        import ray

        ray.cancel(self.ref, force=True)


class RemoteTask(Generic[T, R]):
    """The function of a job's tasks, ready to begin with any batch.

    Args:
        open_work: called once in each worker; returns the function that works on one item.
        name: on Ray's dashboard.
        cpus: CPUs that a task asks Ray for.
        in_parts: the work yields the result of an item in parts, which are sent one by one.
        threads: items of a batch to work on at once.
        whole: whether this is the whole work, or the half before an actor's.
    """

    def __init__(
        self, open_work: Callable[[], Work[T, R]], name: str, cpus: float, in_parts: bool, threads: int, whole: bool
    ):
        import ray

        # Ray has no public option that bounds what a streaming task yields ahead of its reader. The option is still
        # private in Ray 2.60.0, with which this was tested.
        streaming = {"num_returns": "streaming", "_generator_backpressure_num_objects": PARTS_WAITING}
        function: Any = _streaming(open_work, marks=not whole) if in_parts else _at_once(open_work, threads)
        self._function = ray.remote(function).options(
            name=name,
            num_cpus=cpus,
            max_retries=0,
            scheduling_strategy="SPREAD",
            **(streaming if in_parts else {"num_returns": 2}),
        )
        self._in_parts, self._whole = in_parts, whole

    def begin(self, items: Sequence[T], attempt: int) -> Batch[T]:
        """Starts a task on a batch, for the first time or again."""
        batch = Batch(items, attempt, self._whole, self._in_parts)
        if self._in_parts:
            batch.ref = self._function.remote(items[0], attempt > 1)
        else:
            batch.ref, batch.value = self._function.remote(items, attempt > 1)
        return batch


def _at_once(open_work: Callable[[], Work[T, R]], threads: int) -> Callable[[Sequence[T], bool], Any]:
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


def _streaming(open_work: Callable[[], Work[T, Any]], marks: bool) -> Callable[[T, bool], Iterator[Any]]:
    """Returns the task: of one item, the parts of its result, or a Failure as the last of them; each in a list.

    With `marks`, None follows each part, so that the driver learns that the part is there without moving it.
    """
    opened: list[Work[T, Any]] = []

    def task(item: T, again: bool) -> Iterator[Any]:
        work = _opened(open_work, opened, 1)
        try:
            for part in work(item, again):
                yield [part]
                if marks:
                    yield None
        except ENDS_THE_JOB:
            raise
        except BaseException as error:
            yield [Failure.of_defect(error)]
            if marks:
                yield None

    return task


def _opened(open_work: Callable[[], Work[T, R]], opened: list[Work[T, R]], threads: int) -> Work[T, R]:
    hide_gpus()
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
