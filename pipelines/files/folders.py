"""The files below a folder, and patterns that select among them."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache

from pipelines.progress import warn
from vclip.tables import nfc

MAGIC = frozenset("*?[")
APPLE_DOUBLE = "._"  # `._a.mp4` is what macOS keeps about `a.mp4` on foreign disks and in archives: no video


def walk(folder: str, depth: int | None = None) -> Iterator[str]:
    """Yields the files below a folder as paths relative to it, sorted by name.

    Links to folders are followed, but each folder is entered once, so a link to a parent folder ends there. A
    link to nothing, or to itself, is yielded as a file; reading it fails later. A folder that cannot be read is
    reported and skipped. The `._` files of macOS are left out.

    Args:
        folder: the folder.
        depth: number of levels to descend; None for all.
    """
    yield from _walk(folder, "", depth, set())


def _walk(folder: str, inside: str, depth: int | None, entered: set[tuple[int, int]]) -> Iterator[str]:
    try:
        stat = os.stat(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        warn(f"folder {folder}: {error.strerror}; skipped")
        return
    if (stat.st_dev, stat.st_ino) in entered:
        return
    entered.add((stat.st_dev, stat.st_ino))
    for entry in entries:
        if _is_folder(entry):
            if depth is None or depth > 1:
                deeper = None if depth is None else depth - 1
                yield from _walk(entry.path, f"{inside}{entry.name}/", deeper, entered)
        elif (entry.is_symlink() or entry.is_file()) and not entry.name.startswith(APPLE_DOUBLE):
            yield inside + entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Returns whether an entry is a folder, or a link to one that can be followed."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_pattern(name: str) -> bool:
    """Returns whether a name is a pattern, that is, contains `*`, `?` or `[`."""
    return not MAGIC.isdisjoint(name)


def existing(path: str) -> str:
    """Returns the existing path that equals a path but for Unicode's normal form and surrounding spaces of names.

    A name typed on one system and a name unpacked on another may differ in these only. Returns the path itself if it
    exists, or if no other one or several do.
    """
    if os.path.lexists(path):
        return path
    found = "/" if os.path.isabs(path) else ""
    for name in filter(None, path.split("/")):
        if not os.path.lexists(os.path.join(found, name)):
            try:
                name = _names(found or ".", os.stat(found or ".").st_mtime_ns)[nfc(name)]
            except (OSError, ValueError, KeyError):
                return path
        found = os.path.join(found, name)
    return found


@lru_cache(maxsize=64)
def _names(folder: str, mtime_ns: int) -> Mapping[str, str]:
    """Returns normalised name -> name in a folder, without those that several names have."""
    names = os.listdir(folder)
    forms = Counter(map(nfc, names))
    return {nfc(name): name for name in names if forms[nfc(name)] == 1}


def split_pattern(pattern: str, local: bool = True) -> tuple[str, list[str]]:
    """Returns the longest folder of a pattern without wildcards, and the parts of the pattern below it.

    A folder that exists under the very name, as `Interview [x]`, is no wildcard.

    Args:
        pattern: a path or address with wildcards.
        local: whether it is a path.
    """
    parts = pattern.split("/")
    first = next(index for index, part in enumerate(parts) if is_pattern(part))
    while local and first < len(parts) - 1 and os.path.isdir("/".join(parts[: first + 1])):
        first += 1
    return "/".join(parts[:first]), parts[first:]


def fits(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Returns whether the parts of a path match those of a pattern; `**` matches any number of folders.

    >>> fits("2024/may/a.mp4".split("/"), "**/*.mp4".split("/"))
    True
    >>> fits("2024/may/a.mp4".split("/"), "*/*.mp4".split("/"))
    False
    """
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(fits(path[start:], pattern[1:] or ["*"]) for start in range(len(path) + 1))
    return bool(path) and _fits(nfc(path[0]), nfc(pattern[0])) and fits(path[1:], pattern[1:])


def _fits(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)
