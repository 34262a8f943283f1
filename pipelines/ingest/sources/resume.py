"""Resume: which sources are still to be done. The store's ledger (its table `videos`) decides, by content hash and
configuration."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.cluster.failures import Failure
from pipelines.files.remote import RemoteConfig
from pipelines.ingest.sources.content_hash import content_hashes, name_id
from pipelines.ingest.sources.source import Source
from stores import Store, config_hash, tombstone
from stores.sql import in_lists

if TYPE_CHECKING:
    from lance import LanceDataset, LanceFragment

ROW = ("video_id", "config_hash", "state")


@dataclass
class _Names:
    """Names of videos in the ledger, as hashes."""

    name: np.ndarray  # (n,) int64, sorted: of the URI
    by_time: np.ndarray  # (n,) int64: of size and time
    by_etag: np.ndarray  # (n,) int64: of size and etag
    row: np.ndarray  # (n,) int64: the video's position


class Ledger:
    """The ledger of a store in memory: about 100 bytes for each video.

    It is read once. `refresh` reads the fragments that were added since; only where rows were deleted or merged into
    other fragments is it read anew.

    Args:
        store: the store.
        retry_failed: treat failed videos as not done.
    """

    def __init__(self, store: Store, retry_failed: bool = False):
        self._store, self._retry_failed = store, retry_failed
        self._forget()
        self.refresh()

    def refresh(self) -> None:
        """Reads what was committed since the last reading."""
        snapshot = self._store.snapshot()
        if not (count := snapshot.count("videos")):
            self._forget()
            return  # a store in memory, of a dry run, has no dataset
        rows = snapshot.dataset("videos")
        fragments = {fragment.fragment_id: fragment for fragment in rows.get_fragments()}
        if not self._fragments <= fragments.keys():
            self._forget()
        self._add(rows, [fragments[id] for id in sorted(fragments.keys() - self._fragments)])
        if self._alive.sum() != count:  # rows were deleted, and not for newer ones
            self._forget()
            self._add(rows, list(fragments.values()))
        self._fragments = set(fragments)

    def by_name(self, sources: Sequence[Source]) -> list[list[tuple[dict[str, Any], bool]]]:
        """Returns for each source the ROW of each content that its name had, and whether the file is unchanged since.

        A name that has had several contents has several rows.
        """
        hashes = np.fromiter((hash(source.uri) for source in sources), np.int64, len(sources))
        starts, ends = (np.searchsorted(self._names.name, hashes, side) for side in ("left", "right"))
        return [
            [
                (self._row(self._names.row[place]), _unchanged(source, self._names, place))
                for place in range(start, end)
                if self._alive[self._names.row[place]]
            ]
            for source, start, end in zip(sources, starts.tolist(), ends.tolist(), strict=True)
        ]

    def by_content(self, video_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Returns video_id -> its ROW."""
        keys = _encoded(video_ids)
        if not len(self._order):
            return {}
        places = np.searchsorted(self._ids, keys, sorter=self._order)
        rows = self._order[np.minimum(places, len(self._order) - 1)]
        found = (self._row(row) for row in rows[self._ids[rows] == keys].tolist())
        return {row["video_id"]: row for row in found}

    def deleted(self, video_ids: Sequence[str]) -> set[str]:
        """Returns the video ids that have a tombstone: videos deleted on request, which are not ingested again."""
        tombstones = {tombstone(video): video for video in video_ids}
        return {tombstones[name] for name in self.by_content(list(tombstones))}

    def names(self, video_ids: Iterable[str]) -> dict[str, set[str]]:
        """Returns video_id -> all names under which it was ingested."""
        found = {}
        for part in in_lists(video_ids):
            for row in self._store.query("videos", ["video_id", "uris"], f"video_id IN ({part})").to_pylist():
                found[row["video_id"]] = {entry["uri"] for entry in row["uris"] or ()}
        return found

    def is_done(self, row: Mapping[str, Any] | None, source: Source) -> bool:
        """Returns whether a ROW records the source as done, with its labels and under its configuration."""
        if row is None or (self._retry_failed and row["state"] == "failed"):
            return False
        done = row["config_hash"]
        return done == source.config_hash or (not source.labels and done.startswith(f"{source.config_hash}."))

    def _forget(self) -> None:
        self._fragments: set[int] = set()
        self._ids = np.empty(0, "S32")  # (videos,)
        self._order = np.empty(0, np.int64)  # sorts the ids; of several rows of one video, the present one
        self._codes: dict[tuple[str, str], int] = {}  # (config_hash, state) -> its code
        self._code = np.empty(0, np.int32)  # (videos,)
        self._alive = np.empty(0, bool)  # (videos,): not replaced by a later row
        empty = np.empty(0, np.int64)
        self._names = _Names(empty, empty, empty, empty)

    def _add(self, rows: "LanceDataset", fragments: "Sequence[LanceFragment]") -> None:
        if not fragments:
            return
        ids, codes = [self._ids], [self._code]
        names = [[getattr(self._names, field.name)] for field in fields(_Names)]
        count = len(self._ids)
        for batch in rows.scanner([*ROW, "uris"], fragments=list(fragments)).to_batches():
            columns = [batch[name].to_pylist() for name in (*ROW, "uris")]
            ids.append(_encoded(columns[0]))
            kinds = [self._codes.setdefault(kind, len(self._codes)) for kind in zip(*columns[1:3], strict=True)]
            codes.append(np.array(kinds, np.int32))
            entries = [(entry, row) for row, uris in enumerate(columns[3], count) for entry in uris or ()]
            hashed = [
                (hash(e["uri"]), hash((e["size_bytes"], e["mtime_s"])), hash((e["size_bytes"], e["etag"])), row)
                for e, row in entries
            ]
            for column, values in zip(names, np.array(hashed, np.int64).reshape(-1, 4).T, strict=True):
                column.append(values)
            count += batch.num_rows
        self._ids, self._code = np.concatenate(ids), np.concatenate(codes)
        whole = [np.concatenate(column) for column in names]
        order = np.argsort(whole[0], kind="stable")
        self._names = _Names(*(column[order] for column in whole))
        self._kinds = list(self._codes)
        self._order = np.argsort(self._ids, kind="stable")
        ordered = self._ids[self._order]
        self._order = self._order[np.append(ordered[1:] != ordered[:-1], True)]
        self._alive = np.zeros(count, bool)
        self._alive[self._order] = True

    def _row(self, row: int) -> dict[str, Any]:
        config, state = self._kinds[self._code[row]]
        return {"video_id": self._ids[row].decode(), "config_hash": config, "state": state}


