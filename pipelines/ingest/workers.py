"""Sources through a Ray cluster: extracted in tasks, embedded there or on GPUs, and handed back one by one.

    sources -> extract and embed (tasks) -> driver                     where there are CPUs only
    sources -> extract (tasks) -> embed (actors, a GPU each) -> driver

A task has one source; only paths go out, and only crops, segments and vectors come back: those of a long video in
parts, so that hours of talking are never copied as a whole. What is extracted goes from node to node and not
through the driver. Twice as many tasks as the cluster runs at once are under way, those whose results wait among
them, so the object store and the driver stay small whatever the sources, and a cluster that grows with its work sees
more of it.

A worker that dies (a segmentation fault, the kernel's or Ray's killer of the memory-hungry, a lost node) takes its
source with it. That is tried again, at last alone; Ray itself must not try it, for it would do so for ever with a
file that kills whoever reads it. Embedding actors are started again.
"""

import functools
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.cluster.session import cpus, deaths, one_thread
from pipelines.config import Config, EncodersConfig
from pipelines.extraction.types import Extraction
from pipelines.ingest.embed import Embedder, Extracted, Ingested, failed, internal_error, joined
from pipelines.ingest.sources.source import Source
from pipelines.progress import say
from vclip.errors import InputError

# Extracts one source under a configuration; runs in a Ray task.
Extract = Callable[[Source, Config], Extraction]

DIED = "the worker died while it was read, three times, the last time with nothing else running (memory, or a crash)"
AMONG_OTHERS = 2  # times that a source is tried before it is tried alone
AHEAD = 2  # tasks under way for each that the cluster runs at once, and calls for each actor
PARTS_WAITING = 4  # of what one task gives; until they are taken, it waits too
EMBED_RETRIES = 2  # of a batch whose actor died
SIZE_EVERY_S = 5.0  # how often the cluster is asked for its size


def stream(sources: Sequence[Source], config: Config, run_id: str, extract: Extract) -> Iterator[Ingested]:
    """Yields what each source gave, as the cluster (see `start_ray`) finishes it; each once, whatever dies.

    Raises:
        InputError: a node lacks what the encoders need.
        RayError: the cluster itself fails, or a node cannot import this package, say.
    """
    flow = _Flow(config, run_id, extract)
    try:
        died = yield from flow.run(sources, AMONG_OTHERS)
        if died:
            say(f"{len(died)} did not come back, their workers died: once more, one at a time")
            died = yield from flow.run(died, 1, alone=True)
    finally:
        flow.end()
    for source in died:
        yield failed(source, run_id, DIED)


@dataclass(frozen=True)
class _Call:
    """What runs on the cluster."""

    sources: list[Source]
    extracted: Any = None  # of an extraction for the actors: the reference to what it gives
    actor: Any = None  # of an embedding
    parts: list[Ingested] = field(default_factory=list)  # that have come, of what is embedded where it is extracted


