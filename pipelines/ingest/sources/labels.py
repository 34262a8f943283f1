"""A table of labels beside the inputs, and which of its rows belongs to which video."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.ingest.sources.manifest import read_manifest
from pipelines.progress import say
from vclip.errors import InputError

Labels = Mapping[str, str]


def read_labels(path: str | Path) -> dict[str, dict[str, str]]:
    """Returns file -> labels of a table, which is read like a manifest: its column `file` names the videos.

    `identity`, `split`, `gender`, `age`, `nationality`, `language`, `licence`, `consent` have columns in the store.

    Raises:
        InputError: as `read_manifest`.
    """
    return {row.file: row.labels for row in read_manifest(path)}


def matched(videos: Sequence[tuple[str, str]], labels: Mapping[str, Labels]) -> dict[int, Labels]:
    """Returns index of a video -> its labels, and prints how many rows name no video.

    Args:
        videos: the absolute path or address of each, and its path within the input. A row may also name a video by
            its bare file name, if only one video has it.
        labels: file -> labels.

    Raises:
        InputError: no row names any video.
    """
    named = Counter(os.path.basename(path) for path, _ in videos)
    used: dict[str, int] = {}
    for index, (path, inside) in enumerate(videos):
        bare = os.path.basename(path)
        names = [path, inside, *([bare] if named[bare] == 1 else [])]
        if name := next((name for name in names if name in labels), None):
            used[name] = index
    unused = [name for name in labels if name not in used]
    if not used:
        raise InputError(
            f"labels: none of {len(labels)} rows names a video of the input; the first names '{unused[0]}'"
        )
    if unused:
        say(f"labels: {len(unused)} of {len(labels)} rows name no video of the input; the first: '{unused[0]}'")
    return {index: labels[name] for name, index in used.items()}
