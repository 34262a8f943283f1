"""The store of an ingest: opening it for the encoders, and committing results in batches of limited size and age."""

import queue
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from pipelines.cluster.failures import Failure
from pipelines.config import Config, IngestConfig
from pipelines.extraction.faces.detectors import open_detector
from pipelines.ingest.embed import Ingested, SourceResult, failed_result, say_licence
from stores import Store, StoreUnavailable
from vclip.encoders import FACE_ENCODERS, VOICE_ENCODERS, open_face_encoder, open_voice_encoder
from vclip.errors import InputError

QUEUED = 16  # results that wait here during a commit; more wait in the cluster

T = TypeVar("T")


def open_store(uri: str, config: Config, dry: bool = False) -> Store:
    """Returns the store at `uri`, created for the encoders of `config` if there is none.

    Args:
        uri: the store.
        config: the resolved configuration.
        dry: create nothing; if there is no store, return an empty one in memory.

    Raises:
        InputError: weights are missing, or the store has vectors of further encoders.
        StoreError: the store is of other encoders, or cannot be opened.
    """
    # The models are opened here first, so that missing weights are one clear line before a cluster is started.
    open_detector(config.extraction.tracks.detector)
    face, voice = open_face_encoder(config.encoders.face, "cpu"), open_voice_encoder(config.encoders.voice, "cpu")
    specs = {
        face.space: FACE_ENCODERS.record(config.encoders.face),
        voice.space: VOICE_ENCODERS.record(config.encoders.voice),
    }
    _check_encoders(uri, specs)
    place = "memory://" if dry and not Store.exists(uri) else uri
    store = Store.create(place, {face.space: face.dim}, {voice.space: voice.dim}, encoders=specs, exist_ok=True)
    for table, encoder in (("faces", face), ("voices", voice)):
        say_licence(table, encoder)
        if more := sorted(set(store.spaces(table)) - {encoder.space}):
            raise InputError(
                f"store {uri}: its {table} also have vectors of '{more[0]}', which new rows would lack; "
                "drop them with `vclip embed --replace`, or ingest into a new store and merge"
            )
    return store


def _check_encoders(uri: str, specs: Mapping[str, str]) -> None:
    """Raises InputError where a store has no vectors of these spaces, but of others whose encoders it records."""
    if not Store.exists(uri):
        return
    store = Store.open(uri)
    for table, (space, spec) in zip(("faces", "voices"), specs.items(), strict=True):
        found = store.spaces(table)
        known = next((store.encoders[name] for name in found if name in store.encoders), None)
        if found and space not in found and known:
            key = f"encoders.{table.removesuffix('s')}"
            raise InputError(
                f"store {uri}: its {table} are in '{next(iter(found))}', but {key} is '{spec}'; continue with "
                f"--set {key}={known}, or bring the store to the other encoder with `vclip embed --only {table} "
                f"--replace --set {key}={spec}`"
            )


def commit_results(
    store: Store, results: Iterator[SourceResult], config: IngestConfig
) -> Iterator[tuple[Ingested, bool]]:
    """Commits rows made here in batches; yields each video once committed, and whether the store holds these rows.

    Where another run has committed the same video meanwhile, the store holds the rows of that run.

    Raises:
        StoreUnavailable: the store cannot be reached or written.
    """
    batch: list[SourceResult] = []
    size, oldest_s = 0, 0.0
    for result in with_pauses(results, config.commit_every_s / 4):
        if result is not None:
            oldest_s = oldest_s if batch else time.monotonic()
            batch.append(result)
            size += result.size_bytes
        full = len(batch) >= config.commit_every or size >= config.commit_mb * 1e6
        if batch and (full or time.monotonic() - oldest_s >= config.commit_every_s):
            yield from _commit(store, batch)
            batch, size = [], 0
    if batch:
        yield from _commit(store, batch)


def _commit(store: Store, batch: list[SourceResult]) -> Iterator[tuple[Ingested, bool]]:
    """Commits a batch; a video whose rows cannot be made or stored becomes a failed row, and the others go in."""
    try:
        held = store.commit([result.rows for result in batch])
    except StoreUnavailable:
        raise
    except Exception as error:
        if len(batch) > 1:
            for result in batch:
                yield from _commit(store, [result])
            return
        if batch[0].extraction.state == "failed":
            raise
        duration_s = batch[0].extraction.duration_s
        row = failed_result(batch[0].source, batch[0].run_id, Failure.of_defect(error), duration_s)
        yield from _commit(store, [row])
        return
    for result in batch:
        yield result.ingested, result.source.video_id in held


def with_pauses(results: Iterable[T], every_s: float, queued: int = QUEUED) -> Iterator[T | None]:
    """Yields the results, and None whenever none came for `every_s`, so that what is there is committed in time.

    A thread takes the results meanwhile, and runs ahead by up to `queued` of them.
    """
    done, over = object(), threading.Event()
    results_queue: queue.Queue[Any] = queue.Queue(queued)

    def put(item: Any) -> bool:
        while not over.is_set():
            try:
                results_queue.put(item, timeout=1)
                return True
            except queue.Full:
                continue
        return False

    def pump() -> None:
        try:
            if all(map(put, results)):
                put(done)
        except BaseException as error:
            put(error)

    threading.Thread(target=pump, daemon=True, name="results").start()
    try:
        while True:
            try:
                item = results_queue.get(timeout=every_s)
            except queue.Empty:
                yield None
                continue
            if item is done:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        over.set()
