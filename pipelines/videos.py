"""`vclip ingest`: videos, wherever they are, into the store."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from pipelines.config import Config
from pipelines.extraction import extract
from pipelines.extraction.rows import Extraction
from pipelines.ingest import Summary, ingest
from pipelines.inputs.labels import read_labels
from pipelines.inputs.listing import list_videos
from pipelines.inputs.local_copy import local_copy
from pipelines.inputs.remote import unreadable
from pipelines.inputs.source import Source


def ingest_videos(
    inputs: Sequence[str | Path], store_uri: str, config: Config, labels: str | Path | None = None
) -> Summary:
    """Extracts clips from all videos in `inputs`, embeds them and commits them to the store.

    Args:
        inputs: as `pipelines.inputs.listing` says: folders, files, patterns, manifests, addresses.
        store_uri: made if there is none.
        config: the resolved configuration.
        labels: a table with a column `file`; see `read_labels`.

    Raises:
        InputError, StoreError: nothing to read, or nowhere to write.
    """
    sources = list_videos(inputs, read_labels(labels) if labels else None, config.remote)
    return ingest(sources, store_uri, config, extract_video)


def extract_video(source: Source, config: Config) -> Extraction:
    """Extracts the clips of one video; a remote one is copied to this machine meanwhile."""
    with ExitStack() as stack:
        try:
            copy = local_copy(source.paths[0], config.remote, source.size_bytes, source.etag)
            path = stack.enter_context(copy)
        except OSError as error:
            return Extraction("failed", unreadable(error), 0.0)
        return extract(path, config.extraction)
