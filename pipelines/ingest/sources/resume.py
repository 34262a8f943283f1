"""What of the sources is still to be done: the ledger decides, by content and configuration."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.files.remote import RemoteConfig
from pipelines.ingest.sources.content_hash import content_hashes, name_id
from pipelines.ingest.sources.source import Source
from stores import Store, config_hash, tombstone

ROW = ("video_id", "config_hash", "state")


class Ledger:
    """One state of a store's ledger.

    Args:
        store: the store.
        retry_failed: vouch for no failed video.
    """

    def __init__(self, store: Store, retry_failed: bool = False):
        self._retry_failed = retry_failed
        self._videos = store.query("videos", [*ROW, "uris"]).combine_chunks()
        uris = self._videos["uris"]
        self._row_of_name = pc.list_parent_indices(uris)
        self._names = pa.Table.from_struct_array(pc.list_flatten(uris))

    def by_name(self, uris: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Returns uri -> its entries: {uri, size_bytes, mtime_s, etag} and ROW of the content that it stands for.

        A name that has held several contents has several entries.
        """
        mask = pc.is_in(self._names["uri"], pa.array(uris, pa.string()))
        rows = self._videos.select(ROW).take(self._row_of_name.filter(mask)).to_pylist()
        found: dict[str, list[dict[str, Any]]] = {}
        for name, row in zip(self._names.filter(mask).to_pylist(), rows, strict=True):
            found.setdefault(name["uri"], []).append(name | row)
        return found

    def by_content(self, video_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Returns video_id -> its ROW."""
        mask = pc.is_in(self._videos["video_id"], pa.array(video_ids, pa.string()))
        return {row["video_id"]: row for row in self._videos.select(ROW).filter(mask).to_pylist()}

    def buried(self, video_ids: Sequence[str]) -> set[str]:
        """Returns which of these contents were deleted on request, and are not to come back."""
        stones = {tombstone(video): video for video in video_ids}
        return {stones[name] for name in self.by_content(list(stones))}

    def names(self, video_ids: Iterable[str]) -> dict[str, set[str]]:
        """Returns video_id -> all names it was seen under."""
        mask = pc.is_in(self._videos["video_id"], pa.array(list(video_ids), pa.string()))
        rows = self._videos.filter(mask).to_pylist()
        return {row["video_id"]: {entry["uri"] for entry in row["uris"] or ()} for row in rows}

    def vouches(self, row: Mapping[str, Any] | None, source: Source) -> bool:
        """Returns whether a ROW says that the source is done, with its labels and under its configuration."""
        if row is None or (self._retry_failed and row["state"] == "failed"):
            return False
        done = row["config_hash"]
        return done == source.config_hash or (not source.labels and done.startswith(f"{source.config_hash}."))


WINDOW = 4096  # sources looked up at once, and done in one piece of work

Entries = Mapping[str, Sequence[Mapping[str, Any]]]  # name -> what the ledger has under it


@dataclass
class Work:
    """A window of what is to be done."""

    todo: list[Source] = field(default_factory=list)  # each content once in a run
    known: int = 0  # sources that the store has already, under this configuration
    deleted: int = 0  # sources that were deleted on request, and do not come back
    renamed: list[Source] = field(default_factory=list)  # those of them whose name, or time, the ledger lacks
    doubles: list[Source] = field(default_factory=list)  # other names of contents of this run, which it lacks as well
    unreadable: list[tuple[Source, str]] = field(default_factory=list)  # with the reason
    outdated: list[str] = field(default_factory=list)  # video_ids all of whose names hold something else now


def split_known(
    sources: Iterable[Source],
    store: Store,
    settings_hash: str,
    window: int = WINDOW,
    retry_failed: bool = False,
    config: RemoteConfig | None = None,
) -> Iterator[Work]:
    """Yields what the ledger does not vouch for under these settings, in the order of the sources.

    A file whose name and size and time (or etag) the ledger knows is not read again; any other is read for the hash
    of its content, and a known content under a new name only has the name recorded. Of several names of one content
    the first decides, also on its labels. Other labels than before are a reason to do a source again; no labels are
    none, so that they need not be given each time. A file that cannot be read is known if its name is.

    What is known costs no window of its own: all but the last are full. The ledger is read anew after each, so that a
    job sees what another one has done meanwhile. Nothing is written here: the names of `renamed` and `doubles`
    are to be recorded once `todo` is done, and `outdated`, which comes last, is to be deleted then.

    Args:
        sources: the inputs; a window of them is held at a time.
        store: whose ledger is asked.
        settings_hash: of the configuration that decides what a source gives.
        window: sources looked up at once. A piece of work has as many to be done, and never twice as many.
        retry_failed: failed videos are to be done again.
        config: how remote files are read.
    """
    config = config or RemoteConfig()
    met, work, ledger, stream = _Met(), Work(), None, iter(sources)
    while batch := [_with_hash(source, settings_hash) for source in islice(stream, window)]:
        ledger = ledger or Ledger(store, retry_failed)
        entries = ledger.by_name([source.uri for source in batch])
        _sort(list(_identified(batch, entries, ledger, config)), entries, ledger, met, work)
        if len(work.todo) + len(work.unreadable) >= window:
            yield work
            work, ledger = Work(), None
    if met.left:
        work.outdated = met.without_a_name(ledger or Ledger(store))
    if work != Work():
        yield work


@dataclass
class _Met:
    """What the sources so far have held."""

    contents: set[str] = field(default_factory=set)
    left: dict[str, set[str]] = field(default_factory=dict)  # content -> those of its names that hold another now

    def without_a_name(self, ledger: Ledger) -> list[str]:
        """Returns the contents that all names have left."""
        names = ledger.names(self.left)
        return [c for c in names if c not in self.contents and names[c] <= self.left[c]]


def _sort(found: Sequence[tuple[Source, str, bool]], entries: Entries, ledger: Ledger, met: _Met, work: Work) -> None:
    """Puts each source where it belongs."""
    contents = [source.video_id for source, _, _ in found]
    rows, buried = ledger.by_content(contents), ledger.buried(contents)
    for source, reason, named in found:
        if source.video_id in buried:
            work.deleted += 1
            continue
        before = entries.get(source.uri, ())
        if reason and any(ledger.vouches(entry, source) for entry in before):
            work.known += 1  # a file that cannot be read takes nothing away from what it gave
            continue
        for entry in [] if reason else before:
            if entry["video_id"] != source.video_id:
                met.left.setdefault(entry["video_id"], set()).add(source.uri)
        first = source.video_id not in met.contents
        met.contents.add(source.video_id)
        if not first and not named:
            work.doubles.append(source)
        elif not first or ledger.vouches(rows.get(source.video_id), source):
            work.known += 1
            work.renamed += [] if named else [source]
        elif reason:
            work.unreadable.append((source, reason))
        else:
            work.todo.append(source)


def _identified(
    batch: Sequence[Source], entries: Entries, ledger: Ledger, config: RemoteConfig
) -> Iterator[tuple[Source, str, bool]]:
    """Yields each source with its content, why it cannot be read, and whether the ledger knows it by its name."""
    placed = [_by_name(source, entries.get(source.uri, ()), ledger) for source in batch]
    read = content_hashes([source for source in placed if not source.video_id], config)
    for source in placed:
        if source.video_id:
            yield source, "", True
        else:
            yield *next(read), False


def _by_name(source: Source, entries: Sequence[Mapping[str, Any]], ledger: Ledger) -> Source:
    """Returns the source with its content, if the ledger knows that without reading."""
    for entry in entries:
        # What could not be read has the id of its name, which says nothing of its content.
        content = entry["video_id"]
        if source.unchanged(entry) and (content != name_id(source) or ledger.vouches(entry, source)):
            return replace(source, video_id=content)
    return source


def _with_hash(source: Source, settings_hash: str) -> Source:
    mine = f"{settings_hash}.{config_hash(source.labels)}" if source.labels else settings_hash
    return replace(source, config_hash=mine)
