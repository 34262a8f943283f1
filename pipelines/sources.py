"""What a job reads: which inputs there are, their labels, and which of them the ledger knows already."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.progress import say, step
from stores import Store, config_hash, video_id
from vclip.errors import InputError

VIDEO_SUFFIXES = {
    *(".mp4", ".m4v", ".m4a", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts"),
    *(".flv", ".wmv", ".3gp", ".ogv"),
}

HASH_THREADS = 8  # reading, not computing, is what takes the time


@dataclass(frozen=True)
class Source:
    """One input: the path of a video, or those of a picture and its speech."""

    paths: tuple[str, ...]
    uri: str  # the name under which it is recorded
    size_bytes: int
    mtime_s: float
    labels: Mapping[str, str] = field(default_factory=dict)
    video_id: str = ""  # the hash of its content, once that was read
    config_hash: str = ""  # of all that decides what it gives, its labels among it

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
        uri=" + ".join(map(str, files)),
        size_bytes=sum(stat.st_size for stat in stats),
        mtime_s=max(stat.st_mtime for stat in stats),
        labels=dict(labels),
    )


def list_videos(inputs: Iterable[str | Path], labels: Mapping[str, Mapping[str, str]] | None = None) -> list[Source]:
    """Returns the videos in folders (searched all the way down) and files, sorted by name.

    Args:
        inputs: folders and video files.
        labels: file -> labels, as `read_labels` gives them. A file is named by its absolute path, by its path within
            the input folder, or by its bare name where only one video has it.

    Raises:
        InputError: an input is missing, nothing in it is a video, or no label fits any video.
    """
    found: dict[Path, str] = {}  # path -> its path within its input
    for given in inputs:
        path = Path(given)
        if not path.exists():
            raise InputError(f"input {path}: no such file or folder; expected a folder of videos")
        inside = (p for p in path.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
        files = [path] if path.is_file() else sorted(inside)
        if not files:
            known = " ".join(sorted(VIDEO_SUFFIXES))
            raise InputError(f"input {path}: found no video in it; expected files that end in {known}")
        for file in files:
            found.setdefault(file.absolute(), file.name if path.is_file() else str(file.relative_to(path)))
    return [source_of([path], chosen) for path, chosen in _labelled(found, labels or {}).items()]


def _labelled(found: Mapping[Path, str], labels: Mapping[str, Mapping[str, str]]) -> dict[Path, Mapping[str, str]]:
    named = Counter(path.name for path in found)
    used: set[str] = set()
    chosen: dict[Path, Mapping[str, str]] = {}
    for path, inside in found.items():
        names = [str(path), inside, *([path.name] if named[path.name] == 1 else [])]
        name = next((name for name in names if name in labels), None)
        chosen[path] = labels[name] if name else {}
        used |= {name} if name else set()
    if labels and not used:
        first = next(iter(labels))
        raise InputError(f"labels: none of {len(labels)} rows names a video of the input; the first names '{first}'")
    if len(used) < len(labels):
        first = next(name for name in labels if name not in used)
        missed = len(labels) - len(used)
        say(f"labels: {missed} of {len(labels)} rows name no video of the input; the first: '{first}'")
    return chosen


def read_labels(path: str | Path) -> dict[str, dict[str, str]]:
    """Returns file -> labels of a CSV whose column `file` names the videos; the others are labels.

    `identity`, `split`, `gender`, `age`, `nationality`, `language`, `licence`, `consent` have columns in the store.

    Raises:
        InputError: unreadable, or without a column `file`.
    """
    return {row.pop("file"): {k: v for k, v in row.items() if k and v} for row in read_csv(path, ["file"])}


def read_csv(path: str | Path, needed: Sequence[str]) -> list[dict[str, str]]:
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
    for number, row in enumerate(rows, start=1):
        short = [name for name in needed if row[name] is None]
        if short:
            raise InputError(
                f"table {path}, row {number}: found no value for '{short[0]}', expected {', '.join(names)}"
            )
    return rows


@dataclass(frozen=True)
class Work:
    """What of the sources is still to be done."""

    todo: list[Source]  # each content once
    known: int  # sources that the store has already, under this configuration
    doubles: list[Source]  # other names of contents in `todo`
    unreadable: list[tuple[Source, str]]  # with the reason
    outdated: list[str]  # video_ids of contents that no name has any more: their files have changed


def split_known(sources: Iterable[Source], store: Store, settings_hash: str) -> Work:
    """Returns the sources that the ledger does not vouch for under these settings.

    A file whose name, size and time the ledger knows is not read again; any other is hashed, and a known content
    under a new name only has the name recorded. Other labels than before are a reason to do a source again; no labels
    are none, so that they need not be given each time.
    """
    ledger = store.ledger()
    names = {uri["uri"]: (content, uri) for content, row in ledger.items() for uri in row["uris"] or ()}
    fresh, known, alive = [], 0, set()
    for source in (replace(source, config_hash=_hash_with_labels(settings_hash, source)) for source in sources):
        content, uri = names.get(source.uri, ("", {}))
        same_file = (uri.get("size_bytes"), uri.get("mtime_s")) == (source.size_bytes, source.mtime_s)
        if same_file and _same_work(ledger[content], source):
            known += 1
            alive.add(content)
        else:
            fresh.append(source)
    todo: dict[str, Source] = {}
    doubles, unreadable, outdated = [], [], []
    for source, reason in _hashed(fresh):
        alive.add(source.video_id)
        before, _ = names.get(source.uri, ("", {}))
        if before and before != source.video_id and len(ledger[before]["uris"]) == 1:
            outdated.append(before)
        if reason:
            unreadable.append((source, reason))
        elif source.video_id in ledger and _same_work(ledger[source.video_id], source):
            store.add_uri(source.video_id, source.seen_as)
            known += 1
        elif source.video_id in todo:
            doubles.append(source)
        else:
            todo[source.video_id] = source
    return Work(list(todo.values()), known, doubles, unreadable, [c for c in outdated if c not in alive])


def _hash_with_labels(settings_hash: str, source: Source) -> str:
    return f"{settings_hash}.{config_hash(source.labels)}" if source.labels else settings_hash


def _same_work(row: Mapping[str, Any], source: Source) -> bool:
    done = row["config_hash"]
    return done == source.config_hash or (not source.labels and done.startswith(f"{source.config_hash}."))


def _hashed(sources: Sequence[Source]) -> Iterator[tuple[Source, str]]:
    """Yields the sources with the hash of their content, or with that of their name and why they cannot be read."""
    if not sources:
        return
    with ThreadPoolExecutor(HASH_THREADS) as pool, step("look at files", len(sources), "files") as progress:
        for source, (content, reason) in zip(sources, pool.map(_content, sources), strict=True):
            progress.advance()
            yield replace(source, video_id=content), reason


def _content(source: Source) -> tuple[str, str]:
    try:
        return "-".join(video_id(path) for path in source.paths), ""
    except OSError as error:
        return video_id(io.BytesIO(source.uri.encode())), f"cannot be read ({error.strerror or error})"
