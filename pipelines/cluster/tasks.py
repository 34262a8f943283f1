"""Work on many items in Ray tasks, a few at a time, whatever dies.

A worker that dies (a crash in a library, the killer of the memory-hungry, a lost node) takes the items of its task
with it. They are tried again, at last one by one with nothing else running, as in
`pipelines.ingest.workers`. Ray itself must not try them: it would do so for ever with an item that kills its worker.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from pipelines.cluster.session import cpus, deaths, one_thread
from pipelines.progress import say
from vclip.errors import InputError

T = TypeVar("T")
R = TypeVar("R")

# Works on the items of one task; it is told whether some of them may be done already, by a worker that died.
Work = Callable[[Sequence[T], bool], Sequence[R]]

DIED = "the worker died three times, the last time with nothing else running (memory, or a crash)"
AMONG_OTHERS = 2  # times that items are tried before each is tried alone
AHEAD = 2  # tasks under way for each that the cluster runs at once


def in_tasks(batches: Iterable[Sequence[T]], work: Work, name: str, task_cpus: float) -> Iterator[tuple[T, R | None]]:
    """Yields each item with what `work` made of it, as tasks finish; with None where its worker died each time.

    Args:
        batches: the items of one task each.
        work: goes to each worker once and stays there, with what it keeps for its next task.
        name: of the tasks, for those who watch the cluster.
        task_cpus: CPUs that a task asks for.

    Raises:
        InputError: `work` raised it.
        RayError: the cluster itself fails, or a node cannot import this package, say.
    """
    import ray

    def call(batch: Sequence[T], again: bool) -> Sequence[R]:
        one_thread()
        return work(batch, again)

    task = ray.remote(call).options(name=name, num_cpus=task_cpus, max_retries=0, scheduling_strategy="SPREAD")
    running: dict[Any, tuple[Sequence[T], int]] = {}
    ahead = AHEAD * max(1, int(cpus(round(time.monotonic())) / task_cpus))
    try:
        died = yield from _run(task, running, deque((batch, 1) for batch in batches), ahead, AMONG_OTHERS)
        if died:
            say(f"{len(died)} items did not come back, their workers died: once more, one at a time")
            alone = deque(([item], AMONG_OTHERS + 1) for item in died)
            died = yield from _run(task, running, alone, 1, AMONG_OTHERS + 1)
    finally:
        for ref in running:
            ray.cancel(ref, force=True)
    for item in died:
        yield item, None


def _run(
    task: Any, running: dict[Any, tuple[Sequence[T], int]], left: deque, ahead: int, tries: int
) -> Generator[tuple[T, R | None], None, list[T]]:
    """Yields what batches gave, each begun up to its try number `tries`; returns the items whose workers died."""
    import ray
    from ray.exceptions import RayTaskError

    died: list[T] = []
    while left or running:
        while left and len(running) < ahead:
            batch, number = left.popleft()
            running[task.remote(batch, number > 1)] = batch, number
        (ref,), _ = ray.wait(list(running), num_returns=1)
        batch, number = running.pop(ref)
        try:
            yield from zip(batch, ray.get(ref), strict=True)
        except deaths():
            if number < tries:
                left.append((batch, number + 1))
            else:
                died += batch
        except RayTaskError as error:
            raise error.cause if isinstance(error.cause, InputError) else error from None
    return died
