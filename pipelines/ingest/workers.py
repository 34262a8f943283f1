"""The workers of an ingest: they extract the clips of a source and embed them.

    source -> extract, embed (tasks) -> driver                     where there are CPUs only
    source -> extract (tasks) -> embed (actors, a GPU each) -> driver

Only paths are sent out, and only crops, segments and vectors come back, in parts for a long video, so that hours of
speech are never copied at once. Extractions travel from a task's node to an actor's without passing the driver.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from pipelines.cluster.failures import Failure
from pipelines.cluster.tasks import Work, gpu_actors, run_tasks
from pipelines.config import Config
from pipelines.extraction import extract
from pipelines.extraction.faces.detectors import open_detector
from pipelines.extraction.types import Extraction
from pipelines.files.download import local_copy
from pipelines.files.remote import unreadable
from pipelines.ingest.embed import Embedder, SourceResult, failed_result, join_parts
from pipelines.ingest.sources.source import Source
from vclip.errors import InputError

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
    sources: Sequence[Source], config: Config, run_id: str, extract: Extract
) -> Iterator[SourceResult]:
    """Yields each source once, extracted and embedded, as the cluster (see `start_ray`) finishes it.

    Args:
        sources: the sources to do, each with its content hash.
        config: the sections `ingest` and `encoders` are read, and those that `extract` reads.
        run_id: the id of the run, for the rows.
        extract: extracts one source.

    Raises:
        InputError: a node lacks what the detector or the encoders need.
        RayError: the cluster itself fails, or a node cannot import this package, say.
    """
    settings, batches = config.ingest, ([source] for source in sources)
    actors = gpu_actors(partial(_open_embedding, config), settings.embed_batch, settings.embed_actors)
    if actors:
        work = partial(_open_extraction, extract, config, run_id)
        results: Any = run_tasks(
            batches, work, "extract", settings.extract_cpus, actors=actors, received=_own_vectors
        )
    else:
        work = partial(_open_ingestion, extract, config, run_id)
        results = run_tasks(batches, work, "extract", settings.extract_cpus, in_parts=True, received=_own_vectors)
    for source, result in results:
        if isinstance(result, Failure):
            yield failed_result(source, run_id, result)
        else:
            yield join_parts(result) if isinstance(result, list) else result


def _open_extraction(extract: Extract, config: Config, run_id: str) -> Work[Source, SourceResult | Failure]:
    # Opened here so that a node without weights ends the job, instead of failing one video after another.
    open_detector(config.extraction.tracks.detector)

    def work(source: Source, again: bool) -> SourceResult | Failure:
        try:
            return SourceResult(source, run_id, extract(source, config))
        except InputError as error:
            return Failure.of_input(str(error), error)

    return work


def _open_embedding(config: Config) -> Callable[[list[SourceResult]], list[SourceResult | Failure]]:
    embedder = Embedder(config.encoders, None)

    def embed(batch: list[SourceResult]) -> list[SourceResult | Failure]:
        try:
            return list(embedder.embed(batch))
        except InputError as error:
            if len(batch) > 1:
                return [done for item in batch for done in embed([item])]
            return [Failure.of_input(str(error), error)]

    return embed


def _open_ingestion(extract: Extract, config: Config, run_id: str) -> Work[Source, Iterator[SourceResult | Failure]]:
    extraction, embedder = _open_extraction(extract, config, run_id), Embedder(config.encoders, "cpu")

    def work(source: Source, again: bool) -> Iterator[SourceResult | Failure]:
        extracted = extraction(source, again)
        if isinstance(extracted, Failure):
            yield extracted
            return
        try:
            yield from embedder.parts(extracted)
        except InputError as error:
            yield Failure.of_input(str(error), error)

    return work


def _own_vectors(result: SourceResult | Failure) -> SourceResult | Failure:
    """Copies the vectors out of Ray's object store: a view would keep the whole result there until the commit."""
    if isinstance(result, Failure):
        return result
    faces, voices = ({space: x.copy() for space, x in vectors.items()} for vectors in (result.faces, result.voices))
    return replace(result, faces=faces, voices=voices)
