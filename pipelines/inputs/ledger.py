"""The ledger as a job looks things up in it: a window of names or contents at a time.

It stays in Arrow: as Python objects, a million videos would take gigabytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.inputs.source import Source
from stores import Store, tombstone

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
