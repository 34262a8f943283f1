"""What a job reads: which inputs there are, their labels, and which of them the ledger knows already."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from stores import Store, video_id
from vclip.errors import InputError

VIDEO_SUFFIXES = {
    *(".mp4", ".m4v", ".m4a", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts"),
    *(".flv", ".wmv", ".3gp", ".ogv"),
}


@dataclass(frozen=True)
class Source:
    """One input: the path of a video, or those of a picture and its speech."""

    paths: tuple[str, ...]
    uri: str  # the name under which it is recorded
    size_bytes: int
    mtime_s: float
    labels: Mapping[str, str] = field(default_factory=dict)
    video_id: str = ""  # the hash of its content, once that was read

    @property
    def seen_as(self) -> dict:
        """The ledger's entry for this name."""
        return {"uri": self.uri, "size_bytes": self.size_bytes, "mtime_s": self.mtime_s}


def source_of(paths: Iterable[str | Path], labels: Mapping[str, str]) -> Source:
    """Returns the source of existing files; raises OSError where one is missing."""
    files = [Path(path).absolute() for path in paths]
    stats = [file.stat() for file in files]
    return Source(
        paths=tuple(map(str, files)),
        uri=str(files[0]),
        size_bytes=sum(stat.st_size for stat in stats),
        mtime_s=max(stat.st_mtime for stat in stats),
        labels=dict(labels),
    )


def list_videos(inputs: Iterable[str | Path], labels: Mapping[str, Mapping[str, str]] | None = None) -> list[Source]:
    """Returns the videos in folders (searched all the way down) and files, sorted by name.

    Args:
        inputs: folders and video files.
        labels: file name or path -> labels, as `read_labels` gives them.

    Raises:
        InputError: an input is missing, or nothing in it is a video.
    """
    found: dict[Path, None] = {}
    for given in inputs:
        path = Path(given)
        if not path.exists():
            raise InputError(f"input {path}: no such file or folder; expected a folder of videos")
        inside = (p for p in path.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
        files = [path] if path.is_file() else sorted(inside)
        if not files:
            known = " ".join(sorted(VIDEO_SUFFIXES))
            raise InputError(f"input {path}: found no video in it; expected files that end in {known}")
        found.update(dict.fromkeys(files))
    labels = labels or {}
    return [source_of([p], labels.get(str(p)) or labels.get(p.name) or {}) for p in found]


def read_labels(path: str | Path) -> dict[str, dict[str, str]]:
    """Returns file -> labels of a CSV whose column `file` names the videos; the others are labels.

    `identity`, `split`, `gender`, `age`, `nationality`, `language`, `licence`, `consent` have columns in the store.

    Raises:
        InputError: unreadable, or without a column `file`.
    """
    return {row.pop("file"): {k: v for k, v in row.items() if k and v} for row in read_csv(path, ["file"])}


def read_csv(path: str | Path, needed: Iterable[str]) -> list[dict[str, str]]:
    """Returns the rows of a CSV with a header.

    Raises:
        InputError: unreadable, empty, or without one of the needed columns.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, names = list(reader), reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"table {path}: {reason}; expected a CSV file with a header") from None
    missing = [name for name in needed if name not in names]
    if missing:
        found = ", ".join(names) or "no header"
        raise InputError(f"table {path}: no column '{missing[0]}' (found {found}); expected {', '.join(needed)}")
    if not rows:
        raise InputError(f"table {path}: found a header and no rows")
    return rows


@dataclass(frozen=True)
class Work:
    """What of the sources is still to be done."""

    todo: list[Source]  # each content once
    known: int  # sources that the store has already, under this configuration
    doubles: list[Source]  # other names of contents in `todo`


def split_known(sources: Iterable[Source], store: Store, config_hash: str) -> Work:
    """Returns the sources that the ledger does not vouch for under this configuration.

    A file whose name, size and time the ledger knows is not read again; any other is hashed, and a known content
    under a new name only has the name recorded.
    """
    ledger = {k: row for k, row in store.ledger().items() if row["config_hash"] == config_hash}
    seen = {
        (uri["uri"], uri["size_bytes"], uri["mtime_s"]): content
        for content, row in ledger.items()
        for uri in row["uris"] or ()
    }
    todo: dict[str, Source] = {}
    known, doubles = 0, []
    for source in sources:
        if (source.uri, source.size_bytes, source.mtime_s) in seen:
            known += 1
            continue
        content = "-".join(video_id(path) for path in source.paths)
        if content in ledger:
            store.add_uri(content, source.seen_as)
            known += 1
        elif content in todo:
            doubles.append(replace(source, video_id=content))
        else:
            todo[content] = replace(source, video_id=content)
    return Work(list(todo.values()), known, doubles)
