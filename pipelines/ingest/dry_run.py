"""`vclip ingest --dry-run`: what an ingest would do, and how long it may take."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipelines.config import Config
from pipelines.ingest.commit import open_store
from pipelines.ingest.sources.listing import list_videos
from pipelines.ingest.sources.manifest import read_labels
from pipelines.ingest.sources.resume import Ledger, pending
from pipelines.ingest.sources.source import Source
from stores import Store, config_hash


@dataclass
class Plan:
    """What an ingest would do. The names of the fields are the keys of `--json`."""

    store: str
    new: int = 0  # videos that the store does not have
    again: int = 0  # videos that it has under another configuration or labels, or failed ones with --retry-failed
    known: int = 0  # inputs that it has, failed ones among them
    failed: int = 0  # of these: failed videos, which --retry-failed would do again
    deleted: int = 0  # inputs that were deleted from it on request, and stay deleted
    doubles: int = 0  # other names of the videos to do
    unreadable: int = 0
    passed_over: dict[str, int] = field(default_factory=dict)  # ending -> files that are no videos by it
    size_bytes: int = 0  # total of the files to do; files of unknown size count as 0
    estimate_s: float | None = None  # None without an earlier run to estimate it from
    estimated_from: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def plan_videos(
    inputs: Sequence[str | Path],
    store_uri: str,
    config: Config,
    labels: str | Path | None = None,
    retry_failed: bool = False,
    limit: int | None = None,
) -> Plan:
    """Returns the plan of `ingest_videos` with the same arguments; nothing is written."""
    sources = list_videos(inputs, read_labels(labels) if labels else None, config.remote)
    result = plan(sources, store_uri, config, retry_failed, limit)
    result.passed_over = dict(sources.passed_over)
    return result


def plan(
    sources: Sequence[Source], store_uri: str, config: Config, retry_failed: bool = False, limit: int | None = None
) -> Plan:
    """Returns the plan of `ingest` with the same arguments. Files new to the store are read for their content hash.

    Raises:
        InputError, StoreError: as `ingest`.
    """
    store, result = open_store(store_uri, config, dry=True), Plan(store_uri)
    ledger = Ledger(store)
    # Failed videos are always looked up, and counted separately below.
    for window in pending(
        sources, store, config_hash(config.clip_settings()), retry_failed=True, config=config.remote
    ):
        result.known += window.already_stored
        result.deleted += window.deleted
        result.doubles += len(window.duplicates)
        result.unreadable += len(window.unreadable)
        rows = ledger.by_content([source.video_id for source in window.todo])
        for source in window.todo:
            row = rows.get(source.video_id)
            if ledger.is_done(row, source) and not retry_failed:
                result.known += 1
                result.failed += 1
            elif limit is None or result.new + result.again < limit:
                result.new += row is None
                result.again += row is not None
                result.size_bytes += source.size_bytes or 0
    _estimate(result, store)
    return result


def _estimate(result: Plan, store: Store) -> None:
    """Estimates the time from the bytes per second of earlier runs, start-up included."""
    runs = [json.loads(text) for text in store.query("runs", ["summary"])["summary"].to_pylist()]
    runs = [run for run in runs if run.get("size_bytes") and run.get("took_s")]
    if not runs:
        return
    took_s, size = (sum(run[name] for run in runs) for name in ("took_s", "size_bytes"))
    result.estimate_s = result.size_bytes * took_s / size
    result.estimated_from = f"{len(runs)} earlier runs into this store, {size / took_s / 1e6:.3g} MB/s"
