"""The store of an ingest: opened for its encoders, and written in batches, each soon enough and none too large."""

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from pipelines.cluster.failures import Failure
from pipelines.config import Config, IngestConfig
from pipelines.extraction.faces.detectors import open_detector
from pipelines.ingest.embed import Ingested, failed_instead
from stores import Store, StoreError, StoreUnavailable
from vclip.encoders import FACE_ENCODERS, VOICE_ENCODERS, open_face_encoder, open_voice_encoder
from vclip.errors import InputError

AHEAD = 16  # results that wait here while a commit is under way; more wait in the cluster


def open_store(uri: str, config: Config, dry: bool = False) -> Store:
    """Returns the store at `uri`, made for the encoders of `config`; if `dry`, an empty one where there is none."""
    # Opened here first, so that missing weights are one clear line before a cluster is asked for anything.
    open_detector(config.extraction.tracks.detector)
    face, voice = open_face_encoder(config.encoders.face, "cpu"), open_voice_encoder(config.encoders.voice, "cpu")
    make = Store.open_or_empty if dry else Store.open_or_create
    specs = {
        face.space: FACE_ENCODERS.record(config.encoders.face),
        voice.space: VOICE_ENCODERS.record(config.encoders.voice),
    }
    store = make(uri, faces={face.space: face.dim}, voices={voice.space: voice.dim}, encoders=specs)
    for table, encoder in (("faces", face), ("voices", voice)):
        if more := sorted(set(store.spaces(table)) - {encoder.space}):
            raise InputError(
                f"store {uri}: its {table} have vectors of '{more[0]}' as well, which new ones would lack; "
                "`vclip embed --replace` drops it, or ingest into a new store and merge"
            )
    return store


def committed(store: Store, results: Iterator[Ingested], config: IngestConfig) -> Iterator[tuple[Ingested, bool]]:
    """Passes results on once they are in the store, with whether they are those that it holds.

    It does not hold those of a video that another run has done meanwhile.

    Raises:
        StoreUnavailable: the store cannot be written now.
    """
    batch: list[Ingested] = []
    size, oldest_s = 0, 0.0
    for result in _punctual(results, config.commit_every_s / 4):
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


def _commit(store: Store, batch: list[Ingested]) -> Iterator[tuple[Ingested, bool]]:
    """Commits a batch; a video whose rows the store refuses becomes a failed row, and the others go in."""
    try:
        held = store.commit([result.rows for result in batch])
    except StoreUnavailable:
        raise
    except StoreError as error:
        if len(batch) > 1:
            for result in batch:
                yield from _commit(store, [result])
            return
        if batch[0].rows.video["state"] == "failed":
            raise
        yield from _commit(store, [failed_instead(batch[0], Failure.of_defect(error))])
        return
    for result in batch:
        yield result, result.rows.video["video_id"] in held


def _punctual(results: Iterable[Ingested], every_s: float) -> Iterator[Ingested | None]:
    """Passes results on, and None whenever there was none for `every_s`: what is done must not wait for the rest."""
    done, over = object(), threading.Event()
    waiting: queue.Queue[Any] = queue.Queue(AHEAD)

    def put(item: Any) -> bool:
        while not over.is_set():
            try:
                waiting.put(item, timeout=1)
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
                item = waiting.get(timeout=every_s)
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
