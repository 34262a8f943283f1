"""What came back from the cluster goes into the store in batches, each soon enough and none too large."""

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from pipelines.config import IngestConfig
from pipelines.ingest.embed import Ingested, failed_instead
from stores import Store, StoreError, StoreUnavailable

AHEAD = 16  # results that wait here while a commit is under way; more wait in the cluster


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
        yield from _commit(store, [failed_instead(batch[0], error)])
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
