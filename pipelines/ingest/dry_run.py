"""`vclip ingest --dry-run`: what an ingest would do, how long it may take, and how many workers to ask for."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.cluster.session import cluster_cpus, on_cluster, start_ray
from pipelines.config import Config
from pipelines.files.addresses import is_remote
from pipelines.ingest.commit import open_store
from pipelines.ingest.cost import (
    STORE_BYTES,
    WORKER_GB,
    Sample,
    cost_of,
    earlier_runs,
    probed,
    seconds_on,
    unmeasured,
    workers_for,
)
from pipelines.ingest.sources.content_hash import name_id
from pipelines.ingest.sources.ledger_index import Ledger
from pipelines.ingest.sources.listing import list_videos
from pipelines.ingest.sources.manifest import read_labels
from pipelines.ingest.sources.resume import pending
from pipelines.ingest.sources.source import Source
from pipelines.wording import HOUR_S, count, number, seconds, size
from stores import Store, config_hash

READ_BYTES = 10e9  # inputs of more than this in all are not read for their content hashes
NIGHT_S = 10 * HOUR_S


@dataclass
class Plan:
    """What an ingest would do. The names of the fields are the keys of `--json`."""

    store: str
    new: int = 0  # videos that the store does not have
    again: int = 0  # videos that it has under another configuration or labels, or failed ones with --retry-failed
    known: int = 0  # inputs that it has, failed ones among them
    failed: int = 0  # of these: failed videos, which --retry-failed would do again
    deleted: int = 0  # inputs that were deleted from it on request, and stay deleted
    doubles: int | None = 0  # other names of the videos to do; None where the files were too large to be read
    unreadable: int = 0
    passed_over: dict[str, int] = field(default_factory=dict)  # ending -> files that are no videos by it
    size_bytes: int = 0  # total of the files to do; files of unknown size count as 0
    probed: int = 0  # files whose headers were read
    probed_unreadable: int = 0  # of these: files that would fail
    frames: str = ""  # of the median of the probed videos, by pixels
    video_s: float | None = None  # length of the videos to do; None, like the next, where nothing is known of it
    core_s: float | None = None
    store_bytes: float | None = None
    on_cluster: bool = False  # whether the cores are those of a cluster that runs already
    cores: float = 0.0  # at hand
    load: float = 0.0  # processes of others that want them, over the last minutes; 0 where earlier runs decide
    estimate_s: float | None = None  # on these cores
    workers_hour: int | None = None  # workers of one core each that finish in an hour
    workers_night: int | None = None  # and in NIGHT_S
    earlier: int = 0  # runs into the store that the estimate is made from
    estimated_from: str = ""

    @property
    def todo(self) -> int:
        """Videos to do."""
        return self.new + self.again

    def sentence(self) -> str:
        """Returns the plan in one sentence, for people."""
        if not self.todo and not self.known:
            return "Nothing to do: no input can be ingested."
        if not self.todo:
            return f"Nothing to do: of {count(self.known, 'input')} the store {self.store} has all."
        what = f"{count(self.todo, 'video')} to do"
        if self.core_s is None or self.video_s is None:
            return f"{what}, {size(self.size_bytes)}; how long they take is not known."
        cost = f"{_core_time(self.core_s)}, a store of {size(self.store_bytes or 0)}"
        if self.estimate_s is None:
            return f"{what}, {seconds(self.video_s)} long: {cost}; the cluster has no workers yet."
        where = "of the cluster" if self.on_cluster else "here"
        cores = f"the {count(round(self.cores), 'core')} {where}"
        if self.load:
            cores += f", shared with {count(round(self.load), 'other process', 'other processes')}"
        elif not self.earlier:
            cores += ", if they do nothing else"
        return f"{what}, {seconds(self.video_s)} long: about {seconds(self.estimate_s)} on {cores} ({cost})."

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yields the plan in words, for people."""
        known = f"{self.known:,}" + (f", {self.failed:,} of them failed (--retry-failed)" if self.failed else "")
        copies = (
            self.doubles if self.doubles is not None else "not looked for: the files are large, or of unknown size"
        )
        others = {
            "new to the store": f"{self.new:,}" if self.new else "",
            "in the store under other settings or labels": f"{self.again:,}" if self.again else "",
            "in the store already": known if self.known else "",
            "deleted on request, not ingested again": f"{self.deleted:,}" if self.deleted else "",
            "copies of other inputs": copies,
            "cannot be read": self.unreadable,
            "left out by their ending": ", ".join(f"{n:,} {ending}" for ending, n in self.passed_over.items()),
        }
        yield from ((name, str(value)) for name, value in others.items() if value)
        if not self.todo:
            return
        yield "size of their files", size(self.size_bytes)
        if self.probed:
            broken = f", {self.probed_unreadable:,} of them no readable video" if self.probed_unreadable else ""
            yield "files probed", f"{self.probed:,} of {self.todo:,}{broken}"
        if self.core_s is None or self.video_s is None or self.store_bytes is None:
            return
        yield "length of the videos", seconds(self.video_s)
        if self.frames:
            yield "frames of the median video", self.frames
        yield "work", _core_time(self.core_s)
        if self.estimate_s is not None:
            where = "on the cluster" if self.on_cluster else "on this machine"
            yield f"time {where}, {count(round(self.cores), 'core')}", seconds(self.estimate_s)
        yield "to finish within an hour", _workers(self.workers_hour)
        if self.workers_night != self.workers_hour:
            yield "to finish within a night, 10 hours", _workers(self.workers_night)
        yield "size of the store", size(self.store_bytes)
        yield "estimated from", self.estimated_from


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
    """Returns the plan of `ingest` with the same arguments.

    Files new to the store are read for their content hash, if all inputs together have at most READ_BYTES; larger
    ones are known by their names, sizes and times. The headers of a sample are probed.

    Raises:
        InputError, StoreError: as `ingest`.
    """
    store, result = open_store(store_uri, config, dry=True), Plan(store_uri, on_cluster=on_cluster())
    if result.on_cluster:
        start_ray()
    result.cores = cluster_cpus() if result.on_cluster else len(os.sched_getaffinity(0))
    ledger, sample = Ledger(store), Sample()
    given = _by_names(sources) if _too_large(sources) else sources
    # Failed videos are always looked up, and counted separately below.
    deciding, former = config_hash(config.clip_settings()), config_hash(config.former_clip_settings())
    for window in pending(given, store, deciding, retry_failed=True, config=config.remote, former_hash=former):
        result.known += window.already_stored
        result.deleted += window.deleted
        result.doubles = None if given is not sources else (result.doubles or 0) + len(window.duplicates)
        result.unreadable += len(window.unreadable)
        rows = ledger.by_content([source.video_id for source in window.todo])
        for source in window.todo:
            row = rows.get(source.video_id)
            if ledger.is_done(row, source) and not retry_failed:
                result.known += 1
                result.failed += 1
            elif limit is None or result.todo < limit:
                result.new += row is None
                result.again += row is not None
                result.size_bytes += source.size_bytes or 0
                sample.add(source)
    if result.todo:
        _estimate(result, store, config, sample.sources())
    return result


