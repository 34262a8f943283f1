"""The published files of a protocol, in a folder or in a zip archive."""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vclip.association.trials.plain_pickle import load_plain_pickle
from vclip.errors import InputError

Place = Path | zipfile.Path
INFLATED = 200  # times that a member may be larger than in its archive; vectors and lists of names stay below 20


def data_folder(folder: Path, marker: str, below: Sequence[str]) -> Place:
    """Returns the folder that holds the file `marker`.

    Args:
        folder: it or a folder above it, a zip archive, or a folder that holds one zip archive.
        marker: the name of a file.
        below: the folders in which the marker may be, relative to `folder`.

    Raises:
        InputError: no such file, or the archive cannot be read.
    """
    for root in roots(folder):
        for path in ("", *below):
            found = root / path if path else root
            if (found / marker).is_file():
                return found
    inside = ", ".join(f"'{path}/'" for path in below)
    raise InputError(f"{folder}: found no file {marker} in it or in {inside}; expected the published data")


def roots(folder: Path) -> Iterator[Place]:
    """Yields the folder or zip archive, and the zip archives in the folder.

    Raises:
        InputError: as `opened`.
    """
    yield opened(folder)
    if folder.is_dir():
        yield from map(opened, sorted(folder.glob("*.zip")))


def opened(path: Path) -> Place:
    """Returns the root of a folder or of a zip archive.

    Raises:
        InputError: neither, or an archive whose members are far larger than what it holds.
    """
    if path.is_dir():
        return path
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: {reason}; expected a folder or a zip archive") from None
    for member in archive.infolist():
        if member.file_size > INFLATED * member.compress_size + 4096:
            raise InputError(
                f"{path}: its member '{member.filename}' would grow from {member.compress_size:,} to "
                f"{member.file_size:,} bytes; expected at most {INFLATED} times its size"
            )
    return zipfile.Path(archive)


def files_below(folder: Place) -> Iterator[Place]:
    """Yields all files below a folder, by name, without those that macOS adds to archives and foreign disks."""
    for place in sorted(folder.iterdir(), key=lambda place: place.name):
        if place.name.startswith("._") or place.name == "__MACOSX":
            continue
        if place.is_dir():
            yield from files_below(place)
        else:
            yield place


def read_pickle(place: Place, expected: type = dict) -> Any:
    """Returns the plain data of a pickle, in which no code has run.

    Raises:
        InputError: no such file, no plain data, or data of another kind than `expected`.
    """
    found = load_plain_pickle(place)
    if not isinstance(found, expected):
        raise InputError(f"{place}: found a {type(found).__name__}, expected a {expected.__name__}")
    return found
