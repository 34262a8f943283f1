"""The videos of one input, by their names: of a folder, a pattern, a manifest, a bucket or a web server."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import unquote

from pipelines.files.addresses import BUCKETS, WEB, FileInfo, is_remote, recorded, scheme_of, storable
from pipelines.files.download import local_copy
from pipelines.files.folders import APPLE_DOUBLE, existing, fits, is_pattern, split_pattern, walk
from pipelines.files.remote import RemoteConfig, listed, look, unreadable
from pipelines.files.tables import is_table
from pipelines.ingest.sources.manifest import Row, read_manifest, resolved
from pipelines.wording import none_usable
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


def entries_of(given: str, config: RemoteConfig, passed_over: Counter[str]) -> Iterator[Entry]:
    """Returns the videos that one input names.

    Args:
        given: the input.
        config: how remote files are read.
        passed_over: counts the endings of the files that are no videos.

    Raises:
        InputError: the input is missing, nothing in it is a video, or a manifest is wrong.
    """
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
        raise InputError(f"input {storable(given)}: found a NUL byte; expected a path without one")
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
        raise InputError(f"manifest {recorded(given)}: {none_usable(len(entries), 'row')}; {entries[0].problem}")
    with ThreadPoolExecutor(THREADS) as pool:
        missing = list(pool.map(lambda entry: _missing(entry.name, config), usable))
    if all(missing):
        row = usable[0].row.number if usable[0].row else 1
        raise InputError(
            f"manifest {recorded(given)}, row {row}: {usable[0].uri}: {missing[0]}, and none of the first "
            f"{len(missing)} exists; expected paths relative to {folder or '.'}, absolute paths, or addresses"
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
        look_up(name, config)
        return ""
    except OSError as error:
        return str(error.strerror or error)
    except Exception:
        return ""  # a defect, which becomes the row's reason


def look_up(name: str, config: RemoteConfig) -> tuple[str, FileInfo]:
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
        there = f", only {', '.join(f'{n:,} {ending}' for ending, n in others.items())}" if others else ""
        raise InputError(
            f"input {storable(given)}: found no video in it{there}; expected files with the ending of a video, as "
            ".mp4, .mkv, .mov or .webm; a file of another ending is read if it is named itself"
        )