def _core_time(core_s: float) -> str:
    return f"{seconds(core_s)} of one core" if core_s < HOUR_S else f"{number(core_s / HOUR_S)} core hours"


def _workers(workers: int | None) -> str:
    memory_gb = WORKER_GB * (workers or 0)
    return f"{count(workers or 0, 'worker')} of one core, {memory_gb:,g} GB of memory"


def _too_large(sources: Iterable[Source]) -> bool:
    total = 0.0
    for source in sources:
        # A file of unknown size may be large on a web server; on a disk it is missing, and there is nothing to read.
        served = source.size_bytes is None and not source.failure and any(map(is_remote, source.paths))
        total += READ_BYTES + 1 if served else source.size_bytes or 0
        if total > READ_BYTES:
            return True
    return False


def _by_names(sources: Iterable[Source]) -> Iterator[Source]:
    """Yields the sources with the hashes of their names in place of those of their contents."""
    return (source if source.failure else replace(source, video_id=name_id(source)) for source in sources)


def _estimate(result: Plan, store: Store, config: Config, sample: Sequence[Source]) -> None:
    """Estimates length, work, time and size from the headers of a sample and from earlier runs."""
    found = probed(sample, config)
    result.probed, result.probed_unreadable = len(found), sum(one.probe is None for one in found)
    summaries = [json.loads(text) for text in store.query("runs", ["summary"])["summary"].to_pylist()]
    earlier = earlier_runs(store, result.cores or 1.0, summaries)
    cost = cost_of(found, config, result.todo, result.size_bytes)
    cores = result.cores or 1.0
    if earlier:
        result.earlier = earlier.runs
        result.estimated_from = f"{count(earlier.runs, 'earlier run')} into this store"
    elif cost:
        unknown = ", ".join(unmeasured(config))
        result.estimated_from = "the rates in docs/sizing.md" + (f", which has none for {unknown}" * bool(unknown))
    if cost:
        ratio = earlier.ratio(cost, result.todo, cores, config) if earlier else 1.0
        if not earlier and not result.on_cluster and (load := os.getloadavg()[1]) > cores / 2:
            result.load = load
        result.frames, result.video_s, result.core_s = cost.frames, cost.video_s, ratio * cost.core_s
        # Processes that want the same cores get equal shares of them.
        took_s = ratio * seconds_on(cost.core_s, cost.longest_s, cores, config) * (1 + result.load / cores)
    elif earlier and result.size_bytes:
        share = result.size_bytes / earlier.size_bytes
        result.video_s, result.core_s = share * earlier.video_s, share * earlier.took_s * cores
        took_s = share * earlier.took_s
    else:
        return
    per_second = earlier.store_bytes / earlier.video_s if earlier else STORE_BYTES
    result.store_bytes = per_second * result.video_s
    result.estimate_s = took_s if result.cores else None
    result.workers_hour = workers_for(result.core_s, HOUR_S, result.todo)
    result.workers_night = workers_for(result.core_s, NIGHT_S, result.todo)
