"""The clips of a long video, kept in a file, so that a worker holds no more for hours of video than for minutes."""

import pickle
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import overload

from pipelines.extraction.types import Clip

IN_MEMORY_BYTES = 16 << 20  # of media; a video with more has all its clips in a file


def kept_clips(clips: Iterable[Clip], in_memory_bytes: int = IN_MEMORY_BYTES) -> Sequence[Clip]:
    """Returns the clips as a tuple, or as a `ClipFile` where their media are larger than this."""
    first, size, rest = list[Clip](), 0, iter(clips)
    for clip in rest:
        first.append(clip)
        size += sum(len(face.image) for face in clip.faces) + sum(len(voice.audio) for voice in clip.voices)
        if size > in_memory_bytes:
            return ClipFile(chain(first, rest))
    return tuple(first)


class ClipFile(Sequence[Clip]):
    """Clips in an unnamed file, which vanishes with them; pickled, it is a tuple."""

    def __init__(self, clips: Iterable[Clip]):
        self._file = tempfile.TemporaryFile(prefix="vclip-clips-", buffering=0)  # noqa: SIM115
        self._clips: list[tuple[int, int] | Clip] = []  # offset and length; the clip itself where the disk is full
        end = 0
        for clip in clips:
            data = pickle.dumps(clip)
            try:
                written = self._file.write(data)
            except OSError:
                written = 0
            self._clips.append((end, len(data)) if written == len(data) else clip)
            end = self._file.seek(end + len(data) if written == len(data) else end)

    def __len__(self) -> int:
        return len(self._clips)

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Clip, ...]: ...
    def __getitem__(self, index: int | slice) -> Clip | tuple[Clip, ...]:
        if isinstance(index, slice):
            return tuple(self._read(kept) for kept in self._clips[index])
        return self._read(self._clips[index])

    def __iter__(self) -> Iterator[Clip]:
        return map(self._read, self._clips)

    def __reduce__(self) -> tuple[type, tuple[tuple[Clip, ...]]]:
        return tuple, (tuple(self),)

    def _read(self, kept: tuple[int, int] | Clip) -> Clip:
        if isinstance(kept, Clip):
            return kept
        offset, length = kept
        self._file.seek(offset)
        return pickle.loads(self._file.read(length))
