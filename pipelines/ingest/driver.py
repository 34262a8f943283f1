"""The driver of an ingest: it sends sources to the workers, and commits what their writers wrote.

    source -> extract, embed (tasks) -> writer of the node -> store           where there are CPUs only
    source -> extract, prepare (tasks) -> embed (actors on GPUs) -> writer of the node -> store

Only paths are sent out, and no media come back: writers put the rows into the store, and the driver commits them
(`pipelines.ingest.writers`). Extractions travel from a task's node to an actor's directly, long ones in parts.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipelines.cluster.actors import gpu_actors
from pipelines.cluster.failures import Failure
from pipelines.cluster.tasks import run_tasks
from pipelines.config import Config
from pipelines.ingest.commit import with_pauses
from pipelines.ingest.detection import end_detectors
from pipelines.ingest.embed import Ingested, SourceResult, failed_result
from pipelines.ingest.sources.source import Source
from pipelines.ingest.workers import Extract, halves, open_extraction, open_ingestion
from pipelines.ingest.writers import Sink, Writers
from pipelines.progress import warn
from pipelines.wording import count
from stores import Store
from stores.fragments import Written, unite
from stores.schema import EMBEDDED

ATTEMPTS = 3  # of the videos whose rows were lost with a writer
QUEUED = 4096  # sources that are done and wait for the driver, a reference each
LOST = Failure("its rows were lost three times with the node that held them")


def ingest_on_cluster(
    store: Store, sources: Iterable[Source], config: Config, run_id: str, extract: Extract
) -> Iterator[tuple[Ingested, bool] | None]:
    """Extracts and embeds each source on the cluster (see `start_ray`), and commits it.

    Yields None for each source once it is done and its rows are with a writer, and the source once it is committed,
    with whether the store holds these rows of it.

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
        for attempt in range(ATTEMPTS):
            if attempt:
                warn(f"{count(len(job.under_way), 'video')} lost with the node that held the rows; trying again")
            results = _on_tasks(job.begun(sources), config, run_id, extract, sink)
            for result in with_pauses(results, writers.look_every_s, QUEUED):
                if result is not None:
                    if isinstance(result[1], Failure):
                        job.failed.append(failed_result(result[0], run_id, result[1]))
                    yield None
                if writers.due:
                    yield from job.commit(writers.collect())
                    writers.rest()
            yield from job.commit(writers.collect(last=True))
            sources = list(job.under_way.values())
            if not sources:
                return
        job.failed += [failed_result(source, run_id, LOST) for source in sources]
        yield from job.commit([])
    finally:
        writers.end()
        if settings.detect_gpus:
            end_detectors(run_id)


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
    open_work = partial(open_extraction, extract, config, run_id)
    open_halves = partial(halves, open_work, config, sink)
    actors = gpu_actors(open_halves, settings.embed_batch, settings.embed_actors, settings.embed_gpus, calls=2)
    work: Any = partial(open_ingestion, open_work, config, sink)
    return run_tasks(batches, work, "extract", settings.extract_cpus, actors=actors, in_parts=True)
