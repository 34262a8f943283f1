"""`vclip import voxceleb`: imports folder trees of VoxCeleb1 and VoxCeleb2.

    wav/id10001/Y8hIVOBuels/00001.wav                            VoxCeleb1: audio
    unzippedFaces/A.J._Buckley/1.6/Y8hIVOBuels/0005175.jpg       VoxCeleb1: images, in folders named after the person
    dev/aac/id00012/21Uxsk56VDQ/00001.m4a                        VoxCeleb2: audio
    dev/mp4/id00012/21Uxsk56VDQ/00001.mp4                        VoxCeleb2: face tracks

A file's folder is its video, and the folder above is its identity; a number between the two is the scale of the
crop. Folders further up do not matter. All files of one identity in one video make one clip.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.cluster.failures import Failure
from pipelines.config import Config
from pipelines.extraction.faces.detectors import FaceDetector
from pipelines.extraction.speech.recordings import AUDIO_SUFFIXES
from pipelines.extraction.types import Extraction
from pipelines.files.addresses import storable
from pipelines.files.folders import walk
from pipelines.files.remote import unreadable
from pipelines.ingest.importers.media import IMAGES, VIDEOS, one_clip
from pipelines.ingest.job import Summary, ingest
from pipelines.ingest.sources.source import Source
from pipelines.progress import say, step, warn
from pipelines.wording import count
from vclip.association.trials.lists import read_metadata as read_table
from vclip.errors import InputError
from vclip.tables import nfc

SPLITS = {"dev": "train", "test": "test"}  # VoxCeleb's dev set is its training set


@dataclass(frozen=True)
class Metadata:
    """A metadata table of VoxCeleb: the labels of each identity, and the identity that each name means."""

    labels: Mapping[str, Mapping[str, str]]  # VoxCeleb id -> gender, nationality, split, name
    identity: Mapping[str, str]  # VoxCeleb id, VGGFace id or name -> VoxCeleb id

    def identity_of(self, folder: str) -> str:
        """Returns the VoxCeleb id of a folder's name, or the name itself if the table does not have it."""
        folder = nfc(storable(folder))
        return self.identity.get(folder) or self.identity.get(folder.rstrip("."), folder)


def read_metadata(path: str | Path) -> Metadata:
    """Returns the contents of vox1_meta.csv or vox2_meta.csv.

    Raises:
        InputError: the table cannot be read, or is not one of VoxCeleb's.
    """
    found = read_table(path)
    if unusable := [row for row in found if row.problem]:
        example = f"row {unusable[0].number}: {unusable[0].problem}"
        warn(
            f"metadata {path}: {count(len(unusable), 'row')} cannot be used and give no labels; the first: {example}"
        )
    rows = {row.number: row.values for row in found if not row.problem}
    key = next((name for name in next(iter(rows.values()), ()) if re.fullmatch(r"voxceleb[12] id", name)), None)
    if key is None:
        found = ", ".join(next(iter(rows.values()), ())) or "nothing"
        raise InputError(
            f"metadata {path}: found columns {found}; expected 'VoxCeleb1 ID' or 'VoxCeleb2 ID', and rows"
        )
    labels, identity = {}, {}
    first: dict[str, int] = {}
    for number, values in rows.items():
        who = values[key]
        if (before := first.setdefault(who, number)) != number:
            raise InputError(f"metadata {path}, rows {before} and {number}: '{who}' twice; expected each id once")
        named = [values[name] for name in values if name.startswith("vggface") or name == "name"]
        found = {"name": named[0] if named else "", "split": SPLITS.get(values.get("set", ""), "")}
        found |= {name: values.get(name, "") for name in ("gender", "nationality")}
        labels[who] = {name: value for name, value in found.items() if value}
        identity |= {who: who} | {name.rstrip("."): who for name in named if name}
    return Metadata(labels, identity)


AUDIO = tuple(suffix for suffix in AUDIO_SUFFIXES if suffix not in VIDEOS)
KINDS = {"images": IMAGES, "videos": VIDEOS, "audio": AUDIO}
SCALE = re.compile(r"\d+(\.\d+)?")

# (identity, video) -> kind -> paths
Found = dict[tuple[str, str], dict[str, list[str]]]


