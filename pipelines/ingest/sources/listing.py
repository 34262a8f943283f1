"""Lists the videos of the inputs, with their labels.

An input is a folder (searched all the way down), a file, a pattern (`'videos/**/*.mp4'`), a manifest, or an address:
an object or a prefix of a bucket (`s3://`, `gs://`), or a file on a web server.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import overload

from pipelines.cluster.failures import Failure
from pipelines.files.addresses import FileInfo, is_remote, recorded, storable
from pipelines.files.remote import RemoteConfig
from pipelines.ingest.sources.entries import THREADS, Entry, Labels, entries_of, look_up
from pipelines.ingest.sources.label_match import labelled
from pipelines.ingest.sources.source import Source
from vclip.errors import InputError

UNKNOWN = FileInfo(None, None, None)


class Listing(Sequence[Source]):
    """The inputs in their order. Sizes and times are read during iteration, a thousand files at a time, in threads.

    A missing file is a source without a size; reading it later gives the reason. So does a row that cannot be used.

    Attributes:
        passed_over: ending -> number of files in folders and prefixes that are no videos by their ending.
    """

    def __init__(self, entries: Sequence[Entry], config: RemoteConfig, passed_over: Mapping[str, int] | None = None):
        self._entries = entries
        self._config = config
        self.passed_over = dict(passed_over or {})

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Source: ...
    @overload
    def __getitem__(self, index: slice) -> "Listing": ...
    def __getitem__(self, index: int | slice) -> "Source | Listing":
        if isinstance(index, slice):
            return Listing(self._entries[index], self._config, self.passed_over)
        return self._source(self._entries[index])

    def __iter__(self) -> Iterator[Source]:
        with ThreadPoolExecutor(THREADS) as pool:
            for start in range(0, len(self), 1024):
                yield from pool.map(self._source, self._entries[start : start + 1024])

    def _source(self, entry: Entry) -> Source:
        name, seen, failure = entry.name, entry.seen or UNKNOWN, None
        if entry.problem:
            failure = Failure(entry.problem)
        elif not entry.seen:
            try:
                name, seen = look_up(name, self._config)
            except OSError:
                pass  # reading it gives the reason
            except Exception as error:
                failure = Failure.of_defect(error)
        return Source((name,), recorded(name), *seen, labels=entry.labelled(), failure=failure)


def list_videos(
    inputs: Iterable[str | os.PathLike],
    labels: Mapping[str, Labels] | None = None,
    config: RemoteConfig | None = None,
) -> Listing:
    """Returns the videos of the inputs, each once: in the order given, and sorted by name within one.

    Args:
        inputs: folders, files, patterns, manifests or addresses; see the module.
        labels: file -> labels, as `read_labels` gives them. A file is named by its absolute path or address, by its
            path within the input, or by its bare name where only one video has it.
        config: how remote files are read.

    Raises:
        InputError: an input is missing, nothing in it is a video, a manifest is wrong, or no label fits any video.
    """
    config = config or RemoteConfig()
    found: dict[str, Entry] = {}
    passed_over: Counter[str] = Counter()
    for given in inputs:
        for entry in entries_of(os.fspath(given), config, passed_over):
            key = entry.key
            if key in found and _are_two(found[key], entry):
                key = f"{key}\0{entry.uri}"
            found[key] = _joined(found[key], entry) if key in found else entry
    return Listing(labelled(list(found.values()), labels or {}), config, passed_over)


def _are_two(one: Entry, other: Entry) -> bool:
    """Returns whether two entries whose names look the same are different files all the same."""
    if one.name == other.name or is_remote(one.name):
        return one.name != other.name and bool(one.seen and other.seen)
    try:
        return not os.path.samestat(os.lstat(one.name), os.lstat(other.name))
    except (OSError, ValueError):
        return False


def _joined(one: Entry, other: Entry) -> Entry:
    """Returns the entry of a video that two inputs, or two rows, name.

    Raises:
        InputError: two rows give it different labels.
    """
    if one.row and other.row:
        if one.row.labels != other.row.labels:
            raise InputError(
                f"manifest {one.manifest}, row {one.row.number}, and {other.manifest}, row {other.row.number}: "
                f"different labels for {storable(other.row.file)}; expected one row per video"
            )
        return one
    # The one without a row was found in a folder or bucket, so its name is right to the byte.
    of_row, listed = (one, other) if one.row else (other, one)
    return listed._replace(row=of_row.row, manifest=of_row.manifest, problem=of_row.problem)
