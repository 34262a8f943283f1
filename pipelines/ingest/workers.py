"""The workers of an ingest: they extract and embed the clips of a source, and hand them to the writer of their node.

An encoder that gains nothing from a GPU embeds in the tasks, also where there are GPUs. A worker opens no store, so
it loads no LanceDB, 0.12 GB.
"""

import ctypes
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

import pyarrow as pa

from pipelines.cluster.actors import OpenFirst, OpenSecond
from pipelines.cluster.failures import Failure
from pipelines.cluster.remote_task import Work
from pipelines.config import Config
from pipelines.extraction import extract
from pipelines.extraction.faces.detectors import FaceDetector
from pipelines.extraction.types import Extraction
from pipelines.files.download import local_copy
from pipelines.files.remote import unreadable
from pipelines.ingest.detection import task_detector
from pipelines.ingest.embed import (
    Embedder,
    Preparation,
    SourceResult,
    count_parts,
    open_encoders,
    parts_of,
)
from pipelines.ingest.sources.source import Source
from pipelines.ingest.writers import Sink
from pipelines.progress import say
from stores import StoreError
from vclip.encoders import gains_from_gpu
from vclip.errors import InputError

# Extracts the clips of one source, whose faces a detector finds; runs in a worker.
Extract = Callable[[Source, Config, FaceDetector], Extraction]


def extract_video(source: Source, config: Config, detector: FaceDetector | None = None) -> Extraction:
    """Returns the extraction of one video; a remote one is copied to the worker's machine meanwhile."""
    with ExitStack() as stack:
        try:
            copy = local_copy(source.paths[0], config.remote, source.size_bytes, source.etag)
            path = stack.enter_context(copy)
        except OSError as error:
            return Extraction("failed", unreadable(error), 0.0)
        return extract(path, config.extraction, detector=detector)


def halves(
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


def open_extraction(extract: Extract, config: Config, run_id: str) -> Work[Source, SourceResult | Failure]:
    """Returns the work that extracts one source; raises InputError where weights are missing."""
    # Opened here so that a node without weights ends the job, instead of failing one video after another.
    detector = task_detector(config, run_id)

    def work(source: Source, again: bool) -> SourceResult | Failure:
        try:
            result = SourceResult(source, run_id, extract(source, config, detector))
        except InputError as error:
            return Failure.of_input(str(error), error)
        _give_back_memory(detector)
        return result

    return work


def _give_back_memory(detector: FaceDetector) -> None:
    """Returns to the system what extraction has freed or keeps, 80 MB, which embedding would add to."""
    if give_back := getattr(detector, "give_back_memory", None):
        give_back()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # glibc
        trim(0)


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
            name, last = uuid4().hex, count_parts(extracted) - 1
            for number, part in enumerate(parts_of(extracted)):
                embedded = embedder.embed([part])[0] if others else part
                yield _Part(preparation(embedded), name, number, number == last)
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
        outcome = _written(lambda: (own[number] for number in sorted(own)), sink) if whole else None
        del begun[part.extraction]
        return outcome

    return embed


def open_ingestion(
    open_work: Callable[[], Work[Source, SourceResult | Failure]], config: Config, sink: Sink
) -> Work[Source, Iterator[Failure | None]]:
    """Returns the whole work, for tasks without GPUs."""
    sink.begin()
    extraction, embedder = open_work(), Embedder(config.encoders, "cpu")
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own keeps what was freed

    def work(source: Source, again: bool) -> Iterator[Failure | None]:
        extracted = extraction(source, again)
        if isinstance(extracted, Failure):
            yield extracted
            return
        try:
            yield _written(partial(embedder.parts, extracted), sink)
        except InputError as error:
            yield Failure.of_input(str(error), error)

    return work


def _written(parts: Callable[[], Iterable[SourceResult]], sink: Sink) -> Failure | None:
    """Hands a video to the writer; a video whose rows cannot be made fails, and no other."""
    try:
        sink.write(parts)
    except StoreError as error:
        return Failure.of_defect(error)
    return None
