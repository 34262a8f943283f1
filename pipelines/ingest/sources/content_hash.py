"""The content hash of each file, which identifies a video in the store.

On a cluster that already runs, tasks read the files, because one driver cannot read a million of them; elsewhere
threads do. A remote file is read twice, here and when a worker copies it: its content decides whether it is processed
at all.
"""

import io
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import BinaryIO, cast

from pipelines.cluster.failures import Failure
from pipelines.cluster.session import cluster_cpus, ray_is_running
from pipelines.cluster.tasks import run_tasks
from pipelines.files.addresses import is_remote
from pipelines.files.remote import RemoteConfig, check_size, read, unreadable
from pipelines.ingest.sources.source import Source
from pipelines.progress import step
from stores import video_id

THREADS = 8  # reading, not computing, is what takes the time
CHUNK = 32  # files that one task reads

# The content hash and None, or the hash of the name and why the file cannot be read.
Content = tuple[str, Failure | None]


def content_hashes(
    sources: Sequence[Source], config: RemoteConfig, chunk: int = CHUNK, cpus: Callable[[], float] = cluster_cpus
) -> Iterator[tuple[Source, Failure | None]]:
    """Yields the sources in order, each with its content hash and None, or with `name_id` and why it cannot be read.

    Args:
        sources: the files.
        config: the limits of remote files.
        chunk: files that one task reads. Up to twice as many files are read here, because tasks would cost more than
            they save.
        cpus: as in `run_tasks`.
    """
    if not sources:
        return
    on_cluster = len(sources) > 2 * chunk and ray_is_running()
    contents = _by_tasks(sources, config, chunk, cpus) if on_cluster else _by_threads(sources, config)
    with step("read files", len(sources), "files") as progress:
        for source, (content, failure) in zip(sources, contents, strict=True):
            progress.advance()
            yield replace(source, video_id=content), failure


def name_id(source: Source) -> str:
    """Returns the id of a source that cannot be read: the hash of its name."""
    return video_id(io.BytesIO(source.uri.encode("utf-8", "backslashreplace")))


def _by_threads(sources: Sequence[Source], config: RemoteConfig) -> Iterator[Content]:
    with ThreadPoolExecutor(THREADS) as pool:
        yield from pool.map(lambda source: _content(source, config), sources)


def _by_tasks(
    sources: Sequence[Source], config: RemoteConfig, chunk: int, cpus: Callable[[], float]
) -> Iterator[Content]:
    """Yields the same as `_by_threads`, read by the whole cluster."""
    numbered = list(enumerate(sources))
    chunks = (numbered[start : start + chunk] for start in range(0, len(numbered), chunk))
    results = run_tasks(chunks, partial(_open_reading, config), "content_hash", 1.0, threads=THREADS, cpus=cpus)
    done: dict[int, Content] = {}
    following = 0
    for (number, source), content in results:
        failed = isinstance(content, Failure)  # the worker died
        done[number] = (name_id(source), Failure(f"cannot be read ({content.reason})")) if failed else content
        while following in done:
            yield done.pop(following)
            following += 1


def _open_reading(config: RemoteConfig) -> Callable[[tuple[int, Source], bool], Content]:
    return lambda numbered, again: _content(numbered[1], config)


def _content(source: Source, config: RemoteConfig) -> Content:
    failure = source.failure
    try:
        if failure is None:
            hashes = "-".join(_hash(path, source, config) for path in source.paths)
            return (hashes if len(source.paths) <= 2 else video_id(io.BytesIO(hashes.encode()))), None
    except OSError as error:
        failure = Failure.of_input(unreadable(error), error)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # panics of libraries in Rust are no `Exception`
        failure = Failure.of_defect(error)
    return name_id(source), failure


def _hash(path: str, source: Source, config: RemoteConfig) -> str:
    if is_remote(path):
        check_size(source.size_bytes, config)
        return video_id(cast(BinaryIO, _Stream(read(path, config, source.etag))))
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("not a file")  # reading a pipe could wait forever
    return video_id(path)


class _Stream:
    """A stream of which `video_id` needs `read` only: each call returns the next piece, whatever its size."""

    def __init__(self, pieces: Iterator[bytes]):
        self._pieces = pieces

    def read(self, size: int) -> bytes:
        return next(self._pieces, b"")
