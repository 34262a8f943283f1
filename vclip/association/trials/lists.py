"""Published trial lists: which voices to compare with which faces, by name.

There are two formats:

- Text, as VoxCeleb's lists of face-voice trials, gzipped or not. A line is `wav jpg` or `jpg wav`. The first part of
  a name is its person: the VoxCeleb id of an audio file, the VGGFace name of an image. A metadata table maps VGGFace
  names to VoxCeleb ids; a trial is of one person if both are the same.
- Pickles of Self-Lifting (Chen et al., ICMR 2022), with the sets `jpg_set` and `wav_set`, and one of
  `list`: (wav, jpg, 1 if of one person) for verification;
  `match_list`: (name, wav, jpg, name, wav, jpg) or ([wavs], [jpgs]), the true one first, for matching;
  `retrieval_lists`: lists of (wav, jpg, name).
"""

import re
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vclip.association.trials.features import name_of
from vclip.association.trials.plain_pickle import load_plain_pickle
from vclip.errors import InputError
from vclip.tables import TextRow, nfc, read_delimited, text_lines

AUDIO = (".wav", ".m4a", ".flac", ".mp3", ".ogg")
IMAGES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class TrialList:
    """The names and identities of voices and faces, and trials as rows of them; of one of three kinds."""

    voices: list[str]
    faces: list[str]
    voice_identity: np.ndarray  # (voices,) str
    face_identity: np.ndarray  # (faces,) str
    voice: np.ndarray = field(default_factory=lambda: np.zeros(0, int))  # (trials,) int, verification
    face: np.ndarray = field(default_factory=lambda: np.zeros(0, int))  # (trials,) int
    same: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))  # (trials,) bool
    matches: Sequence[tuple[np.ndarray, np.ndarray]] = ()  # rows of N voices and of N faces, the true ones first
    retrievals: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]] = ()  # rows of voices, of faces, and names (n,)

    def __len__(self) -> int:
        return len(self.same) + len(self.matches) + sum(len(names) for *_, names in self.retrievals)

    def of_used_names(self) -> tuple["TrialList", np.ndarray, np.ndarray]:
        """Returns the list without names that no trial uses, and the rows of the faces and the voices that remain."""
        used, new_row = [], []
        for which, single, count in ((1, self.face, len(self.faces)), (0, self.voice, len(self.voices))):
            rows = [single, *(pair[which] for pair in self.matches), *(triple[which] for triple in self.retrievals)]
            used.append(np.unique(np.concatenate(rows)))
            new_row.append(np.full(count, -1))
            new_row[-1][used[-1]] = np.arange(len(used[-1]))
        (faces, voices), (face, voice) = used, new_row
        return (
            TrialList(
                [self.voices[i] for i in voices],
                [self.faces[i] for i in faces],
                self.voice_identity[voices],
                self.face_identity[faces],
                voice[self.voice],
                face[self.face],
                self.same,
                [(voice[v], face[f]) for v, f in self.matches],
                [(voice[v], face[f], names) for v, f, names in self.retrievals],
            ),
            faces,
            voices,
        )


def read_trials(path: str | Path, metadata: str | Path | None = None) -> TrialList:
    """Returns the trials of a file: a pickle if its name ends in .pkl or .pickle, else text.

    Args:
        path: the list.
        metadata: a table with the columns `VoxCeleb1 ID` and `VGGFace1 ID` (comma or tab), for text.

    Raises:
        InputError: neither format, or no trial is of one person (text without the right metadata).
    """
    if Path(path).suffix in (".pkl", ".pickle"):
        return read_pickled_trials(path)
    return _read_text(path, read_names(metadata) if metadata else {})


def read_names(path: str | Path) -> dict[str, str]:
    """Returns VGGFace name -> VoxCeleb id, from a metadata table with a header line.

    Raises:
        InputError: no such file, or no such columns.
    """
    found = read_metadata(path)
    if bad := next((row for row in found if row.problem), None):
        raise InputError(f"metadata {path}, row {bad.number}: {bad.problem}")
    rows = [row.values for row in found]
    if not rows or not {"voxceleb1 id", "vggface1 id"} <= rows[0].keys():
        found = ", ".join(rows[0]) if rows else "none"
        raise InputError(f"{path}: found the columns {found}, expected VoxCeleb1 ID and VGGFace1 ID")
    return {row["vggface1 id"]: row["voxceleb1 id"] for row in rows}


