"""Sources through Ray Data: extracted in tasks, embedded there or in actors with a GPU, and handed back one by one.

    sources -> extract and embed (tasks) -> driver                     where there are CPUs only
    sources -> extract (tasks) -> embed (actors, a GPU each) -> driver

One Ray row is one source; only paths go out, and only crops, segments and vectors come back. Ray Data holds tasks
back while their results wait, so the object store and the driver stay small whatever the sources.

A worker that dies (a segmentation fault, the kernel's or Ray's killer of the memory-hungry, a lost node) takes the
row with it that it held. Such rows are missed at the end of a pass and go into the next one, at last alone; Ray
itself must not try them again, for it would do so for ever with a file that kills whoever reads it. Embedding actors
are started again.
"""

import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pipelines.config import Config, EncodersConfig
from pipelines.embedding import Embedder, Extracted, Ingested, failed, internal_error
from pipelines.extraction.rows import Extraction
from pipelines.inputs.source import Source
from pipelines.progress import say
from vclip.errors import InputError

# Extracts one source under a configuration; runs in a Ray task.
Extract = Callable[[Source, Config], Extraction]

DIED = "the worker died while it was read, three times, the last time with nothing else running (memory, or a crash)"
EMBED_RETRIES = 2  # of a batch whose actor died


def stream(sources: Sequence[Source], config: Config, run_id: str, extract: Extract) -> Iterator[Ingested]:
    """Yields what each source gave, as the cluster (see `start_ray`) finishes it; each once, whatever dies.

    Raises:
        RayError: the cluster itself fails, the embedding actors do not start, say.
        InputError: a node lacks what the encoders need.
    """
    from ray.exceptions import RayError

    left = {source.video_id: source for source in sources}
    for attempt, alone in enumerate((False, False, True), start=1):
        if not left:
            return
        if attempt > 1:
            say(f"{len(left)} did not come back, their workers died: once more{', one at a time' if alone else ''}")
        try:
            for done in _pass(list(left.values()), config, run_id, extract, alone):
                if left.pop(done.rows.video["video_id"], None):
                    yield done
        except RayError:
            if alone:
                raise
    for source in left.values():
        yield failed(source, run_id, DIED)


def _pass(
    sources: Sequence[Source], config: Config, run_id: str, extract: Extract, alone: bool
) -> Iterator[Ingested]:
    import ray

    gpus = int(ray.cluster_resources().get("GPU", 0))
    actors = config.ingest.embed_actors or gpus

    def extract_row(row: dict[str, Any]) -> dict[str, Any]:
        _one_thread()
        extracted = Extracted(row["source"], guarded(extract, row["source"], config))
        return {"extracted": extracted} if actors else {"done": _embed(extracted, config.encoders, run_id)}

    # A task hands its rows on when it ends, so each has one source.
    rows = ray.data.from_items([{"source": source} for source in sources], override_num_blocks=len(sources))
    rows = rows.map(
        extract_row,
        num_cpus=config.ingest.extract_cpus,
        compute=ray.data.TaskPoolStrategy(size=1 if alone else None),
        max_retries=0,
    )
    if actors:
        rows = rows.map_batches(
            Embedder,
            fn_constructor_args=(config.encoders, run_id),
            batch_size=1 if alone else config.ingest.embed_batch,
            compute=ray.data.ActorPoolStrategy(size=1 if alone else actors),
            num_gpus=1 if gpus else 0,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=0 if alone else EMBED_RETRIES,
        )
    for row in rows.iter_rows():
        if isinstance(row["done"], InputError):
            raise row["done"]
        yield row["done"]


@functools.cache
def _embedder(encoders: EncodersConfig, run_id: str) -> Embedder:
    return Embedder(encoders, run_id, "cpu")  # a worker keeps it for its next task


def _embed(extracted: Extracted, encoders: EncodersConfig, run_id: str) -> Ingested | InputError:
    """Returns the rows of an extraction; or why this node cannot embed at all, which ends the job."""
    try:
        embedder = _embedder(encoders, run_id)
    except InputError as error:
        return error
    return embedder.guarded([extracted])[0]


def guarded(extract: Extract, source: Source, config: Config) -> Extraction:
    """As `extract`; one file that trips a defect of a decoder or of ours must not end a job of a million files."""
    try:
        return extract(source, config)
    except Exception as error:
        return internal_error(error)


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
    context.max_errored_blocks = -1  # lost rows are missed and tried again here
    context.max_consecutive_actor_init_deaths = 3
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", message="The minimum number of concurrent actors")
    if not ray.is_initialized():
        # Ray's core would warn of its issue 53727: an actor may not start again once its arguments are lost. They lie
        # on the driver's node, as the job does.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        with _silent():
            ray.init(log_to_driver=False, logging_level=logging.ERROR)


def on_cluster() -> bool:
    """Returns whether RAY_ADDRESS names a cluster that runs already."""
    return bool(os.environ.get("RAY_ADDRESS"))


@contextmanager
def _silent() -> Iterator[None]:
    """Keeps what Ray's core says of its log level off stderr; errors are raised."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _one_thread() -> None:
    """Ray gives a task one core; the libraries in it would each take them all."""
    import cv2
    import torch

    cv2.setNumThreads(1)
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)
