"""`vclip ingest`: local and remote videos into the store. This file shows the job from top to bottom.

    inputs -> list the sources -> leave out what the store has (resume) -> extract and embed (workers) -> commit

The sources are looked up one window at a time, as the cluster has room for them.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from pipelines.cluster.failures import Tracebacks, run_folder
from pipelines.cluster.session import cluster_cpus, on_cluster, ray_is_running, start_ray
from pipelines.config import Config
from pipelines.extraction.types import Extraction
from pipelines.files.addresses import recorded
from pipelines.ingest.commit import open_store
from pipelines.ingest.driver import ingest_on_cluster
from pipelines.ingest.embed import Ingested
from pipelines.ingest.sources.listing import list_videos
from pipelines.ingest.sources.manifest import read_labels
from pipelines.ingest.sources.resume import WINDOW, Window, limit_windows, pending
from pipelines.ingest.sources.source import Source
from pipelines.ingest.telemetry import IngestMetrics, Rate
from pipelines.ingest.workers import Extract, extract_video
from pipelines.progress import Step, step
from pipelines.wording import count as counted
from stores import Store, VideoRows, config_hash
from stores.maintenance.compact import sweep


@dataclass
class Summary:
    """What a run did. The names of the fields are the keys of summary.json and `--json`."""

    store: str
    run_id: str = ""  # empty if there was nothing to do
    known: int = 0  # inputs that the store had already; nothing was done for them
    deleted: int = 0  # inputs that were deleted from the store on request; nothing was done for them
    videos: Counter = field(default_factory=Counter)  # state -> count
    doubles: int = 0  # inputs with the content of another input of this run
    elsewhere: int = 0  # videos that another run committed first
    outdated: int = 0  # videos removed because their files have changed
    passed_over: Counter = field(default_factory=Counter)  # ending -> files in the inputs that are no videos by it
    rows: Counter = field(default_factory=Counter)  # clips, faces, voices -> count
    funnel: Counter = field(default_factory=Counter)  # counts per stage and drops per reason, over all videos
    reasons: Counter = field(default_factory=Counter)  # why videos are empty or failed -> count
    config: dict[str, Any] = field(default_factory=dict)  # resolved
    video_s: float = 0.0  # total length of the videos
    size_bytes: int = 0  # total size of their files
    took_s: float = 0.0
    cores: float = 0.0  # CPUs of the cluster at the end

    def to_json(self) -> dict[str, Any]:
        return {k: dict(v) if isinstance(v, Counter) else v for k, v in vars(self).items()}

    def count(self, rows: VideoRows) -> None:
        """Adds one video that went into the store."""
        self.videos[rows.video["state"]] += 1
        self.rows.update(clips=len(rows.clips), faces=len(rows.faces), voices=len(rows.voices))
        self.funnel.update(rows.video["funnel"])
        self.video_s += rows.video["duration_s"]
        self.size_bytes += rows.video["uris"][0].get("size_bytes") or 0
        if rows.video["reason"]:
            self.reasons[rows.video["reason"]] += 1


# Called with each video that went into the store: its rows, its extraction, the summary so far.
Observe = Callable[[VideoRows, Extraction, Summary], None]

# Commits each source, and yields it with whether the store holds its rows, and before that perhaps None once it waits
# for the commit: (store, sources, configuration, run id, the function that extracts one source).
Process = Callable[[Store, Iterable[Source], Config, str, Extract], Iterator[tuple[Ingested, bool] | None]]


def ingest_videos(
    inputs: Sequence[str | Path],
    store_uri: str,
    config: Config,
    labels: str | Path | None = None,
    observe: Observe | None = None,
    retry_failed: bool = False,
    limit: int | None = None,
) -> Summary:
    """Extracts clips from all videos in `inputs`, embeds and commits them, and returns the summary of the run.

    Args:
        inputs: folders, files, patterns, manifests or addresses; see `pipelines.ingest.sources.listing`.
        store_uri: the store; created if there is none.
        config: the resolved configuration.
        labels: a table with a column `file`; see `read_labels`.
        observe: called with each video that went into the store.
        retry_failed: process failed videos again.
        limit: process at most this many of the pending sources.

    Raises:
        InputError, StoreError: there is nothing to read, or the store cannot be opened.
    """
    sources = list_videos(inputs, read_labels(labels) if labels else None, config.remote)
    given = [recorded(str(one)) for one in inputs]
    return ingest(
        sources,
        store_uri,
        config,
        extract_video,
        inputs=given,
        retry_failed=retry_failed,
        limit=limit,
        observe=observe,
        passed_over=sources.passed_over,
    )


def ingest(
    sources: Sequence[Source],
    store_uri: str,
    config: Config,
    extract: Extract,
    unit: str = "videos",
    *,
    inputs: Sequence[str] = (),
    retry_failed: bool = False,
    limit: int | None = None,
    observe: Observe | None = None,
    process: Process = ingest_on_cluster,
    passed_over: Mapping[str, int] | None = None,
) -> Summary:
    """Extracts and embeds every source that the store does not have yet, and returns the summary of the run.

    Args:
        sources: the inputs.
        store_uri: the store; created if there is none.
        config: its `clip_settings()` decide which clips a source gives, and so which sources the store has already.
        extract: extracts the clips of one source, in a worker.
        unit: what a source is called in the progress.
        inputs: what the user gave, for the store's record of the run.
        retry_failed: process failed sources again.
        limit: process at most this many of the pending sources.
        observe: called with each video that went into the store.
        process: extracts, embeds and commits the sources.
        passed_over: ending -> number of files in the inputs that are no videos by their ending, for the summary.

    Raises:
        InputError, StoreError: the encoders or the store cannot be opened. Nothing is written.
        StoreUnavailable: the disk is full or the connection did not come back; the same call resumes.
    """
    started_s = time.monotonic()
    store = open_store(store_uri, config)
    store.check_no_deletion("ingest")
    summary = Summary(store_uri, config=config.model_dump(), passed_over=Counter(passed_over or {}))
    if on_cluster():
        start_ray()  # its tasks also read the files for their content hashes
    command = {"job": "ingest", "unit": unit, "inputs": list(inputs), "sources": len(sources)}
    command |= {"retry_failed": retry_failed, "limit": limit}
    deciding, former = config_hash(config.clip_settings()), config_hash(config.former_clip_settings())
    size = min(WINDOW, max(limit or WINDOW, 256))  # with a small limit a small window will do
    windows = limit_windows(pending(sources, store, deciding, size, retry_failed, config.remote, former), limit)
    feed = _Feed(windows, summary, len(sources), limit)
    if feed.begin():
        start_ray()
        with _recorded(store, command, summary, started_s):
            with step("ingest", feed.total, unit, note=f"run {summary.run_id}") as progress:
                count = _counting(summary, progress, observe, config)
                for one in process(store, feed.sources(progress), config, summary.run_id, extract):
                    count(one)
            feed.record_names(store)
    else:
        feed.record_names(store)
    summary.took_s = time.monotonic() - started_s
    return summary


@dataclass
class _Feed:
    """The sources that are to be done, window by window, and what there is to note of the others."""

    windows: Iterator[Window]
    summary: Summary
    inputs: int
    limit: int | None
    first: Window = field(default_factory=Window)  # with anything to do
    unreadable: int = 0
    names: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # video_id -> further names
    outdated: list[str] = field(default_factory=list)

    def begin(self) -> bool:
        """Returns whether there is anything to do."""
        for window in self.windows:
            self._note(window)
            if window.todo or window.unreadable:
                self.first = window
                return True
        return False

    @property
    def total(self) -> int:
        """Sources to do; with more than a window of inputs, those that were not looked up yet count as well."""
        left = self.inputs - self.summary.known - self.summary.deleted - self.summary.doubles
        return left if self.limit is None else min(left, self.limit + self.unreadable)

    def sources(self, progress: Step) -> Iterator[Source]:
        """Yields the sources to do; those that cannot be read with their failure."""
        for window in chain([self.first], self.windows):
            if window is not self.first:
                self._note(window)
            progress.total = self.total
            for source, failure in window.unreadable:
                yield replace(source, failure=failure)
            yield from window.todo

    def record_names(self, store: Store) -> None:
        """Records the names of contents that the store has by now, and deletes those that have no name any more."""
        if self.names:
            store.add_uris(self.names)
        for content in self.outdated:
            store.delete_video(content)

    def _note(self, window: Window) -> None:
        for source in [*window.renamed, *window.duplicates]:
            self.names.setdefault(source.video_id, []).append(source.ledger_entry)
        self.outdated += window.outdated
        self.unreadable += len(window.unreadable)
        self.summary.known += window.already_stored
        self.summary.deleted += window.deleted
        self.summary.doubles += len(window.duplicates)
        self.summary.outdated += len(window.outdated)


@contextmanager
def _recorded(store: Store, command: Mapping[str, Any], summary: Summary, started_s: float) -> Iterator[None]:
    """Records the run in the store, after removing the remains of dead runs."""
    sweep(store)
    with store.run(command, summary.config) as run:
        summary.run_id = run.run_id
        try:
            yield
        finally:
            summary.took_s = time.monotonic() - started_s
            summary.cores = cluster_cpus() if ray_is_running() else 0.0
            run.summary = {name: value for name, value in summary.to_json().items() if name != "config"}


def _counting(
    summary: Summary, progress: Step, observe: Observe | None, config: Config
) -> Callable[[tuple[Ingested, bool] | None], None]:
    """Returns the function that counts what `Process` yields, and shows it: commits may be half a minute apart."""
    import ray.util.metrics

    metrics, rate = IngestMetrics(ray.util.metrics), Rate()
    tracebacks = Tracebacks(f"{run_folder(summary.store)}/{summary.run_id}", config.remote)
    waiting = 0  # for the next commit

    def count(one: tuple[Ingested, bool] | None) -> None:
        nonlocal waiting
        waiting = waiting + 1 if one is None else max(0, waiting - 1)
        done = progress.done + (one is not None)
        unstored = min(waiting, int(progress.total - done))  # what was lost with a node is done twice
        if one:
            add(*one)
        states = [f"{summary.videos[state]} {state}" for state in ("empty", "failed") if summary.videos[state]]
        clips = counted(summary.rows["clips"], "clip") if done else ""
        wait = f"{unstored:,} wait to be stored" if unstored > 0 else ""
        progress.set(done, ", ".join(filter(None, [clips, *states, wait, str(rate)])))

    def add(done: Ingested, held: bool) -> None:
        rate.add(done.extraction.duration_s)
        if held:
            if done.failure:
                tracebacks.keep(done.failure, done.source.uri)
            summary.count(done.rows)
            metrics.add(done.rows, done.extraction)
            if observe:
                observe(done.rows, done.extraction, summary)
        else:
            summary.elsewhere += 1

    return count
