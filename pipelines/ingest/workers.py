"""The workers of an ingest: they extract the clips of a source and embed them.

    source -> extract, embed (tasks) -> writer of the node -> store           where there are CPUs only
    source -> extract, prepare (tasks) -> embed (actors on GPUs) -> writer of the node -> store

Only paths are sent out, and no media come back to the driver: writers put the rows into the store, and the driver
commits them (`pipelines.ingest.writers`). Extractions travel from a task's node to an actor's directly, long ones in
parts. An encoder that gains nothing from a GPU embeds in the tasks, also where there are GPUs.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

from pipelines.cluster.actors import OpenFirst, OpenSecond, gpu_actors
from pipelines.cluster.failures import Failure
from pipelines.cluster.tasks import Work, run_tasks
from pipelines.config import Config
from pipelines.extraction import extract
from pipelines.extraction.faces.detectors import open_detector
from pipelines.extraction.types import Extraction
from pipelines.files.download import local_copy
from pipelines.files.remote import unreadable
from pipelines.ingest.commit import with_pauses
from pipelines.ingest.embed import (
    Embedder,
    Ingested,
    Preparation,
    SourceResult,
    failed_result,
    join_parts,
    open_encoders,
    parts_of,
)
from pipelines.ingest.sources.source import Source
from pipelines.ingest.writers import Sink, Writers
from pipelines.progress import say
from pipelines.wording import count
from stores import Store, StoreError
from stores.fragments import Written, unite
from stores.schema import EMBEDDED
from vclip.encoders import gains_from_gpu
from vclip.errors import InputError

ATTEMPTS = 3  # of the videos whose rows were lost with a writer
QUEUED = 4096  # sources that are done and wait for the driver, a reference each
LOST = Failure("its rows were lost three times with the node that held them")

# Extracts the clips of one source; runs in a worker.
Extract = Callable[[Source, Config], Extraction]


def extract_video(source: Source, config: Config) -> Extraction:
    """Returns the extraction of one video; a remote one is copied to the worker's machine meanwhile."""
    with ExitStack() as stack:
        try:
            copy = local_copy(source.paths[0], config.remote, source.size_bytes, source.etag)
            path = stack.enter_context(copy)
        except OSError as error:
            return Extraction("failed", unreadable(error), 0.0)
        return extract(path, config.extraction)


def ingest_on_cluster(
    store: Store, sources: Iterable[Source], config: Config, run_id: str, extract: Extract
) -> Iterator[tuple[Ingested, bool]]:
    """Extracts and embeds each source on the cluster (see `start_ray`), and commits it.

    Yields each source once it is committed, and whether the store holds these rows of it.

    Args:
        store: the store.
        sources: the sources to do, each with its content hash; taken one by one as the cluster has room.
        config: the sections `ingest` and `encoders` are read, and those that `extract` reads.
        run_id: the id of the run, for the rows.
        extract: extracts one source.

    Raises:
        InputError: a node lacks what the detector or the encoders need.
        StoreUnavailable: the store cannot be reached or written.
        RayError: the cluster itself fails, or a node cannot import this package, say.
    """
    settings = config.ingest
    spaces = {table: store.spaces(table) for table in EMBEDDED}
    sink = Sink(store.uri, spaces, run_id, settings.commit_every, settings.commit_mb)
    writers, job = Writers(run_id, settings.commit_every_s), _Job(store, run_id)
    try:
        for _ in range(ATTEMPTS):
            results = _on_tasks(job.begun(sources), config, run_id, extract, sink)
            for result in with_pauses(results, writers.look_every_s, QUEUED):
                if result is not None and isinstance(result[1], Failure):
                    job.failed.append(failed_result(result[0], run_id, result[1]))
                if writers.due:
                    yield from job.commit(writers.collect())
                    writers.rest()
            yield from job.commit(writers.collect(last=True))
            sources = list(job.under_way.values())
            if not sources:
                return
            say(f"{count(len(sources), 'video')} lost with the node that held the rows; trying again")
        job.failed += [failed_result(source, run_id, LOST) for source in sources]
        yield from job.commit([])
    finally:
        writers.end()


@dataclass
class _Job:
    """The sources of a job that are under way, and their commits."""

    store: Store
    run_id: str
    under_way: dict[str, Source] = field(default_factory=dict)  # video_id -> source that is not committed yet
    failed: list[SourceResult] = field(default_factory=list)  # to be committed with the next fragments

    def begun(self, sources: Iterable[Source]) -> Iterator[list[Source]]:
        """Yields the sources as batches of one; notes those that cannot be read as failed."""
        for source in sources:
            self.under_way[source.video_id] = source
            if source.failure:
                self.failed.append(failed_result(source, self.run_id, source.failure))
            else:
                yield [source]

    def commit(self, found: Sequence[tuple[Written, list[Ingested]]]) -> Iterator[tuple[Ingested, bool]]:
        """Commits fragments, and the sources that have failed; yields the sources."""
        parts, done = list[Written](), list[Ingested]()
        for written, videos in found:
            # A worker that died after it had handed over a video did it again, so it is in two fragments.
            if all(one.source.video_id in self.under_way for one in videos):
                parts.append(written)
                done += self._taken(videos)
            else:
                self.store.discard(written)
        failed, self.failed = self.failed, []
        if failed := [one for one in failed if one.source.video_id in self.under_way]:
            parts.append(self.store.write([one.rows for one in failed]))
            done += self._taken([one.ingested for one in failed])
        if parts:
            held = self.store.commit_written(unite(parts))
            for one in done:
                yield one, one.source.video_id in held

    def _taken(self, videos: list[Ingested]) -> list[Ingested]:
        for one in videos:
            del self.under_way[one.source.video_id]
        return videos