def import_voxceleb(
    folders: Sequence[str | Path],
    store_uri: str,
    config: Config,
    metadata: str | Path | None = None,
    files: int = 8,
) -> Summary:
    """Imports the clips of all identities and videos in folder trees, and returns the summary of the run.

    A video without images or without audio becomes a failed row.

    Args:
        folders: roots of trees; the files of all of them together make the clips.
        store_uri: the store; created if there is none.
        config: the resolved configuration; `extraction.clips.crops` frames are taken from each face track.
        metadata: vox1_meta.csv or vox2_meta.csv: identity, gender, nationality, split and name become labels.
        files: the most images, and the most audio files, of one clip; they are evenly spaced among its files.

    Raises:
        InputError: a folder is missing, no file fits, or no video has both images and audio.
        StoreError: the store cannot be opened or written.
    """
    meta = read_metadata(metadata) if metadata else Metadata({}, {})
    found = find_files(folders, meta)
    listed = ", ".join(map(str, folders))
    if not found:
        raise InputError(f"voxceleb {listed}: found no file IDENTITY/VIDEO/FILE of {_endings()}")
    whole = sum(_has_both(kinds) for kinds in found.values())
    if not whole:
        hint = "" if metadata else "; folders of images named after people need --meta vox1_meta.csv"
        raise InputError(f"voxceleb {listed}: none of {count(len(found), 'video')} has both images and audio{hint}")
    say(f"{whole} of {count(len(found), 'video')} with both images and audio")
    if metadata and (strange := sorted({who for who, _ in found} - set(meta.labels))):
        warn(f"{len(strange)} identities are not in {metadata} and get no labels; the first: '{strange[0]}'")
    sources = list(_sources(found, meta, files))
    return ingest(sources, store_uri, config, read_voxceleb, inputs=[str(folder) for folder in folders])


def find_files(folders: Sequence[str | Path], meta: Metadata) -> Found:
    """Returns the files of each identity in each video, sorted by name.

    Raises:
        InputError: one of the folders does not exist.
    """
    kind_of = {ending: kind for kind, endings in KINDS.items() for ending in endings}
    found: Found = {}
    for folder in folders:
        if not os.path.isdir(folder):
            raise InputError(f"voxceleb {folder}: no such folder")
        root = os.path.abspath(folder)
        for inside in walk(root):
            kind = kind_of.get(os.path.splitext(inside)[1].lower())
            # The absolute path, because the given folder may itself be the folder of one identity.
            *_, third, second, video = ["", "", *os.path.dirname(os.path.join(root, inside)).split("/")]
            who = third if SCALE.fullmatch(second) else second
            if kind and who:
                files = found.setdefault((meta.identity_of(who), video), {})
                files.setdefault(kind, []).append(os.path.join(root, inside))
    for files in found.values():
        for kind, paths in files.items():
            files[kind] = _unique_by_name(paths)
    return found


def read_voxceleb(source: Source, config: Config, detector: FaceDetector) -> Extraction:
    """Returns an extraction with one clip of all images and audio files of a source.

    Its face tracks are read in place of images, or of audio files, that it does not have.
    """
    by_kind = {
        kind: [path for path in source.paths if path.lower().endswith(endings)] for kind, endings in KINDS.items()
    }
    videos = by_kind["videos"]
    return one_clip(by_kind["images"] or videos, by_kind["audio"] or videos, config, detector)


def _sources(found: Found, meta: Metadata, most: int) -> Iterator[Source]:
    with step("list the files", len(found), "videos") as progress:
        for (who, video), kinds in sorted(found.items()):
            paths = [path for kind in KINDS for path in _evenly_spaced(kinds.get(kind, []), most)]
            stats, failure = list[os.stat_result](), None
            try:
                stats = [os.stat(path) for path in paths]
            except OSError as error:
                failure = Failure.of_input(f"{unreadable(error)}: {error.filename}", error)
            # A name for all files: the name of the first file would change with the number of files.
            above = os.path.commonpath([os.path.dirname(path) for path in paths])
            yield Source(
                paths=tuple(paths),
                uri=storable(f"{above}#{who}/{video}"),
                size_bytes=sum(stat.st_size for stat in stats) if stats else None,
                mtime_s=max(stat.st_mtime for stat in stats) if stats else None,
                labels={"identity": who, **meta.labels.get(who, {}), "video": nfc(storable(video))},
                failure=failure,
            )
            progress.advance()


def _unique_by_name(paths: list[str]) -> list[str]:
    """Returns the paths, sorted by name; only the last of one name (a .wav made of an .m4a, two scales)."""
    named = {os.path.splitext(os.path.basename(path))[0]: path for path in paths}
    return [named[name] for name in sorted(named)]


def _has_both(kinds: dict[str, list[str]]) -> bool:
    return bool(kinds.get("videos")) or ("images" in kinds and "audio" in kinds)


def _evenly_spaced(paths: list[str], most: int) -> list[str]:
    """Returns at most `most` of the paths, evenly spaced, the first and the last among them."""
    if len(paths) <= most:
        return paths
    return [paths[round(i * (len(paths) - 1) / max(most - 1, 1))] for i in range(most)]


def _endings() -> str:
    return ", ".join(ending for endings in KINDS.values() for ending in endings)
