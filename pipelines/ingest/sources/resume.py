"""Resume: which sources are still to be done. The store's ledger decides, by content hash and configuration."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from pipelines.cluster.failures import Failure
from pipelines.files.remote import RemoteConfig
from pipelines.ingest.sources.content_hash import content_hashes, name_id
from pipelines.ingest.sources.ledger_index import Ledger
from pipelines.ingest.sources.source import Source
from stores import Store, config_hash

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
    former_hash: str = "",
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
        former_hash: another configuration's hash, whose rows count as done too; "" if there is none.
    """
    config = config or RemoteConfig()
    contents, result, stream = _Contents(), Window(), iter(sources)
    ledger: Ledger | None = None
    while batch := [_with_hashes(source, settings_hash, former_hash) for source in islice(stream, window)]:
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


def _with_hashes(source: Source, settings_hash: str, former_hash: str) -> Source:
    labels = f".{config_hash(source.labels)}" if source.labels else ""
    return replace(source, config_hash=settings_hash + labels, former_hash=former_hash and former_hash + labels)
