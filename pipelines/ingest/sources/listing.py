"""Lists the videos of the inputs, with their labels.

An input is a folder (searched all the way down), a file, a pattern (`'videos/**/*.mp4'`), a manifest, or an address:
an object or a prefix of a bucket (`s3://`, `gs://`), or a file on a web server.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, overload
from urllib.parse import unquote

from pipelines.files.addresses import BUCKETS, WEB, FileInfo, is_remote, recorded, scheme_of
from pipelines.files.download import local_copy
from pipelines.files.folders import fits, is_pattern, split_pattern, walk
from pipelines.files.remote import RemoteConfig, listed, look, unreadable
from pipelines.ingest.sources.manifest import Row, is_manifest, read_manifest, resolved
from pipelines.ingest.sources.source import Source
from pipelines.progress import say
from vclip.errors import InputError

Labels = Mapping[str, str]

VIDEO_SUFFIXES = {
    *(".mp4", ".m4v", ".m4a", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts"),
    *(".flv", ".wmv", ".3gp", ".ogv"),
}

THREADS = 32  # that request sizes and times from a file system or a service
FIRST = 32  # rows of a manifest; at least one of them must name an existing file
UNKNOWN = FileInfo(None, None, None)


class Entry(NamedTuple):
    """One input, before its size and time are read."""

    name: str  # absolute path or address
    inside: str  # its path within the input
    seen: FileInfo | None = None  # where the listing gave it already
    row: Row | None = None  # of a manifest
    labels: Labels | None = None  # of a table of labels; they override those of the manifest

    @property
    def key(self) -> str:
        """The name under which it is recorded."""
        return recorded(self.name)

    def labelled(self) -> dict[str, str]:
        """Returns all its labels."""
        return {**(self.row.labels if self.row else {}), **(self.labels or {})}


class Listing(Sequence[Source]):
    """The inputs in their order. Sizes and times are read during iteration, a thousand files at a time, in threads.

    A missing file is a source without a size; reading it later gives the reason.
    """

    def __init__(self, entries: Sequence[Entry], config: RemoteConfig):
        self._entries = entries
        self._config = config

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Source: ...
    @overload
    def __getitem__(self, index: slice) -> "Listing": ...
    def __getitem__(self, index: int | slice) -> "Source | Listing":
        if isinstance(index, slice):
            return Listing(self._entries[index], self._config)
        return self._source(self._entries[index])

    def __iter__(self) -> Iterator[Source]:
        with ThreadPoolExecutor(THREADS) as pool:
            for start in range(0, len(self), 1024):
                yield from pool.map(self._source, self._entries[start : start + 1024])

    def _source(self, entry: Entry) -> Source:
        try:
            seen = entry.seen or _look(entry.name, self._config)
        except OSError:
            seen = UNKNOWN
        return Source((entry.name,), entry.key, *seen, labels=entry.labelled())


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
    for given in inputs:
        for entry in _entries(os.fspath(given), config):
            before = found.get(entry.key)
            if before is None or (entry.row and not before.row):
                found[entry.key] = entry
            elif entry.row and before.row and entry.row.labels != before.row.labels:
                raise InputError(
                    f"input {given}, row {entry.row.number}: other labels for {entry.row.file} than in row "
                    f"{before.row.number}; expected one row a video"
                )
    return Listing(_labelled(list(found.values()), labels or {}), config)


def _entries(given: str, config: RemoteConfig) -> Iterator[Entry]:
    scheme = scheme_of(given)
    if is_remote(given) and is_manifest(given.partition("?")[0]) and not (scheme in BUCKETS and is_pattern(given)):
        return _in_manifest(given, config)
    if scheme in WEB:
        return _on_web(given, config)
    if scheme in BUCKETS:
        return _in_bucket(given, config)
    return _on_disk(unquote(given.partition("://")[2]) if scheme == "file" else given, config)


def _on_disk(given: str, config: RemoteConfig) -> Iterator[Entry]:
    path = os.path.abspath(given)
    if os.path.isdir(path):
        found = (Entry(os.path.join(path, inside), inside) for inside in walk(path) if _is_video(inside))
        yield from _at_least_one(found, given)
    elif os.path.isfile(path) and is_manifest(path):
        yield from _in_manifest(path, config)
    elif os.path.isfile(path):
        yield Entry(path, os.path.basename(path))
    elif not os.path.lexists(path) and is_pattern(path):
        folder, pattern = split_pattern(path)
        depth = None if "**" in pattern else len(pattern)
        files = walk(folder or "/", depth) if os.path.isdir(folder or "/") else ()
        found = (Entry(f"{folder}/{inside}", inside) for inside in files)
        yield from _at_least_one(_matching(found, pattern), given)
    else:
        what = "neither a file nor a folder" if os.path.exists(path) else "no such file or folder"
        raise InputError(
            f"input {given}: {what}; expected a folder of videos, a file, a quoted pattern, a manifest or an address "
            "(s3://, gs://, http://, https://)"
        )


def _in_bucket(given: str, config: RemoteConfig) -> Iterator[Entry]:
    key = "/".join(given.split("/")[3:])
    try:
        if key and not key.endswith("/"):
            try:
                yield Entry(given, os.path.basename(given), look(given, config))
                return
            except FileNotFoundError:
                pass
        folder, pattern = split_pattern(given) if is_pattern(key) else (given.rstrip("/"), ["**"])
        objects = listed(folder, config)
    except OSError as error:
        raise InputError(f"input {given}: {error}; expected an object or a prefix of a bucket") from None
    found = (Entry(name, name.removeprefix(f"{folder}/"), seen) for name, seen in objects)
    yield from _at_least_one(_matching(found, pattern), given)


def _on_web(given: str, config: RemoteConfig) -> Iterator[Entry]:
    try:
        yield Entry(given, os.path.basename(given.partition("?")[0]), look(given, config))
    except OSError as error:
        raise InputError(f"input {recorded(given)}: {error}; expected a video") from None


def _in_manifest(given: str, config: RemoteConfig) -> Iterator[Entry]:
    """Yields the entries of the rows; raises InputError if none of the first names a file, as in a wrong folder."""
    folder = os.path.dirname(given.partition("?")[0] if scheme_of(given) in WEB else given)
    try:
        with local_copy(given, config) as path:
            entries = [_entry(row, folder, given) for row in read_manifest(path, recorded(given))]
    except OSError as error:
        raise InputError(f"manifest {recorded(given)}: {unreadable(error)}") from None
    with ThreadPoolExecutor(THREADS) as pool:
        missing = list(pool.map(lambda entry: _missing(entry.name, config), entries[:FIRST]))
    if all(missing):
        raise InputError(
            f"manifest {recorded(given)}, row 1: {entries[0].key}: {missing[0]}, and none of the first "
            f"{len(missing)} is there; expected paths relative to {folder or '.'}, absolute paths, or addresses"
        )
    yield from entries


def _entry(row: Row, folder: str, manifest: str) -> Entry:
    try:
        return Entry(resolved(row.file, folder), row.file, row=row)
    except InputError as error:
        raise InputError(f"manifest {manifest}, row {row.number}: {error}") from None


def _missing(name: str, config: RemoteConfig) -> str:
    try:
        _look(name, config)
        return ""
    except OSError as error:
        return str(error.strerror or error)


def _look(name: str, config: RemoteConfig) -> FileInfo:
    if is_remote(name):
        return look(name, config)
    stat = os.stat(name)
    return FileInfo(stat.st_size, stat.st_mtime, None)


def _matching(entries: Iterable[Entry], pattern: Sequence[str]) -> Iterator[Entry]:
    """Yields the entries that match: of any suffix if the pattern spells it out, else videos only."""
    ending = os.path.splitext(pattern[-1])[1]
    spelt = bool(ending) and not is_pattern(ending)
    return (e for e in entries if (spelt or _is_video(e.inside)) and fits(e.inside.split("/"), pattern))


def _is_video(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def _at_least_one(entries: Iterable[Entry], given: str) -> Iterator[Entry]:
    found = False
    for entry in entries:
        found = True
        yield entry
    if not found:
        known = " ".join(sorted(VIDEO_SUFFIXES))
        raise InputError(f"input {given}: found no video in it; expected files that end in {known}")


def _labelled(entries: list[Entry], labels: Mapping[str, Labels]) -> list[Entry]:
    chosen = _match_labels(entries, labels) if labels else {}
    return [entry._replace(labels=chosen[n]) if n in chosen else entry for n, entry in enumerate(entries)]


def _match_labels(entries: Sequence[Entry], labels: Mapping[str, Labels]) -> dict[int, Labels]:
    """Returns index of an entry -> its labels, and prints how many rows name no video.

    A row names a video by its address or absolute path, by its path within the input, or by its bare file name if
    only one video has it.

    Raises:
        InputError: no row names any video.
    """
    named = Counter(os.path.basename(entry.key) for entry in entries)
    used: dict[str, int] = {}
    for index, entry in enumerate(entries):
        bare = os.path.basename(entry.key)
        names = [entry.key, entry.inside, *([bare] if named[bare] == 1 else [])]
        if name := next((name for name in names if name in labels), None):
            used[name] = index
    unused = [name for name in labels if name not in used]
    if not used:
        raise InputError(
            f"labels: none of {len(labels)} rows names a video of the input; the first names '{unused[0]}'"
        )
    if unused:
        say(f"labels: {len(unused)} of {len(labels)} rows name no video of the input; the first: '{unused[0]}'")
    return {index: labels[name] for name, index in used.items()}
