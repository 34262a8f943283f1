"""The ingest job on Ray Data: paths in, clips out, embedded in actor pools, committed by the driver.

    sources -> extract (tasks) -> embed (actors, a GPU each where there are any) -> commit (driver, in batches)

One Ray row is one video; only paths go out and only crops, segments and vectors come back.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.config import Config
from pipelines.embedding import Embedder, Extracted, failed_rows, internal_error
from pipelines.extraction.faces import open_detector
from pipelines.extraction.rows import Extraction
from pipelines.inputs.known import Work, split_known
from pipelines.inputs.source import Source
from pipelines.progress import say, step
from stores import Store, StoreError, VideoRows, config_hash, run_id
from vclip.encoders import open_face_encoder, open_voice_encoder

WINDOW = 4096  # sources in one Ray dataset; a new one costs about 4 s, for its actors start anew

# Extracts one source under a configuration; runs in a Ray task.
Extract = Callable[[Source, Config], Extraction]


@dataclass
class Summary:
    """What a run did."""

    store: str
    run_id: str
    known: int  # inputs that the store had already; nothing was done for them
    videos: Counter = field(default_factory=Counter)  # state -> count
    doubles: int = 0  # other names of videos of this run
    outdated: int = 0  # videos removed, because their files have changed
    rows: Counter = field(default_factory=Counter)  # clips, faces, voices -> count
    funnel: Counter = field(default_factory=Counter)  # counts per stage and drops per reason, over all videos
    reasons: Counter = field(default_factory=Counter)  # why videos are empty or failed -> count
    config: dict[str, Any] = field(default_factory=dict)  # resolved
    took_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {k: dict(v) if isinstance(v, Counter) else v for k, v in vars(self).items()}


def ingest(
    sources: Sequence[Source], store_uri: str, config: Config, extract: Extract, unit: str = "videos"
) -> Summary:
    """Extracts and embeds every source that the store does not have yet; returns what was done.

    Args:
        sources: the inputs.
        store_uri: the store; made if there is none.
        config: its sections `encoders` and `extraction` decide what a source gives, and so what counts as known.
        extract: what is done to one source.
        unit: what a source is called in the progress.

    Raises:
        InputError, StoreError: the encoders or the store cannot be opened. Nothing is written.
    """
    started_s = time.monotonic()
    store = _open_store(store_uri, config)
    summary = Summary(store_uri, run_id(), 0)
    if os.environ.get("RAY_ADDRESS"):
        start_ray()  # a cluster that runs already also looks at the files
    settings = config_hash(config.model_dump(include={"encoders", "extraction"}))
    for work in split_known(sources, store, settings, config=config.remote):
        if work.todo or work.unreadable:
            say(f"{len(work.todo)} {unit} to do, {work.known} known already; run {summary.run_id}")
            with step("ingest", len(work.todo) + len(work.unreadable), unit) as progress:
                for rows in _committed(store, _stream(work, config, summary.run_id, extract), config):
                    _count(summary, rows)
                    progress.advance(note=f"{summary.rows['clips']} clips")
        for source in [*work.renamed, *work.doubles]:
            store.add_uri(source.video_id, source.seen_as)
        for content in work.outdated:
            store.delete_video(content)
        summary.known += work.known
        summary.doubles += len(work.doubles)
        summary.outdated += len(work.outdated)
    summary.config = config.model_dump()
    summary.took_s = time.monotonic() - started_s
    return summary


def _open_store(uri: str, config: Config) -> Store:
    # Opened here first, so that missing weights are one clear line before a cluster is asked for anything.
    open_detector(config.extraction.tracks.detector)
    face, voice = open_face_encoder(config.encoders.face, "cpu"), open_voice_encoder(config.encoders.voice, "cpu")
    return Store.open_or_create(uri, faces={face.space: face.dim}, voices={voice.space: voice.dim})


def _stream(work: Work, config: Config, run: str, extract: Extract) -> Iterator[VideoRows]:
    """Yields the rows of each source as the cluster finishes it."""
    for source, reason in work.unreadable:
        yield failed_rows(source, run, reason)
    if not work.todo:
        return
    import ray

    start_ray()
    gpus = int(ray.cluster_resources().get("GPU", 0))
    actors = config.ingest.embed_actors or max(1, gpus)

    def extract_row(row: dict[str, Any]) -> dict[str, Any]:
        _one_thread()
        return {"extracted": Extracted(row["source"], _guarded(extract, row["source"], config))}

    # A task hands its rows on when it ends, so each has one source; and a window bounds what Ray keeps in mind.
    for start in range(0, len(work.todo), WINDOW):
        window = [{"source": source} for source in work.todo[start : start + WINDOW]]
        rows = ray.data.from_items(window, override_num_blocks=len(window))
        rows = rows.map(extract_row, num_cpus=config.ingest.extract_cpus)
        rows = rows.map_batches(
            Embedder,
            fn_constructor_args=(config.encoders, run),
            batch_size=config.ingest.embed_batch,
            compute=ray.data.ActorPoolStrategy(size=actors),
            num_gpus=1 if gpus else 0,
            # On CPU the actor shares the cores with extraction: on two cores a core of its own would halve that.
            num_cpus=0,
            # On one machine an actor that dies takes the job with it, and a second run goes on from there; on a
            # cluster it starts anew (and Ray then warns of ray issue 53727, which a local run need not read).
            **({} if os.environ.get("RAY_ADDRESS") else {"max_restarts": 0}),
        )
        for row in rows.iter_rows():
            yield row["rows"]


def _guarded(extract: Extract, source: Source, config: Config) -> Extraction:
    """One file that trips a defect of a decoder or of ours must not end a job of a million files."""
    try:
        return extract(source, config)
    except Exception as error:
        return internal_error(error)


def _committed(store: Store, stream: Iterator[VideoRows], config: Config) -> Iterator[VideoRows]:
    """Passes rows on, once they are in the store."""
    batch: list[VideoRows] = []
    last_s = time.monotonic()
    for rows in stream:
        batch.append(rows)
        full = len(batch) >= config.ingest.commit_every
        if full or time.monotonic() - last_s >= config.ingest.commit_every_s:
            yield from _commit(store, batch)
            batch, last_s = [], time.monotonic()
    if batch:
        yield from _commit(store, batch)


def _commit(store: Store, batch: list[VideoRows]) -> list[VideoRows]:
    """Commits a batch; a video whose rows the store refuses becomes a failed row, and the others go in."""
    try:
        store.commit(batch)
        return batch
    except StoreError as error:
        if len(batch) > 1:
            return [row for rows in batch for row in _commit(store, [rows])]
        video = batch[0].video
        if video["state"] == "failed":
            raise
        reason = internal_error(error).reason
        return _commit(store, [VideoRows({**video, "state": "failed", "reason": reason, "funnel": {}})])


def _count(summary: Summary, rows: VideoRows) -> None:
    summary.videos[rows.video["state"]] += 1
    summary.rows.update(clips=len(rows.clips), faces=len(rows.faces), voices=len(rows.voices))
    summary.funnel.update(rows.video["funnel"])
    if rows.video["reason"]:
        summary.reasons[rows.video["reason"]] += 1


def start_ray() -> None:
    """Joins the cluster that RAY_ADDRESS names (as in `ray job submit`), or starts one on this machine."""
    import logging
    import warnings

    import ray

    # Ray forks and at once executes its servers; lancedb fears for forks that go on in Python.
    warnings.filterwarnings("ignore", message="lancedb fork support")
    # `max_restarts` has no other way in yet; pyproject keeps Ray below the version that takes this one away.
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.ERROR)


def _one_thread() -> None:
    """Ray gives a task one core; the libraries in it would each take them all."""
    import cv2
    import torch

    cv2.setNumThreads(1)
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)