def read_metadata(path: str | Path) -> list[TextRow]:
    """Returns the rows of vox1_meta.csv or vox2_meta.csv, by the names of their columns in lower case, with spaces.

    Raises:
        InputError: the table cannot be read.
    """
    try:
        rows = list(read_delimited(path, f"metadata {path}"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"metadata {path}: cannot read this table ({reason}); expected VoxCeleb's") from None
    return [
        row._replace(values={re.sub(r"[ _]+", " ", name).lower(): nfc(value) for name, value in row.values.items()})
        for row in rows
    ]


def _read_text(path: str | Path, names: Mapping[str, str]) -> TrialList:
    voices, faces = _Names(), _Names()
    rows = []
    try:
        for number, line in enumerate(text_lines(path), 1):
            if not line.strip():
                continue
            voice, face = words if len(words := line.split()) == 2 else ("", "")
            if voice.lower().endswith(IMAGES):
                voice, face = face, voice
            if not (voice.lower().endswith(AUDIO) and face.lower().endswith(IMAGES)):
                found = line.strip()[:80]
                raise InputError(f"{path}, line {number}: found '{found}', expected an audio file and an image")
            rows.append((voices.row(voice), faces.row(face)))
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(f"{path}: cannot read this trial list ({error})") from None
    voice, face = np.array(rows, int).reshape(-1, 2).T
    voice_identity = np.array([_person(name) for name in voices], dtype=str)
    face_identity = np.array([names.get(_person(name), _person(name)) for name in faces], dtype=str)
    same = voice_identity[voice] == face_identity[face] if len(rows) else np.zeros(0, bool)
    if same.all() or not same.any():
        one = "all" if len(rows) and same.all() else "none"
        raise InputError(
            f"{path}: {one} of {len(rows)} trials are of one person; expected some of each."
            " Give the metadata table that maps VGGFace names to VoxCeleb ids"
        )
    return TrialList(list(voices), list(faces), voice_identity, face_identity, voice, face, same)


def read_pickled_trials(path: str | Path | zipfile.Path) -> TrialList:
    """Returns the trials of a pickle as Self-Lifting publishes them, a file or a member of a zip archive.

    Raises:
        InputError: not such a pickle.
    """
    data = load_plain_pickle(path)
    kinds = {"list": _verification, "match_list": _matching, "retrieval_lists": _retrieval}
    found = [kind for kind in kinds if isinstance(data, dict) and kind in data]
    rows = data[found[0]] if len(found) == 1 else None
    rows = rows.tolist() if isinstance(rows, np.ndarray) else rows
    if not isinstance(rows, list | tuple | set) or not rows:
        shown = f"the keys {', '.join(map(str, list(data)[:8]))}" if isinstance(data, dict) else type(data).__name__
        raise InputError(f"{path}: found {shown}, expected a dict with a filled one of {', '.join(kinds)}")
    voices, faces = _Names(), _Names()
    try:
        fields, pairs = kinds[found[0]](rows, voices, faces)
        return TrialList(list(voices), list(faces), *_identities(voices, faces, pairs), **fields)
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(
            f"{path}: its '{found[0]}' does not have the form of Self-Lifting's lists ({error})"
        ) from None


def _verification(rows: Collection[Any], voices: "_Names", faces: "_Names") -> tuple[dict[str, Any], list]:
    voice, face = np.array([(voices.row(wav), faces.row(jpg)) for wav, jpg, _ in rows], int).T
    label = np.array([float(label) for *_, label in rows])
    if wrong := set(label.tolist()) - {0, 1}:
        raise ValueError(f"a label {max(wrong):g}, expected 0 or 1")
    same = label == 1
    return {"voice": voice, "face": face, "same": same}, list(zip(voice[same], face[same], strict=True))


def _matching(rows: Collection[Any], voices: "_Names", faces: "_Names") -> tuple[dict[str, Any], list]:
    matches = []
    for row in rows:
        wavs, jpgs = (row[1::3], row[2::3]) if len(row) == 6 else row
        if isinstance(wavs, str) or isinstance(jpgs, str) or min(len(wavs), len(jpgs)) < 2:
            raise ValueError(f"a match {str(row)[:80]}")
        matches.append((np.array([voices.row(n) for n in wavs]), np.array([faces.row(n) for n in jpgs])))
    return {"matches": matches}, [(wavs[0], jpgs[0]) for wavs, jpgs in matches]


def _retrieval(rows: Collection[Any], voices: "_Names", faces: "_Names") -> tuple[dict[str, Any], list]:
    lists = []
    for row in rows:
        triples = [(voices.row(wav), faces.row(jpg), str(name)) for wav, jpg, name in row]
        wav, jpg, name = zip(*triples, strict=True)
        lists.append((np.array(wav), np.array(jpg), np.array(name, dtype=str)))
    return {"retrievals": lists}, [pair for wav, jpg, _ in lists for pair in zip(wav, jpg, strict=True)]


def _identities(voices: "_Names", faces: "_Names", pairs: list) -> tuple[np.ndarray, np.ndarray]:
    """Returns the identities of the voices and the faces; the two names of a same-person trial get one identity."""
    voice_names, face_names = ([_person(name) for name in names] for names in (voices, faces))
    same = {face_names[face]: voice_names[voice] for voice, face in pairs}
    return np.array(voice_names, dtype=str), np.array([same.get(name, name) for name in face_names], dtype=str)


def _person(name: str) -> str:
    return name.lstrip("/").split("/")[0]


class _Names(dict):
    """Names in Unicode's NFC, in the order of their first occurrence, each with its row."""

    def row(self, name: str | bytes) -> int:
        name = name_of(name)
        if not isinstance(name, str):
            raise TypeError(f"a name {name!r}")
        return self.setdefault(name, len(self))
