"""`vclip ingest`: videos, wherever they are, into the store."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from pipelines.config import Config
from pipelines.extraction import extract
from pipelines.extraction.types import Extraction
from pipelines.files.addresses import recorded
from pipelines.files.download import local_copy
from pipelines.files.remote import unreadable
from pipelines.ingest.dry_run import Plan, plan
from pipelines.ingest.job import Observe, Summary, ingest
from pipelines.ingest.sources.labels import read_labels
from pipelines.ingest.sources.listing import list_videos
from pipelines.ingest.sources.source import Source


def ingest_videos(
    inputs: Sequence[str | Path],
    store_uri: str,
    config: Config,
    labels: str | Path | None = None,
    observe: Observe | None = None,
    retry_failed: bool = False,
    limit: int | None = None,
) -> Summary:
    """Extracts clips from all videos in `inputs`, embeds them and commits them to the store.

    Args:
        inputs: as `pipelines.ingest.sources.listing` says: folders, files, patterns, manifests, addresses.
        store_uri: made if there is none.
        config: the resolved configuration.
        labels: a table with a column `file`; see `read_labels`.
        observe: told of each video that went into the store.
        retry_failed: failed videos are done again.
        limit: only the first so many of those still to do.

    Raises:
        InputError, StoreError: nothing to read, or nowhere to write.
    """
    sources = list_videos(inputs, read_labels(labels) if labels else None, config.remote)
    asked = {"inputs": [recorded(str(given)) for given in inputs], "retry_failed": retry_failed, "limit": limit}
    return ingest(sources, store_uri, config, extract_video, observe=observe, **asked)


def plan_videos(
    inputs: Sequence[str | Path],
    store_uri: str,
    config: Config,
    labels: str | Path | None = None,
    retry_failed: bool = False,
    limit: int | None = None,
) -> Plan:
    """Returns what `ingest_videos` would do with the same arguments; nothing is written."""
    sources = list_videos(inputs, read_labels(labels) if labels else None, config.remote)
    return plan(sources, store_uri, config, retry_failed, limit)


def extract_video(source: Source, config: Config) -> Extraction:
    """Extracts the clips of one video; a remote one is copied to this machine meanwhile."""
    with ExitStack() as stack:
        try:
            copy = local_copy(source.paths[0], config.remote, source.size_bytes, source.etag)
            path = stack.enter_context(copy)
        except OSError as error:
            return Extraction("failed", unreadable(error), 0.0)
        return extract(path, config.extraction)