def _on_tasks(
    batches: Iterator[list[Source]], config: Config, run_id: str, extract: Extract, sink: Sink
) -> Iterator[tuple[Source, Failure | None]]:
    """Yields each source with None, once its rows are with a writer, or with why it failed."""
    settings = config.ingest
    open_work = partial(_open_extraction, extract, config, run_id)
    halves = partial(_halves, open_work, config, sink)
    actors = gpu_actors(halves, settings.embed_batch, settings.embed_actors, settings.embed_gpus, calls=2)
    work: Any = partial(_open_ingestion, open_work, config, sink)
    return run_tasks(batches, work, "extract", settings.extract_cpus, actors=actors, in_parts=True)


def _halves(
    open_work: Callable[[], Work[Source, SourceResult | Failure]], config: Config, sink: Sink
) -> tuple[OpenFirst, OpenSecond] | None:
    """Returns the work of the tasks and of the actors on GPUs, or None where no encoder gains from a GPU."""
    encoders = open_encoders(config.encoders, "cpu")
    gaining = {table: encoder for table, encoder in encoders.items() if gains_from_gpu(encoder)}
    for table, encoder in encoders.items():
        if table not in gaining:
            say(f"{table}: {encoder.space} does not gain from GPUs, so the tasks embed")
    if not gaining:
        return None
    others = [table for table in encoders if table not in gaining]
    first = partial(_open_first_half, open_work, config, Preparation(gaining), others)
    return first, partial(_open_embedding, config, list(gaining), sink)


def _open_extraction(extract: Extract, config: Config, run_id: str) -> Work[Source, SourceResult | Failure]:
    # Opened here so that a node without weights ends the job, instead of failing one video after another.
    open_detector(config.extraction.tracks.detector)

    def work(source: Source, again: bool) -> SourceResult | Failure:
        try:
            return SourceResult(source, run_id, extract(source, config))
        except InputError as error:
            return Failure.of_input(str(error), error)

    return work


@dataclass(frozen=True)
class _Part:
    """A few clips of a source on their way to an actor."""

    result: SourceResult
    extraction: str  # one run of the task on the source; tried again, it is another
    number: int
    last: bool


def _open_first_half(
    open_work: Callable[[], Work[Source, SourceResult | Failure]],
    config: Config,
    preparation: Preparation,
    others: Sequence[str],
) -> Work[Source, Iterator[_Part | Failure]]:
    """Opens the extraction, which also prepares the media for the actors and embeds what gains nothing from them."""
    extraction, embedder = open_work(), Embedder(config.encoders, "cpu", tables=others)

    def work(source: Source, again: bool) -> Iterator[_Part | Failure]:
        extracted = extraction(source, again)
        if isinstance(extracted, Failure):
            yield extracted
            return
        try:
            parts, name = list(parts_of(extracted)), uuid4().hex
            for number, part in enumerate(parts):
                embedded = embedder.embed([part])[0] if others else part
                yield _Part(preparation(embedded), name, number, number == len(parts) - 1)
        except InputError as error:
            yield Failure.of_input(str(error), error)

    return work


def _open_embedding(
    config: Config, tables: Sequence[str], sink: Sink, device: str
) -> Callable[[list[_Part]], list[Failure | None]]:
    """Opens the second half; the parts of a source come to one actor, in order."""
    embedder, one_at_a_time = Embedder(config.encoders, device, tables=tables), threading.Lock()
    begun: dict[str, dict[int, SourceResult]] = {}  # extraction -> parts that are embedded, by number

    def embed(batch: list[_Part]) -> list[Failure | None]:
        try:
            with one_at_a_time:
                embedded = embedder.embed([part.result for part in batch])
                for part, result in zip(batch, embedded, strict=True):
                    begun.setdefault(part.extraction, {})[part.number] = result
        except InputError as error:
            if len(batch) > 1:
                return [done for part in batch for done in embed([part])]
            return [Failure.of_input(str(error), error)]
        return [write(part) for part in batch]  # while the GPU works on the next call

    def write(part: _Part) -> Failure | None:
        if not part.last:
            return None
        own = begun[part.extraction]
        whole = len(own) == part.number + 1  # else a part has failed, and so has the video
        outcome = _written(join_parts([own[number] for number in sorted(own)]), sink) if whole else None
        del begun[part.extraction]
        return outcome

    return embed


def _open_ingestion(
    open_work: Callable[[], Work[Source, SourceResult | Failure]], config: Config, sink: Sink
) -> Work[Source, Iterator[Failure | None]]:
    """Opens the whole work, for tasks without GPUs."""
    sink.begin()
    extraction, embedder = open_work(), Embedder(config.encoders, "cpu")

    def work(source: Source, again: bool) -> Iterator[Failure | None]:
        extracted = extraction(source, again)
        if isinstance(extracted, Failure):
            yield extracted
            return
        try:
            yield _written(join_parts(list(embedder.parts(extracted))), sink)
        except InputError as error:
            yield Failure.of_input(str(error), error)

    return work


def _written(result: SourceResult, sink: Sink) -> Failure | None:
    """Hands a video to the writer; a video whose rows cannot be made fails, and no other."""
    try:
        sink.write(result)
    except StoreError as error:
        return Failure.of_defect(error)
    return None
