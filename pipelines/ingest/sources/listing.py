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

from pipelines.cluster.failures import Failure
from pipelines.files.addresses import BUCKETS, WEB, FileInfo, is_remote, recorded, scheme_of, storable
from pipelines.files.download import local_copy
from pipelines.files.folders import APPLE_DOUBLE, existing, fits, is_pattern, split_pattern, walk
from pipelines.files.remote import RemoteConfig, listed, look, unreadable
from pipelines.files.tables import is_table
from pipelines.ingest.sources.manifest import Row, read_manifest, resolved
from pipelines.ingest.sources.source import Source
from pipelines.progress import warn
from vclip.errors import InputError
from vclip.tables import nfc

Labels = Mapping[str, str]

# The endings of files that hold video and that ffmpeg demuxes, without those of images and of lists of other files.
VIDEO_SUFFIXES = {
    *(".mp4", ".m4v", ".m4a", ".mov", ".qt", ".3gp", ".3g2", ".mj2", ".psp", ".ismv", ".f4v", ".f4p", ".insv"),
    *(".mkv", ".mk3d", ".webm", ".avi", ".divx", ".xvid", ".flv", ".kux", ".wmv", ".asf", ".wtv", ".dvr-ms"),
    *(".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".mpv", ".m2p", ".vob", ".evo", ".mod", ".vro", ".pva", ".nsv"),
    *(".ts", ".mts", ".m2ts", ".m2t", ".tp", ".trp", ".tod", ".trec", ".rec", ".ty", ".ty+", ".dv", ".dif"),
    *(".ogv", ".ogm", ".ogx", ".nut", ".mxf", ".gxf", ".mxg", ".lxf", ".imx", ".rm", ".rmvb", ".rv", ".ivr"),
    *(".amv", ".viv", ".nuv", ".ivf", ".obu", ".av1", ".y4m", ".h261", ".h263", ".h26l", ".h264", ".264", ".avc"),
    *(".h265", ".265", ".hevc", ".h266", ".266", ".vvc", ".evc", ".vc1", ".rcv", ".mjpg", ".mjpeg", ".avs2", ".avs3"),
    *(".cavs", ".drc", ".dirac", ".apv", ".bik", ".bk2", ".smk", ".fli", ".flc", ".roq", ".thp", ".usm", ".xmv"),
    *(".bmv", ".cdxl", ".dav", ".ifv", ".ipu", ".lvf", ".moflex", ".mods", ".mvi", ".pdv", ".sdr2", ".v210", ".yop"),
    *(".mlv", ".cine", ".mve", ".vmd", ".vqa", ".4xm", ".dxa", ".rl2", ".gdv", ".xl", ".flm", ".ser", ".sga", ".swf"),
    *(".pmp", ".mtv", ".r3d", ".cpk", ".rpl", ".dnxhd", ".dnxhr"),
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
    manifest: str = ""  # that has the row
    labels: Labels | None = None  # of a table of labels; they override those of the manifest
    problem: str = ""  # why it cannot be used

    @property
    def uri(self) -> str:
        """The name under which it is recorded."""
        return recorded(self.name)

    @property
    def key(self) -> str:
        """What it is compared by: equal for names that look the same."""
        return nfc(self.uri)

    def labelled(self) -> dict[str, str]:
        """Returns all its labels."""
        return {**(self.row.labels if self.row else {}), **(self.labels or {})}


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
                name, seen = _look(name, self._config)
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
        for entry in _entries(os.fspath(given), config, passed_over):
            key = entry.key
            if key in found and _are_two(found[key], entry):
                key = f"{key}\0{entry.uri}"
            found[key] = _joined(found[key], entry) if key in found else entry
    return Listing(_labelled(list(found.values()), labels or {}), config, passed_over)


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


def _entries(given: str, config: RemoteConfig, passed_over: Counter[str]) -> Iterator[Entry]:
    scheme = scheme_of(given)
    if is_remote(given) and is_table(given.partition("?")[0]) and not (scheme in BUCKETS and is_pattern(given)):
        return _in_manifest(given, config)
    if scheme in WEB:
        return _on_web(given, config)
    if scheme in BUCKETS:
        return _in_bucket(given, config, passed_over)
    return _on_disk(unquote(given.partition("://")[2]) if scheme == "file" else given, config, passed_over)


def _on_disk(given: str, config: RemoteConfig, passed_over: Counter[str]) -> Iterator[Entry]:
    if "\0" in given:
        raise InputError(f"input {storable(given)}: found a NUL byte; expected a path without")
    path = existing(os.path.abspath(given))
    if os.path.isdir(path):
        found = (Entry(os.path.join(path, inside), inside) for inside in walk(path))
        yield from _videos(found, given, passed_over)
    elif os.path.isfile(path) and is_table(path):
        yield from _in_manifest(path, config)
    elif os.path.isfile(path):
        yield Entry(path, os.path.basename(path))
    elif not os.path.lexists(path) and is_pattern(path):
        folder, pattern = split_pattern(path)
        folder = existing(folder)
        depth = None if "**" in pattern else len(pattern)
        files = walk(folder or "/", depth) if os.path.isdir(folder or "/") else ()
        found = (Entry(f"{folder}/{inside}", inside) for inside in files)
        yield from _videos(found, given, passed_over, pattern)
    else:
        what = "neither a file nor a folder" if os.path.exists(path) else "no such file or folder"
        raise InputError(
            f"input {storable(given)}: {what}; expected a folder of videos, a file, a quoted pattern, a manifest or "
            "an address (s3://, gs://, http://, https://)"
        )


def _in_bucket(given: str, config: RemoteConfig, passed_over: Counter[str]) -> Iterator[Entry]:
    key = "/".join(given.split("/")[3:])
    try:
        if key and not key.endswith("/"):
            try:
                yield Entry(given, os.path.basename(given), look(given, config))
                return
            except FileNotFoundError:
                pass
        folder, pattern = given.rstrip("/"), ["**"]
        objects = listed(folder, config)
        if is_pattern(key) and not objects:
            folder, pattern = split_pattern(given, local=False)
            objects = listed(folder, config)
    except OSError as error:
        raise InputError(f"input {given}: {error}; expected an object or a prefix of a bucket") from None
    found = (Entry(name, name.removeprefix(f"{folder}/"), seen) for name, seen in objects)
    own = (entry for entry in found if not os.path.basename(entry.name).startswith(APPLE_DOUBLE))
    yield from _videos(own, given, passed_over, pattern)


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
            entries = [_entry(row, folder, recorded(given)) for row in read_manifest(path, recorded(given))]
    except OSError as error:
        raise InputError(f"manifest {recorded(given)}: {unreadable(error)}") from None
    usable = [entry for entry in entries if not entry.problem][:FIRST]
    if not usable:
        raise InputError(f"manifest {recorded(given)}: none of {len(entries)} rows can be used; {entries[0].problem}")
    with ThreadPoolExecutor(THREADS) as pool:
        missing = list(pool.map(lambda entry: _missing(entry.name, config), usable))
    if all(missing):
        row = usable[0].row.number if usable[0].row else 1
        raise InputError(
            f"manifest {recorded(given)}, row {row}: {usable[0].uri}: {missing[0]}, and none of the first "
            f"{len(missing)} is there; expected paths relative to {folder or '.'}, absolute paths, or addresses"
        )
    yield from entries


def _entry(row: Row, folder: str, manifest: str) -> Entry:
    """Returns the entry of a row; one that cannot be used keeps its name, or has the name of its row."""
    if not row.file:
        problem = f"row {row.number}: {row.problem}"
        return Entry(f"{manifest}#row {row.number}", "", row=row, manifest=manifest, problem=problem)
    try:
        name, problem = resolved(row.file, folder), row.problem
    except InputError as error:
        name, problem = storable(row.file), str(error)
    problem = f"row {row.number}: {problem}" if problem else ""
    return Entry(name, row.file, row=row, manifest=manifest, problem=problem)


def _missing(name: str, config: RemoteConfig) -> str:
    try:
        _look(name, config)
        return ""
    except OSError as error:
        return str(error.strerror or error)
    except Exception:
        return ""  # a defect, which becomes the row's reason


def _look(name: str, config: RemoteConfig) -> tuple[str, FileInfo]:
    """Returns the name under which a file exists, with its size and time; raises OSError if there is none."""
    if is_remote(name):
        return name, look(name, config)
    try:
        stat = os.stat(name)
    except FileNotFoundError:
        name = existing(name)
        stat = os.stat(name)
    return name, FileInfo(stat.st_size, stat.st_mtime, None)


def _videos(
    entries: Iterable[Entry], given: str, passed_over: Counter[str], pattern: Sequence[str] = ("**",)
) -> Iterator[Entry]:
    """Yields the entries that match: of any suffix if the pattern spells it out, else videos only.

    Counts the others by their ending in `passed_over`; raises InputError if there is no video.
    """
    ending = os.path.splitext(pattern[-1])[1]
    spelt, found, others = bool(ending) and not is_pattern(ending), False, Counter[str]()
    for entry in entries:
        if not fits(entry.inside.split("/"), pattern):
            continue
        suffix = os.path.splitext(entry.inside)[1].lower()
        if spelt or suffix in VIDEO_SUFFIXES:
            found = True
            yield entry
        else:
            others[storable(suffix) or "no ending"] += 1
    passed_over.update(others)
    if not found:
        known, listed = " ".join(sorted(VIDEO_SUFFIXES)), ", ".join(f"{ending}: {n}" for ending, n in others.items())
        there = f" ({listed})" if others else ""
        raise InputError(f"input {storable(given)}: found no video in it{there}; expected files that end in {known}")


def _labelled(entries: list[Entry], labels: Mapping[str, Labels]) -> list[Entry]:
    chosen = _match_labels(entries, labels) if labels else {}
    return [_with_labels(entry, chosen[n]) if n in chosen else entry for n, entry in enumerate(entries)]


def _with_labels(entry: Entry, labels: Labels) -> Entry:
    return entry._replace(labels=labels, problem=entry.problem or getattr(labels, "problem", ""))


def _match_labels(entries: Sequence[Entry], labels: Mapping[str, Labels]) -> dict[int, Labels]:
    """Returns index of an entry -> its labels, and prints how many rows name no video.

    A row names a video by its address or absolute path, by its path within the input, or by its bare file name if
    only one video has it. Names are compared in NFC.

    Raises:
        InputError: no row names any video, or two rows give one video different labels.
    """
    given = {nfc(recorded(name)): name for name in labels}
    named = Counter(os.path.basename(entry.key) for entry in entries)
    used, rows = set[str](), dict[int, Labels]()
    for index, entry in enumerate(entries):
        bare = os.path.basename(entry.key)
        names = [entry.key, nfc(recorded(entry.inside)), *([bare] if named[bare] == 1 else [])]
        matching = [given[name] for name in dict.fromkeys(names) if name in given]
        for name in matching:
            if labels[name] != labels[matching[0]]:
                both = f"'{storable(matching[0])}' and '{storable(name)}'"
                raise InputError(
                    f"labels: {both} are one video and have different labels; expected one row per video"
                )
        used.update(matching)
        if matching:
            rows[index] = labels[matching[0]]
    unused = [name for name in labels if name not in used]
    if not used:
        raise InputError(
            f"labels: none of {len(labels)} rows names a video of the input; the first names '{storable(unused[0])}'"
        )
    if unused:
        first = storable(unused[0])
        warn(f"labels: {len(unused)} of {len(labels)} rows name no video of the input; the first: '{first}'")
    return rows
