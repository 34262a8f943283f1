"""The files below a folder, and patterns that select among them."""

import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from pipelines.progress import say

MAGIC = frozenset("*?[")


def walk(folder: str, depth: int | None = None) -> Iterator[str]:
    """Yields the files below a folder as paths relative to it, sorted by name.

    Links to folders are followed, but each folder is entered once, so a link to a parent folder ends there. A
    dangling link is yielded as a file; reading it fails later. A folder that cannot be read is reported and skipped.

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
        say(f"folder {folder}: {error.strerror}; skipped")
        return
    if (stat.st_dev, stat.st_ino) in entered:
        return
    entered.add((stat.st_dev, stat.st_ino))
    for entry in entries:
        if entry.is_dir():
            if depth is None or depth > 1:
                deeper = None if depth is None else depth - 1
                yield from _walk(entry.path, f"{inside}{entry.name}/", deeper, entered)
        elif entry.is_file() or entry.is_symlink():
            yield inside + entry.name


def is_pattern(name: str) -> bool:
    """Returns whether a name is a pattern, that is, contains `*`, `?` or `[`."""
    return not MAGIC.isdisjoint(name)


def split_pattern(pattern: str) -> tuple[str, list[str]]:
    """Returns the longest folder of a pattern without wildcards, and the parts of the pattern below it."""
    parts = pattern.split("/")
    first = next(index for index, part in enumerate(parts) if is_pattern(part))
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
    return bool(path) and fnmatchcase(path[0], pattern[0]) and fits(path[1:], pattern[1:])
