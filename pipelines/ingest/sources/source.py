"""One input of a job, from the listing to the rows of the store."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.cluster.failures import Failure
from pipelines.files.addresses import storable


@dataclass(frozen=True, slots=True)
class Source:
    """One input: the path or address of a video, or those of images and their audio files."""

    paths: tuple[str, ...]
    uri: str  # the name under which it is recorded
    size_bytes: int | None  # None, like the next, where a server does not give it
    mtime_s: float | None
    etag: str | None = None  # of a remote file: its version, more reliable than its time
    labels: Mapping[str, str] = field(default_factory=dict)
    video_id: str = ""  # the content hash, once the file was read
    config_hash: str = ""  # of everything that decides its rows, its labels included
    former_hash: str = ""  # that under an earlier version's defaults, whose rows count as done too; "" for none
    failure: Failure | None = None  # why it cannot be read, where that is known before

    @property
    def ledger_entry(self) -> dict:
        """The ledger's entry for this name."""
        return {"uri": self.uri, "size_bytes": self.size_bytes, "mtime_s": self.mtime_s, "etag": self.etag}


def source_of(paths: Iterable[str | Path], labels: Mapping[str, str]) -> Source:
    """Returns the source of existing files; raises OSError where one is missing."""
    files = [Path(path).absolute() for path in paths]
    stats = [file.stat() for file in files]
    return Source(
        paths=tuple(map(str, files)),
        uri=storable(" + ".join(map(str, files))),
        size_bytes=sum(stat.st_size for stat in stats),
        mtime_s=max(stat.st_mtime for stat in stats),
        labels=dict(labels),
    )
