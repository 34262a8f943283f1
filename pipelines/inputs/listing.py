"""Which videos the given folders and files are, and their labels."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipelines.inputs.source import Source, source_of
from pipelines.progress import say
from vclip.errors import InputError

VIDEO_SUFFIXES = {
    *(".mp4", ".m4v", ".m4a", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts"),
    *(".flv", ".wmv", ".3gp", ".ogv"),
}


def list_videos(inputs: Iterable[str | Path], labels: Mapping[str, Mapping[str, str]] | None = None) -> list[Source]:
    """Returns the videos in folders (searched all the way down) and files, sorted by name.

    Args:
        inputs: folders and video files.
        labels: file -> labels, as `read_labels` gives them. A file is named by its absolute path, by its path within
            the input folder, or by its bare name where only one video has it.

    Raises:
        InputError: an input is missing, nothing in it is a video, or no label fits any video.
    """
    found: dict[Path, str] = {}  # path -> its path within its input
    for given in inputs:
        path = Path(given)
        if not path.exists():
            raise InputError(f"input {path}: no such file or folder; expected a folder of videos")
        inside = (p for p in path.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
        files = [path] if path.is_file() else sorted(inside)
        if not files:
            known = " ".join(sorted(VIDEO_SUFFIXES))
            raise InputError(f"input {path}: found no video in it; expected files that end in {known}")
        for file in files:
            found.setdefault(file.absolute(), file.name if path.is_file() else str(file.relative_to(path)))
    return [source_of([path], chosen) for path, chosen in _labelled(found, labels or {}).items()]


def _labelled(found: Mapping[Path, str], labels: Mapping[str, Mapping[str, str]]) -> dict[Path, Mapping[str, str]]:
    named = Counter(path.name for path in found)
    used: set[str] = set()
    chosen: dict[Path, Mapping[str, str]] = {}
    for path, inside in found.items():
        names = [str(path), inside, *([path.name] if named[path.name] == 1 else [])]
        name = next((name for name in names if name in labels), None)
        chosen[path] = labels[name] if name else {}
        used |= {name} if name else set()
    if labels and not used:
        first = next(iter(labels))
        raise InputError(f"labels: none of {len(labels)} rows names a video of the input; the first names '{first}'")
    if len(used) < len(labels):
        first = next(name for name in labels if name not in used)
        missed = len(labels) - len(used)
        say(f"labels: {missed} of {len(labels)} rows name no video of the input; the first: '{first}'")
    return chosen
