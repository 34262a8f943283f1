"""Clips as WebDataset shards: tar files in which a clip's face, voice and labels stand one after the other.

    a3f09c.jpg  a3f09c.flac  a3f09c.json  b71e52.jpg ...

The name up to the first dot is the sample's key, what follows tells its kind (github.com/webdataset/webdataset).
Shards are named by split, `train-000000.tar`; clips of one video are neighbours, so a reader should shuffle.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.analysis.clip_media import ClipMedia


def write_shards(folder: Path, clips: Iterator[ClipMedia], shard_bytes: int) -> dict[str, Any]:
    """Writes the clips, and returns how many of each split, and the files.

    Args:
        folder: an empty one.
        clips: each with a face and a voice.
        shard_bytes: size at which a shard is full.
    """
    shards: dict[str, _Shards] = {}
    try:
        for item in clips:
            if item.split not in shards:
                shards[item.split] = _Shards(folder, item.split, shard_bytes)
            shards[item.split].add(item)
    finally:
        for each in shards.values():
            each.close()
    return {
        "clips": {split: each.clips for split, each in sorted(shards.items())},
        "files": sorted(path.name for path in folder.glob("*.tar")),
    }


def labels_of(item: ClipMedia) -> dict[str, Any]:
    """Returns all that is known of a clip but its media, as one object."""
    face = {name: value for name, value in item.face.items() if name != "image"}
    voice = {name: value for name, value in item.voice.items() if name != "audio"}
    about = {**item.clip, "labels": json.loads(item.clip["labels"])}
    return {**about, "face": face, "voice": voice, "n_faces": item.n_faces, "n_voices": item.n_voices}


class _Shards:
    """The shards of one split; one is open at a time."""

    def __init__(self, folder: Path, split: str, shard_bytes: int):
        self.clips = 0
        self._folder, self._split, self._full = folder, split, shard_bytes
        self._count, self._tar = 0, None

    def add(self, item: ClipMedia) -> None:
        if self._tar is not None and self._tar.offset >= self._full:
            self.close()
        if self._tar is None:
            self._tar = tarfile.open(self._folder / f"{self._split}-{self._count:06}.tar", "w")  # noqa: SIM115
            self._count += 1
        about = json.dumps(labels_of(item), ensure_ascii=False, default=str).encode()
        for kind, content in (("jpg", item.face["image"]), ("flac", item.voice["audio"]), ("json", about)):
            entry = tarfile.TarInfo(f"{item.clip['clip_id']}.{kind}")  # without times: the same clips, the same bytes
            entry.size = len(content)
            self._tar.addfile(entry, io.BytesIO(content))
        self.clips += 1

    def close(self) -> None:
        if self._tar is not None:
            self._tar.close()
            self._tar = None
