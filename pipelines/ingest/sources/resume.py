"""Resume: which sources are still to be done. The store's ledger (its table `videos`) decides, by content hash and
configuration."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.cluster.failures import Failure
from pipelines.files.remote import RemoteConfig
from pipelines.ingest.sources.content_hash import content_hashes, name_id
from pipelines.ingest.sources.source import Source
from stores import Store, config_hash, tombstone

ROW = ("video_id", "config_hash", "state")


class Ledger:
    """The ledger of a store, as it was when this object was made.

    Args:
        store: the store.
        retry_failed: treat failed videos as not done.
    """

    def __init__(self, store: Store, retry_failed: bool = False):
        self._retry_failed = retry_failed
        self._videos = store.query("videos", [*ROW, "uris"])
        uris = self._videos["uris"].combine_chunks()
        self._row_of_name = uris.value_parent_indices()
        self._names = pa.Table.from_struct_array(uris.flatten())

    def by_name(self, uris: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Returns uri -> its entries: {uri, size_bytes, mtime_s, etag} and the ROW of the content that it had.

        A name that has had several contents has several entries.
        """
        mask = _is_in(self._names["uri"], uris)
        rows = self._videos.select(ROW).take(self._row_of_name.filter(mask.combine_chunks())).to_pylist()
        found: dict[str, list[dict[str, Any]]] = {}
        for name, row in zip(self._names.filter(mask).to_pylist(), rows, strict=True):
            found.setdefault(name["uri"], []).append(name | row)
        return found

    def by_content(self, video_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Returns video_id -> its ROW."""
        mask = _is_in(self._videos["video_id"], video_ids)
        return {row["video_id"]: row for row in self._videos.select(ROW).filter(mask).to_pylist()}

    def deleted(self, video_ids: Sequence[str]) -> set[str]:
        """Returns the video ids that have a tombstone: videos deleted on request, which are not ingested again."""
        tombstones = {tombstone(video): video for video in video_ids}
        return {tombstones[name] for name in self.by_content(list(tombstones))}

    def names(self, video_ids: Iterable[str]) -> dict[str, set[str]]:
        """Returns video_id -> all names under which it was ingested."""
        rows = self._videos.filter(_is_in(self._videos["video_id"], list(video_ids))).to_pylist()
        return {row["video_id"]: {entry["uri"] for entry in row["uris"] or ()} for row in rows}

    def is_done(self, row: Mapping[str, Any] | None, source: Source) -> bool:
        """Returns whether a ROW records the source as done, with its labels and under its configuration."""
        if row is None or (self._retry_failed and row["state"] == "failed"):
            return False
        done = row["config_hash"]
        return done == source.config_hash or (not source.labels and done.startswith(f"{source.config_hash}."))


def _is_in(column: pa.ChunkedArray, values: Sequence[str]) -> pa.ChunkedArray:
    # `pc.is_in` is made when pyarrow is imported, so type checkers do not know it.
    return pc.call_function("is_in", [column], pc.SetLookupOptions(pa.array(values, pa.string())))


WINDOW = 4096  # sources looked up in one reading of the ledger

Entries = Mapping[str, Sequence[Mapping[str, Any]]]  # name -> its entries in the ledger


@dataclass
class Window:
    """A window of the sources: the sources to do, and the state of the others."""

    todo: list[Source] = field(default_factory=list)  # each content once in a run
    already_stored: int = 0  # sources that the store has already, under this configuration
    deleted: int = 0  # sources that were deleted on request, and stay deleted
    renamed: list[Source] = field(default_factory=list)  # already stored, but the ledger lacks this name or time
    duplicates: list[Source] = field(default_factory=list)  # other names of contents of this run, new to the ledger
    unreadable: list[tuple[Source, Failure]] = field(default_factory=list)  # with the reason
    outdated: list[str] = field(default_factory=list)  # video_ids whose names all have another content now


def pending(
    sources: Iterable[Source],
    store: Store,
    settings_hash: str,
    window: int = WINDOW,
    retry_failed: bool = False,
    config: RemoteConfig | None = None,
) -> Iterator[Window]:
    """Yields windows of the sources that the ledger does not record as done under these settings, in their order.

    A file whose name, size and time (or etag) are in the ledger is not read again. Any other file is read for its
    content hash; where the ledger has that content, only the new name is recorded. Of several names of one content
    the first decides, also on the labels. Labels other than before are a reason to do a source again; a source
    without labels keeps those that it had. A file that cannot be read counts as stored if its name is in the ledger.

    Sources that are stored already do not fill a window: all windows but the last are full. The ledger is read again
    after each, so that a job sees what another one has done meanwhile. Nothing is written here: the caller records
    the names of `renamed` and `duplicates` once `todo` is done, and then deletes `outdated`, which the last window
    holds.

    Args:
        sources: the inputs; one window of them is held at a time.
        store: the store whose ledger is read.
        settings_hash: the hash of the configuration that decides what a source gives.
        window: sources looked up at once; a full window has from once to twice as many to be done.
        retry_failed: also yield failed videos.
        config: how remote files are read.
    """
    config = config or RemoteConfig()
    contents, result, ledger, stream = _Contents(), Window(), None, iter(sources)
    while batch := [_with_hash(source, settings_hash) for source in islice(stream, window)]:
        ledger = ledger or Ledger(store, retry_failed)
        entries = ledger.by_name([source.uri for source in batch])
        _classify(list(_hashed(batch, entries, ledger, config)), entries, ledger, contents, result)
        if len(result.todo) + len(result.unreadable) >= window:
            yield result
            result, ledger = Window(), None
    if contents.left:
        result.outdated = contents.without_a_name(ledger or Ledger(store))
    if result != Window():
        yield result


def limit_windows(windows: Iterator[Window], limit: int | None) -> Iterator[Window]:
    """Yields windows up to the first `limit` sources to do; duplicates of the sources left out are left out too."""
    room = limit
    for window in windows:
        if room is not None:
            left_out = {source.video_id for source in window.todo[room:]}
            window.todo = window.todo[:room]
            window.duplicates = [source for source in window.duplicates if source.video_id not in left_out]
            room -= len(window.todo)
        yield window
        if room == 0:
            return


@dataclass
class _Contents:
    """The contents of the sources so far."""

    current: set[str] = field(default_factory=set)
    left: dict[str, set[str]] = field(default_factory=dict)  # content -> its names that have another content now

    def without_a_name(self, ledger: Ledger) -> list[str]:
        """Returns the contents that no name has any more."""
        names = ledger.names(self.left)
        return [c for c in names if c not in self.current and names[c] <= self.left[c]]


def _classify(
    found: Sequence[tuple[Source, Failure | None, bool]],
    entries: Entries,
    ledger: Ledger,
    contents: _Contents,
    window: Window,
) -> None:
    """Puts each source into the field of the window that it belongs to."""
    ids = [source.video_id for source, _, _ in found]
    rows, deleted = ledger.by_content(ids), ledger.deleted(ids)
    for source, failure, named in found:
        if source.video_id in deleted:
            window.deleted += 1
            continue
        before = entries.get(source.uri, ())
        if failure and any(ledger.is_done(entry, source) for entry in before):
            window.already_stored += 1  # what an earlier run got from the file stays valid
            continue
        for entry in [] if failure else before:
            if entry["video_id"] != source.video_id:
                contents.left.setdefault(entry["video_id"], set()).add(source.uri)
        first = source.video_id not in contents.current
        contents.current.add(source.video_id)
        if not first and not named:
            window.duplicates.append(source)
        elif not first or ledger.is_done(rows.get(source.video_id), source):
            window.already_stored += 1
            window.renamed += [] if named else [source]
        elif failure:
            window.unreadable.append((source, failure))
        else:
            window.todo.append(source)


def _hashed(
    batch: Sequence[Source], entries: Entries, ledger: Ledger, config: RemoteConfig
) -> Iterator[tuple[Source, Failure | None, bool]]:
    """Yields each source with its content hash, why it cannot be read, and whether the ledger has its name."""
    placed = [_by_name(source, entries.get(source.uri, ()), ledger) for source in batch]
    read = content_hashes([source for source in placed if not source.video_id], config)
    for source in placed:
        if source.video_id:
            yield source, None, True
        else:
            yield *next(read), False


def _by_name(source: Source, entries: Sequence[Mapping[str, Any]], ledger: Ledger) -> Source:
    """Returns the source with its content hash, where the ledger has it under an unchanged name."""
    for entry in entries:
        # A file that could not be read has the hash of its name, which says nothing about its content.
        content = entry["video_id"]
        if source.unchanged(entry) and (content != name_id(source) or ledger.is_done(entry, source)):
            return replace(source, video_id=content)
    return source


def _with_hash(source: Source, settings_hash: str) -> Source:
    own = f"{settings_hash}.{config_hash(source.labels)}" if source.labels else settings_hash
    return replace(source, config_hash=own)
