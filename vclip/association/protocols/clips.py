"""Clips by the names of their files, joined with vectors by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vclip.association.pairs import Pairs
from vclip.association.protocols.folder import Place, read_pickle
from vclip.association.trials.features import Features, features_of, name_of
from vclip.errors import InputError

LABELS = ("clip_id", "video_id", "identity", "gender")


@dataclass(frozen=True)
class ClipFiles:
    """A clip: the names of its face and voice files."""

    clip_id: str
    video_id: str
    faces: Sequence[str]
    voices: Sequence[str]
    identity: str = ""
    gender: str = ""


def unit_features(place: Place) -> Features:
    """Returns the vectors of a pickled dict name -> vector, scaled to unit norm as the protocols do.

    Raises:
        InputError: the file is no such pickle, or a vector cannot be used.
    """
    features = features_of(read_pickle(place), str(place))
    squares = np.einsum("ij,ij->i", features.vectors, features.vectors, dtype=np.float64)  # of 1e20 in float32: inf
    norm = np.sqrt(squares)[:, None]
    if not norm.all():
        name = list(features.row_of)[int(np.argmin(norm))]
        raise InputError(f"{place}: vector '{name}' is all zero, expected a direction")
    np.divide(features.vectors, norm, out=features.vectors)
    return features


def pairs_of(clips: Sequence[ClipFiles], faces: Features, voices: Features, what: str) -> tuple[Pairs, int]:
    """Returns clips with their vectors, and the number of files without one.

    A file without a vector is left out, and a clip without a face or without a voice.

    Args:
        clips: with files by name.
        faces, voices: vectors by name.
        what: the clips in error messages, such as "the training clips of FILE".

    Raises:
        InputError: no clip is left.
    """
    kept, rows, missing = list[ClipFiles](), list[tuple[list[int], list[int]]](), 0
    for clip in clips:
        face, voice = _rows(clip.faces, faces), _rows(clip.voices, voices)
        missing += len(clip.faces) + len(clip.voices) - len(face) - len(voice)
        if face and voice:
            kept.append(clip)
            rows.append((face, voice))
    if not kept:
        first = f"; the first of {len(clips)} is '{clips[0].clip_id}'" if clips else ""
        raise InputError(f"{what}: no clip has a face vector and a voice vector{first}")
    (face, face_clip), (voice, voice_clip) = (_flat([row[side] for row in rows]) for side in (0, 1))
    labels = {name: np.array([getattr(clip, name) for clip in kept], dtype=str) for name in LABELS}
    vectors = {"faces": faces.vectors[face], "voices": voices.vectors[voice]}
    return Pairs.of({**vectors, "face_clip": face_clip, "voice_clip": voice_clip, **labels}), missing


def _rows(names: Sequence[str], features: Features) -> list[int]:
    found = (features.row_of.get(name_of(name)) for name in names)
    return [row for row in found if row is not None]


def _flat(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows of all clips, and the clip of each."""
    return np.concatenate([np.array(row, int) for row in rows]), np.repeat(np.arange(len(rows)), list(map(len, rows)))


def names_under(table: Mapping[Any, Any], key: Any, place: Place | str, what: str) -> Sequence[str]:
    """Returns the list of file names that a table has under a key.

    Raises:
        InputError: the table lacks the key, or has no list of names there.
    """
    found = table.get(key)
    found = found.tolist() if isinstance(found, np.ndarray) else found
    if not isinstance(found, list | tuple | set) or not all(isinstance(name, str | bytes) for name in found):
        shown = "nothing" if key not in table else f"a {type(found).__name__}"
        raise InputError(f"{place}: found {shown} under {key!r}, expected a list of {what}")
    return sorted(found) if isinstance(found, set) else list(found)
