"""The ledger of a store (its table `videos`) in memory, to look up videos by their names and contents."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.ingest.sources.source import Source
from stores import Store, tombstone
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
        as_this = [name for name in (source.config_hash, source.former_hash) if name]
        return done in as_this or (not source.labels and done.split(".")[0] in as_this)

    def _forget(self) -> None:
        self._fragments: set[int] = set()
        self._ids = np.empty(0, "S32")  # (videos,)
        self._order = np.empty(0, np.int64)  # sorts the ids; of several rows of one video, the present one
        self._codes: dict[tuple[str, str], int] = {}  # (config_hash, state) -> its code
        self._kinds: list[tuple[str, str]] = []  # by code
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