class _Flow:
    """The tasks and actors of one stream."""

    def __init__(self, config: Config, run_id: str, extract: Extract):
        import ray

        gpus = int(ray.cluster_resources().get("GPU", 0))
        actors = config.ingest.embed_actors or gpus
        self._config = config.ingest
        in_parts = {"num_returns": "streaming", "_generator_backpressure_num_objects": PARTS_WAITING}
        self._task = ray.remote(
            _extraction(extract, config) if actors else _ingestion(extract, config, run_id)
        ).options(
            name="extract",
            num_cpus=config.ingest.extract_cpus,
            max_retries=0,
            scheduling_strategy="SPREAD",
            **({"num_returns": 2} if actors else in_parts),
        )
        actor = ray.remote(Embedder).options(
            num_gpus=1 if gpus else 0, num_cpus=0, max_restarts=-1, max_task_retries=EMBED_RETRIES
        )
        self._actors = [actor.remote(config.encoders, run_id) for _ in range(actors)]
        self._running: dict[Any, _Call] = {}  # by the reference, or stream of them, that is waited for
        self._extracted: deque[tuple[Source, Any]] = deque()  # waits for an actor

    def run(
        self, sources: Iterable[Source], times: int, alone: bool = False
    ) -> Generator[Ingested, None, list[Source]]:
        """Yields what sources gave, each tried so many times; returns those whose workers died each time."""
        left, tries, died = deque(sources), Counter(), []
        while left or self._running or self._extracted:
            while left and self._under_way() < (1 if alone else self._most()):
                self._begin(left.popleft())
            self._embed()
            for call, result in self._finished():
                if result is not None:
                    yield from result
                    continue
                for source in call.sources:
                    tries[source.video_id] += 1
                    (left if tries[source.video_id] < times else died).append(source)
        return died

    def end(self) -> None:
        """Ends what still runs."""
        import ray

        for ref, call in self._running.items():
            if not call.actor:
                ray.cancel(ref, force=True)
        for actor in self._actors:
            ray.kill(actor)

    def _under_way(self) -> int:
        return sum(len(call.sources) for call in self._running.values()) + len(self._extracted)

    def _most(self) -> int:
        """How many sources may be under way."""
        tasks = max(1, int(cpus(round(time.monotonic() / SIZE_EVERY_S)) / self._config.extract_cpus))
        return AHEAD * (tasks + len(self._actors) * self._config.embed_batch)

    def _begin(self, source: Source) -> None:
        if self._actors:
            there, extracted = self._task.remote(source)
            self._running[there] = _Call([source], extracted=extracted)
        else:
            self._running[self._task.remote(source)] = _Call([source])

    def _embed(self) -> None:
        """Gives what waits to actors that have room."""
        load = Counter({actor: 0 for actor in self._actors})
        load.update(call.actor for call in self._running.values() if call.actor)
        while self._extracted and min(load.values()) < AHEAD:
            actor = min(load, key=load.__getitem__)
            batch = [self._extracted.popleft() for _ in range(min(len(self._extracted), self._config.embed_batch))]
            call = actor.guarded.remote(*(extracted for _, extracted in batch))
            self._running[call] = _Call([source for source, _ in batch], actor=actor)
            load[actor] += 1

    def _finished(self) -> Iterator[tuple[_Call, list[Ingested] | None]]:
        """Waits until something is finished; yields each call with what is done by it, or None if its worker died."""
        import ray
        from ray.exceptions import RayTaskError

        refs = list(self._running)
        ray.wait(refs, num_returns=1)
        for ref in ray.wait(refs, num_returns=len(refs), timeout=0)[0]:
            call = self._running.pop(ref)
            try:
                result = self._taken(ref, call)
            except deaths():
                yield call, None
            except RayTaskError as error:
                raise error.cause if isinstance(error.cause, InputError) else error from None
            else:
                if result is None:
                    self._running[ref] = call
                else:
                    yield call, result

    def _taken(self, ref: Any, call: _Call) -> list[Ingested] | None:
        """Takes what is there of a call: returns what is done by it, None if parts of that are still to come."""
        import ray

        if call.actor:
            return [_copied(done) for done in ray.get(ref)]
        if call.extracted is not None:
            ray.get(ref)  # whether it went well
            self._extracted.append((call.sources[0], call.extracted))
            return []
        try:
            call.parts.append(_copied(ray.get(next(ref))))
        except StopIteration:
            return [joined(call.parts)]
        return None


def _copied(done: Ingested) -> Ingested:
    """Takes the vectors out of the object store, where they would hold all that came with them until a commit."""
    for row in (*done.rows.faces, *done.rows.voices):
        row["vectors"] = {space: vector.copy() for space, vector in row["vectors"].items()}
    return done


def _extraction(extract: Extract, config: Config) -> Callable[[Source], tuple[bool, Extracted]]:
    def work(source: Source) -> tuple[bool, Extracted]:
        one_thread()
        return True, Extracted(source, guarded(extract, source, config))

    return work


def _ingestion(extract: Extract, config: Config, run_id: str) -> Callable[[Source], Iterator[Ingested]]:
    def work(source: Source) -> Iterator[Ingested]:
        one_thread()
        extracted = Extracted(source, guarded(extract, source, config))
        yield from _embedder(config.encoders, run_id).parts(extracted)

    return work


@functools.cache
def _embedder(encoders: EncodersConfig, run_id: str) -> Embedder:
    return Embedder(encoders, run_id, "cpu")  # a worker keeps it for its next source


def guarded(extract: Extract, source: Source, config: Config) -> Extraction:
    """As `extract`; one file that trips a defect of a decoder or of ours must not end a job of a million files."""
    try:
        return extract(source, config)
    except Exception as error:
        return internal_error(error)
