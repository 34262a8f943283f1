"""`vclip ingest`: a folder of videos into the store."""

from collections.abc import Sequence
from pathlib import Path

from pipelines.config import Config
from pipelines.extraction import extract
from pipelines.extraction.rows import Extraction
from pipelines.ingest import Summary, ingest
from pipelines.inputs.listing import list_videos
from pipelines.inputs.source import Source
from pipelines.inputs.tables import read_labels


def ingest_videos(
    inputs: Sequence[str | Path], store_uri: str, config: Config, labels: str | Path | None = None
) -> Summary:
    """Extracts clips from all videos in `inputs`, embeds them and commits them to the store.

    Args:
        inputs: folders and files.
        store_uri: made if there is none.
        config: the resolved configuration.
        labels: a CSV with a column `file`; see `read_labels`.

    Raises:
        InputError, StoreError: nothing to read, or nowhere to write.
    """
    sources = list_videos(inputs, read_labels(labels) if labels else None)
    return ingest(sources, store_uri, config, extract_video)


def extract_video(source: Source, config: Config) -> Extraction:
    return extract(source.paths[0], config.extraction)