def _encoded(video_ids: Sequence[str]) -> np.ndarray:
    return np.array([video.encode() for video in video_ids], "S")


def _unchanged(source: Source, names: _Names, place: int) -> bool:
    """Returns whether the file has the size and the etag, or time, that its name had in the ledger."""
    if source.etag:
        return names.by_etag[place] == hash((source.size_bytes, source.etag))
    return source.mtime_s is not None and names.by_time[place] == hash((source.size_bytes, source.mtime_s))


WINDOW = 4096  # sources looked up at once

Known = Sequence[tuple[Mapping[str, Any], bool]]  # rows of contents that a name had, and whether it is unchanged


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

    Sources that are stored already do not fill a window: all windows but the last are full. What was added to the
    ledger is read after each, so that a job sees what another one has done meanwhile. Nothing is written here: the
    caller records the names of `renamed` and `duplicates` once all of `todo` are done, and then deletes `outdated`,
    which the last window holds.

    Args:
        sources: the inputs; one window of them is held at a time.
        store: the store whose ledger is read.
        settings_hash: the hash of the configuration that decides what a source gives.
        window: sources looked up at once; a full window has from once to twice as many to be done.
        retry_failed: also yield failed videos.
        config: how remote files are read.
    """
    config = config or RemoteConfig()
    contents, result, stream = _Contents(), Window(), iter(sources)
    ledger: Ledger | None = None
    while batch := [_with_hash(source, settings_hash) for source in islice(stream, window)]:
        ledger = ledger or Ledger(store, retry_failed)
        _classify(list(_hashed(batch, ledger, config)), ledger, contents, result)
        if len(result.todo) + len(result.unreadable) >= window:
            yield result
            result = Window()
            ledger.refresh()
    if contents.left and ledger:
        result.outdated = contents.without_a_name(ledger)
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


@dataclass(frozen=True)
class _Hashed:
    """A source with its content hash."""

    source: Source
    failure: Failure | None  # why it cannot be read
    known: Known
    named: bool  # whether the ledger has its content under this name


def _classify(found: Sequence[_Hashed], ledger: Ledger, contents: _Contents, window: Window) -> None:
    """Puts each source into the field of the window that it belongs to."""
    ids = [one.source.video_id for one in found]
    rows, deleted = ledger.by_content(ids), ledger.deleted(ids)
    for one in found:
        source = one.source
        if source.video_id in deleted:
            window.deleted += 1
            continue
        if one.failure and any(ledger.is_done(row, source) for row, _ in one.known):
            window.already_stored += 1  # what an earlier run got from the file stays valid
            continue
        for row, _ in () if one.failure else one.known:
            if row["video_id"] != source.video_id:
                contents.left.setdefault(row["video_id"], set()).add(source.uri)
        first = source.video_id not in contents.current
        contents.current.add(source.video_id)
        if not first and not one.named:
            window.duplicates.append(source)
        elif not first or ledger.is_done(rows.get(source.video_id), source):
            window.already_stored += 1
            window.renamed += [] if one.named else [source]
        elif one.failure:
            window.unreadable.append((source, one.failure))
        else:
            window.todo.append(source)


def _hashed(batch: Sequence[Source], ledger: Ledger, config: RemoteConfig) -> Iterator[_Hashed]:
    """Yields each source with its content hash; a file is read unless the ledger has it under an unchanged name."""
    known = ledger.by_name(batch)
    placed = [_by_name(source, rows, ledger) for source, rows in zip(batch, known, strict=True)]
    read = content_hashes([source for source in placed if not source.video_id], config)
    for source, rows in zip(placed, known, strict=True):
        if source.video_id:
            yield _Hashed(source, None, rows, named=True)
        else:
            yield _Hashed(*next(read), rows, named=False)


def _by_name(source: Source, known: Known, ledger: Ledger) -> Source:
    """Returns the source with its content hash, where the ledger has it under an unchanged name."""
    for row, unchanged in known:
        # A file that could not be read has the hash of its name, which says nothing about its content.
        content = row["video_id"]
        if unchanged and (content != name_id(source) or ledger.is_done(row, source)):
            return replace(source, video_id=content)
    return source


def _with_hash(source: Source, settings_hash: str) -> Source:
    own = f"{settings_hash}.{config_hash(source.labels)}" if source.labels else settings_hash
    return replace(source, config_hash=own)
