"""The ingest job: asks the ledger what is to be done, a window at a time, and commits what the cluster makes of it.

The last videos of a window leave CPUs idle: little against the thousands of videos in it, and windows bound what the
driver keeps in mind of a million.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipelines.cluster.session import on_cluster, start_ray
from pipelines.config import Config
from pipelines.extraction.faces.detectors import open_detector
from pipelines.extraction.types import Extraction
from pipelines.ingest.commit import committed
from pipelines.ingest.embed import Ingested, failed
from pipelines.ingest.sources.resume import WINDOW, Work, split_known
from pipelines.ingest.sources.source import Source
from pipelines.ingest.telemetry import IngestMetrics, Pace
from pipelines.ingest.workers import Extract, stream
from pipelines.progress import Step, say, step
from stores import Store, VideoRows, config_hash
from stores.maintenance.compact import sweep
from vclip.encoders import FACE_ENCODERS, VOICE_ENCODERS, open_face_encoder, open_voice_encoder
from vclip.errors import InputError


@dataclass
class Summary:
    """What a run did."""

    store: str
    run_id: str = ""  # empty while there was nothing to do
    known: int = 0  # inputs that the store had already; nothing was done for them
    deleted: int = 0  # inputs that were deleted from the store on request; nothing was done for them
    videos: Counter = field(default_factory=Counter)  # state -> count
    doubles: int = 0  # other names of videos of this run
    elsewhere: int = 0  # videos that another run has done meanwhile
    outdated: int = 0  # videos removed, because their files have changed
    rows: Counter = field(default_factory=Counter)  # clips, faces, voices -> count
    funnel: Counter = field(default_factory=Counter)  # counts per stage and drops per reason, over all videos
    reasons: Counter = field(default_factory=Counter)  # why videos are empty or failed -> count
    config: dict[str, Any] = field(default_factory=dict)  # resolved
    video_s: float = 0.0  # length of all videos
    size_bytes: int = 0  # of all their files
    took_s: float = 0.0

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


# Is told of each video that went into the store: its rows, its extraction without the clips, the summary so far.
Observe = Callable[[VideoRows, Extraction, Summary], None]


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
) -> Summary:
    """Extracts and embeds every source that the store does not have yet; returns what was done.

    Args:
        sources: the inputs.
        store_uri: the store; made if there is none.
        config: `config.deciding()` decides what a source gives, and so what counts as known.
        extract: what is done to one source.
        unit: what a source is called in the progress.
        inputs: what the user gave, for the store's record of the run.
        retry_failed: failed sources are done again.
        limit: only the first so many of those still to do.
        observe: told of each video that went into the store.

    Raises:
        InputError, StoreError: the encoders or the store cannot be opened. Nothing is written.
        StoreUnavailable: the disk is full or the connection did not come back; a second run goes on.
    """
    started_s = time.monotonic()
    store = open_store(store_uri, config)
    summary = Summary(store_uri, config=config.model_dump())
    if on_cluster():
        start_ray()  # it also looks at the files
    command = {"job": "ingest", "unit": unit, "inputs": list(inputs), "sources": len(sources)}
    command |= {"retry_failed": retry_failed, "limit": limit}
    with ExitStack() as stack:
        progress = None
        for work in _limited(_windows(sources, store, config, retry_failed, limit), limit):
            if work.todo or work.unreadable:
                if progress is None:
                    start_ray()
                    stack.enter_context(_recorded(store, command, summary, started_s))
                    say(f"{unit} to do; run {summary.run_id}")
                    progress = stack.enter_context(step("ingest", len(sources), unit))
                    told = _tell(summary, progress, observe)
                progress.total -= work.known + work.deleted + len(work.doubles)
                for done, held in committed(store, _results(work, config, summary.run_id, extract), config.ingest):
                    told(done, held)
            _record_names(store, work)
            summary.known += work.known
            summary.deleted += work.deleted
            summary.doubles += len(work.doubles)
            summary.outdated += len(work.outdated)
        summary.took_s = time.monotonic() - started_s
    return summary


def open_store(uri: str, config: Config, dry: bool = False) -> Store:
    """Returns the store at `uri`, made for the encoders of `config`; if `dry`, an empty one where there is none."""
    # Opened here first, so that missing weights are one clear line before a cluster is asked for anything.
    open_detector(config.extraction.tracks.detector)
    face, voice = open_face_encoder(config.encoders.face, "cpu"), open_voice_encoder(config.encoders.voice, "cpu")
    make = Store.open_or_empty if dry else Store.open_or_create
    specs = {
        face.space: FACE_ENCODERS.record(config.encoders.face),
        voice.space: VOICE_ENCODERS.record(config.encoders.voice),
    }
    store = make(uri, faces={face.space: face.dim}, voices={voice.space: voice.dim}, encoders=specs)
    for table, encoder in (("faces", face), ("voices", voice)):
        if more := sorted(set(store.spaces(table)) - {encoder.space}):
            raise InputError(
                f"store {uri}: its {table} have vectors of '{more[0]}' as well, which new ones would lack; "
                "`vclip embed --replace` drops it, or ingest into a new store and merge"
            )
    return store


def _windows(
    sources: Sequence[Source], store: Store, config: Config, retry_failed: bool, limit: int | None
) -> Iterator[Work]:
    window = min(WINDOW, max(limit or WINDOW, 256))  # of few to do, few more need be looked at
    deciding = config_hash(config.deciding())
    return split_known(sources, store, deciding, window, retry_failed, config.remote)


def _limited(windows: Iterator[Work], limit: int | None) -> Iterator[Work]:
    """Passes windows on up to the first `limit` sources to do; other names of those left out stay out too."""
    room = limit
    for work in windows:
        if room is not None:
            left_out = {source.video_id for source in work.todo[room:]}
            work.todo = work.todo[:room]
            work.doubles = [source for source in work.doubles if source.video_id not in left_out]
            room -= len(work.todo)
        yield work
        if room == 0:
            return


@contextmanager
def _recorded(store: Store, command: Mapping[str, Any], summary: Summary, started_s: float) -> Iterator[None]:
    """Records the run in the store; before it, what dead runs have left behind goes."""
    sweep(store)
    with store.run(command, summary.config) as run:
        summary.run_id = run.run_id
        try:
            yield
        finally:
            summary.took_s = time.monotonic() - started_s
            run.summary = {name: value for name, value in summary.to_json().items() if name != "config"}


def _results(work: Work, config: Config, run_id: str, extract: Extract) -> Iterator[Ingested]:
    for source, reason in work.unreadable:
        yield failed(source, run_id, reason)
    if work.todo:
        yield from stream(work.todo, config, run_id, extract)


def _tell(summary: Summary, progress: Step, observe: Observe | None) -> Callable[[Ingested, bool], None]:
    """Returns what is told of each video that was committed, and whether it was held."""
    import ray.util.metrics

    metrics, pace = IngestMetrics(ray.util.metrics), Pace()

    def tell(done: Ingested, held: bool) -> None:
        pace.add(done.rows.video["duration_s"])
        if held:
            summary.count(done.rows)
            metrics.add(done.rows, done.extraction)
            if observe:
                observe(done.rows, done.extraction, summary)
        else:
            summary.elsewhere += 1
        states = [f"{summary.videos[state]} {state}" for state in ("empty", "failed") if summary.videos[state]]
        progress.advance(note=", ".join(filter(None, [f"{summary.rows['clips']} clips", *states, str(pace)])))

    return tell


def _record_names(store: Store, work: Work) -> None:
    names: dict[str, list[dict[str, Any]]] = {}
    for source in [*work.renamed, *work.doubles]:
        names.setdefault(source.video_id, []).append(source.seen_as)
    if names:
        store.add_uris(names)
    for content in work.outdated:
        store.delete_video(content)
