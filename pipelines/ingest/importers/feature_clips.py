"""The clips of precomputed vectors: which face belongs to which voice, by a table or by the names of the vectors."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.files.addresses import storable
from pipelines.files.tables import read_columns, unusable_text
from pipelines.ingest.importers.pairs import NAMES, labels_of, read_pair_table
from pipelines.ingest.importers.voxceleb import SCALE, Metadata
from pipelines.wording import none_usable
from vclip.association.trials.features import Features, checked_features, named_vectors
from vclip.errors import InputError


@dataclass(frozen=True)
class Vectors:
    """The vectors of a file by name."""

    features: Features
    unusable: Mapping[int, str]  # row -> its name, and why


@dataclass
class FeatureClip:
    """One clip to import: its rows in the two files of vectors, and its labels."""

    name: str
    faces: list[int] = field(default_factory=list)
    voices: list[int] = field(default_factory=list)
    labels: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""  # why it cannot be imported


def read_vectors(path: str | Path) -> Vectors:
    """Returns the vectors of a file by name, and which of them cannot be used.

    Args:
        path: a file for `named_vectors`, or a .parquet file with the columns `name` and `vector`.

    Raises:
        InputError: the file cannot be read, no vector can be used, or two have one name.
    """
    parquet = Path(path).suffix.lower() == ".parquet"
    found = _of_parquet(path) if parquet else named_vectors(path)
    features, unusable = checked_features(found, str(path))
    why: dict[int, str] = {}
    for row, (name, vector) in enumerate(zip(features.row_of, features.vectors, strict=True)):
        wrong = unusable_text(name)
        reason = f"has a name that cannot be stored: {wrong}" if wrong else unusable.get(row)
        if reason or not vector.any():
            why[row] = f"vector '{storable(name)}' {reason or 'is all zero, expected a direction'}"
    if len(why) == len(features.vectors):
        raise InputError(f"{path}: {none_usable(len(why), 'vector')}; {why[0]}")
    return Vectors(features, why)


def _of_parquet(path: str | Path) -> list[tuple[object, object]]:
    columns = ("name", "vector")
    rows = read_columns(path, columns, may_be_empty=columns)
    return [(row.values.get("name"), row.values.get("vector")) for row in rows]


def clips_of_table(table: str | Path, faces: Vectors, voices: Vectors) -> list[FeatureClip]:
    """Returns the clips that a table lists. A row that cannot be used, or names a vector that is not there, says why.

    Raises:
        InputError: the table cannot be read, or no row can be used.
    """
    rows, clips = read_pair_table(table), []
    named = {kind: [str(row.values.get(kind, "")) for row in rows] for kind in NAMES}
    found = [of.features.find(named[kind]).tolist() for kind, of in zip(NAMES, (faces, voices), strict=True)]
    for index, (row, face, voice) in enumerate(zip(rows, *found, strict=True)):
        name, labels, kind = str(row.values.get("id", "")), labels_of(row), "face" if face < 0 else "voice"
        problem = row.problem
        if not problem and min(face, voice) < 0:
            problem = f"no vector '{storable(named[kind][index])}' among the {kind}s"
        if problem:
            problem = f"row {row.number}, id '{storable(name)}': {problem}"
            clips.append(FeatureClip(f"{os.path.abspath(table)}, row {row.number}", labels=labels, problem=problem))
        else:
            clips.append(FeatureClip(name, [face], [voice], labels))
    if all(clip.problem for clip in clips):
        reason = clips[0].problem
        raise InputError(f"table {table}: {none_usable(len(clips), 'row')}; {reason}; nothing was imported")
    return clips


def clips_of_names(faces: Vectors, voices: Vectors, meta: Metadata) -> list[FeatureClip]:
    """Returns the clips by name: all vectors of one name, or of one identity and video, are one clip."""
    clips: dict[str, FeatureClip] = {}
    for kind, found in (("faces", faces), ("voices", voices)):
        for name, row in found.features.row_of.items():
            who, video = _place(name)
            who = meta.identity_of(who)
            key = f"{who}/{video}" if who else name
            labels = {"identity": who, **meta.labels.get(who, {}), "video": video} if who else {}
            getattr(clips.setdefault(key, FeatureClip(key, labels=labels)), kind).append(row)
    return [clips[key] for key in sorted(clips)]


def _place(name: str) -> tuple[str, str]:
    """Returns the identity and video of IDENTITY/VIDEO/FILE or IDENTITY/1.6/VIDEO/FILE, else two empty strings."""
    above = [part for part in os.path.dirname(name).split("/") if part and not SCALE.fullmatch(part)]
    return (above[-2], above[-1]) if len(above) >= 2 else ("", "")
