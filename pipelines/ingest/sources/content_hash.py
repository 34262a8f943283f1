"""Reads files once, for the hash of their content.

On a cluster that runs already the reading is done by tasks, because one driver cannot read a million files;
elsewhere by threads. A remote file is read here, and once more when a worker copies it: what it holds decides whether
any work on it begins at all.
"""

import io
import os
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from pipelines.files.addresses import is_remote
from pipelines.files.remote import RemoteConfig, check_size, read, unreadable
from pipelines.ingest.sources.source import Source
from pipelines.progress import step
from stores import video_id

THREADS = 8  # reading, not computing, is what takes the time
CHUNK = 32  # files that one task reads; the last of a chunk is waited for
FEW = 2 * CHUNK  # up to so many are read here: tasks would cost more than they save

# The hash of a content, or of the name alone, and then why that could not be read.
Content = tuple[str, str]


def identify(sources: Sequence[Source], config: RemoteConfig) -> Iterator[tuple[Source, str]]:
    """Yields the sources, in order, with the hash of their content; or with `name_id` and why it cannot be read."""
    if not sources:
        return
    contents = _by_tasks if len(sources) > FEW and _on_cluster() else _by_threads
    with step("look at files", len(sources), "files") as progress:
        for source, (content, reason) in zip(sources, contents(sources, config), strict=True):
            progress.advance()
            yield replace(source, video_id=content), reason


def name_id(source: Source) -> str:
    """Returns the id of a source that cannot be read: that of its name."""
    return video_id(io.BytesIO(source.uri.encode()))


def _on_cluster() -> bool:
    return "ray" in sys.modules and sys.modules["ray"].is_initialized()


def _by_threads(sources: Sequence[Source], config: RemoteConfig) -> Iterator[Content]:
    with ThreadPoolExecutor(THREADS) as pool:
        yield from pool.map(lambda source: _content(source, config), sources)


def _by_tasks(sources: Sequence[Source], config: RemoteConfig) -> Iterator[Content]:
    """As `_by_threads`; the chunks run at once on all of the cluster's CPUs and come back in order."""
    import ray

    task: Callable = ray.remote(num_cpus=1, max_retries=5)(_contents)
    ahead = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
    running: deque = deque()
    for start in range(0, len(sources), CHUNK):
        chunk = sources[start : start + CHUNK]
        running.append((chunk, task.remote(chunk, config)))
        if len(running) >= ahead:
            yield from _result(*running.popleft())
    while running:
        yield from _result(*running.popleft())


def _contents(sources: Sequence[Source], config: RemoteConfig) -> list[Content]:
    return list(_by_threads(sources, config))


def _result(chunk: Sequence[Source], task: object) -> list[Content]:
    import ray

    try:
        return ray.get(task)
    except ray.exceptions.RayError as error:
        return [(name_id(source), f"cannot be read (the worker died: {type(error).__name__})") for source in chunk]


def _content(source: Source, config: RemoteConfig) -> Content:
    try:
        hashes = "-".join(_hash(path, source, config) for path in source.paths)
        return (hashes if len(source.paths) <= 2 else video_id(io.BytesIO(hashes.encode()))), ""
    except OSError as error:
        return name_id(source), unreadable(error)


def _hash(path: str, source: Source, config: RemoteConfig) -> str:
    if is_remote(path):
        check_size(source.size_bytes, config)
        return video_id(_Stream(read(path, config, source.etag)))
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("not a file")  # a pipe would keep us waiting
    return video_id(path)


class _Stream:
    """Pieces of bytes, to be read one by one."""

    def __init__(self, pieces: Iterator[bytes]):
        self._pieces = pieces

    def read(self, size: int) -> bytes:
        return next(self._pieces, b"")
