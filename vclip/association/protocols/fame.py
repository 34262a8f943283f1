"""FAME, the challenge of face-voice association in multilingual environments, on MAV-Celeb.

    https://github.com/mavceleb/mavceleb_baseline

A model is trained on one language, and tested on the same ("heard") and on the other ("unheard"), on people that it
never saw. Figures are equal error rates; the challenge's score is their mean over both training languages. Files:

    v1/English/English_faces_train.csv          a vector and the person per row, without a header
    v1/English/English_voices_train.csv         the same rows
    v1/English/English_faces_test.csv           a vector per trial; voices alike
    v1/English/Urdu_faces_test.csv              the unheard language, also Urdu_faces_unheard_test.csv
    v1/English_test.txt                         `KEY LABEL` or `LABEL` per trial, 1 where of one person; or
                                                `KEY VOICE FACE`, as of a running challenge, which keeps the labels

Names are compared without case, and any file may be gzipped. Vectors of one version differ between the training
languages, as the encoder of the voices was trained on one. The people of the trials are not given, so the figures
have no intervals.
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np

from vclip.association.pairs import Pairs
from vclip.association.protocols.base import Published, Task, TrialSet
from vclip.association.protocols.folder import Place, files_below, roots
from vclip.association.trials.features import Features
from vclip.association.trials.lists import TrialList
from vclip.errors import InputError
from vclip.tables import text_lines

TRAIN = "_faces_train.csv"
ROWS = 512  # parsed at a time
UNLABELLED = 3  # words in a line of a list without labels
README = "github.com/mavceleb/mavceleb_baseline, README.md at"


def _published(method: str, part: str, source: str, other: str, percents: Sequence[float]) -> Published:
    """Returns published figures: the EERs after training on English, then on the other language, and their mean."""
    ways = [("English", "English"), ("English", other), (other, "English"), (other, other)]
    names = [*(f"EER {heard} to {tested}" for heard, tested in ways), "EER mean"][-len(percents) :]
    return Published(method, source, {n: p / 100 for n, p in zip(names, percents, strict=True)}, part)


class Fame:
    """The protocol of the FAME challenge."""

    name = "fame"
    about = "FAME: MAV-Celeb, languages heard and unheard in training"
    published: Sequence[Published] = (
        _published("FOP", "v1", f"{README} e2b4cb1, table", "Urdu", (29.3, 37.9, 40.4, 25.8, 33.4)),
        _published("FOP", "v2", f"{README} 67baef8, table", "Hindi", (20.8, 24.0, 24.0, 19.3, 22.0)),
        _published("FOP", "v3", f"{README} e2b4cb1, table", "German", (35.3, 48.0, 45.1, 37.9, 41.5)),
        _published("HLT (2024)", "v1", f"{README} e2b4cb1, Last Year Results", "Urdu", (19.91,)),
        _published("Audio_Visual (2024)", "v1", f"{README} e2b4cb1, Last Year Results", "Urdu", (20.51,)),
        _published("Xaiofei (2024)", "v1", f"{README} e2b4cb1, Last Year Results", "Urdu", (21.76,)),
    )

    def read(self, folder: Path) -> Sequence[Task]:
        """Returns a training set for each version and language; see `BenchmarkProtocol.read`."""
        for files in (list(files_below(root)) for root in roots(folder)):
            found = [place for place in files if _name(place).endswith(TRAIN)]
            if found:
                _check_versions(found)
                return [_task(place, files) for place in found]
        raise InputError(f"{folder}: found no file *{TRAIN} below it, expected the published features")


def _version(faces_file: Place) -> tuple[str, str]:
    """Returns the version of the data and the training language of a file."""
    versions = [name for name in re.split(r"[\\/]", str(faces_file.parent)) if re.fullmatch(r"v\d+", name)]
    return versions[-1] if versions else "", _name(faces_file).removesuffix(TRAIN).capitalize()


def _name(place: Place) -> str:
    """Returns the name of a file as all writings of it have it: in small letters, without .gz."""
    return place.name.lower().removesuffix(".gz")


def _beside(here: Place, name: str, files: Sequence[Place]) -> Place:
    """Returns the file of this name in a folder, however it is written; if there is none, where it should be."""
    same = (place for place in files if str(place.parent) == str(here) and _name(place) == name.lower())
    return next(same, here / name)


def _check_versions(found: Sequence[Place]) -> None:
    first: dict[tuple[str, str], Place] = {}
    for place in found:
        before = first.setdefault(_version(place), place)
        if before is not place:
            raise InputError(f"{place}: found the same version and language as {before}, expected each once")


def _task(faces_file: Place, files: Sequence[Place]) -> Task:
    (part, heard), here = _version(faces_file), cast(Place, faces_file.parent)
    faces, people = read_vectors(faces_file, labels=True)
    voices_file = _beside(here, f"{heard}_voices_train.csv", files)
    voices, of_voices = read_vectors(voices_file, labels=True)
    _check_rows(faces_file, people, voices_file, of_voices)
    clip = np.arange(len(faces))
    names = np.array([f"{part}/{heard}/train/{number}" for number in clip])
    identity, unknown = np.char.add(f"{part}/", people), np.full(len(clip), "")
    train = Pairs(faces, clip, voices, clip, names, names, identity, unknown)
    tests = list(_tests(part, here, heard, files, faces.shape[1], voices.shape[1]))
    if not tests:
        raise InputError(f"{here}: found no {heard}_faces_test.csv, expected the features of the trials")
    return Task(part, train, None, tests, (f"fame/{part}/faces", f"fame/{part}/{heard}/voices"))


def _tests(
    part: str, here: Place, heard: str, files: Sequence[Place], d_face: int, d_voice: int
) -> Iterator[TrialSet]:
    inside = {_name(place): place for place in files if str(place.parent) == str(here)}
    for name, faces_file in inside.items():
        found = re.fullmatch(r"(.+)_faces_(unheard_)?test\.csv", name)
        if not found or (found[2] and found[1] != heard.lower() and f"{found[1]}_faces_test.csv" in inside):
            continue
        tested, kind = found[1].capitalize(), f"{found[2] or ''}test"
        if found[2] and tested == heard:
            raise InputError(f"{faces_file}: found the training language in its name, expected that of the trials")
        voices_file = _beside(here, f"{tested}_voices_{kind}.csv", files)
        faces, voices = read_vectors(faces_file, d_face)[0], read_vectors(voices_file, d_voice)[0]
        labels_file = _labels_of(here, tested, files)
        keys, same = read_trial_labels(labels_file)
        if not len(faces) == len(voices) == len(keys):
            raise InputError(
                f"{faces_file}: found {len(faces)} faces, {len(voices)} voices and {len(keys)} labels of "
                f"{tested} trials, expected the same number of each"
            )
        group = "heard" if tested == heard else "unheard"
        submission = "" if same is not None else f"sub_score_{part}_{tested}_{group}.txt"
        trials = _trials(keys, faces, voices, np.zeros(len(keys), bool) if same is None else same)
        yield TrialSet(*trials, f"{heard} to {tested}", (group, "mean"), False, submission, str(labels_file))


def _trials(
    keys: Sequence[str], faces: np.ndarray, voices: np.ndarray, same: np.ndarray
) -> tuple[TrialList, Features, Features]:
    """Returns the trials of each face with the voice of the same row, each of people of its own."""
    rows, names = np.arange(len(keys)), np.array(keys, dtype=str)
    row_of = dict(zip(keys, rows.tolist(), strict=True))
    face_identity = np.where(same, names, np.char.add(names, ", face"))
    trials = TrialList(list(keys), list(keys), names, face_identity, rows, rows, same)
    return trials, Features(row_of, faces), Features(row_of, voices)


def _labels_of(here: Place, language: str, files: Sequence[Place]) -> Place:
    """Returns the file of labels: of the training language's own folder, or of one above it."""
    above, name = f"{here}/", f"{language}_test.txt"
    found = [
        place
        for place in files
        if _name(place) == name.lower() and above.startswith(f"{place.parent}".rstrip("/") + "/")
    ]
    if not found:
        raise InputError(f"{here}: found no {name} in it or above it, expected the labels of the trials")
    return max(found, key=lambda place: len(str(place)))


def read_trial_labels(place: Place) -> tuple[list[str], np.ndarray | None]:
    """Returns the key of each trial, and which (n,) bool are of one person; None where no line has a label.

    Args:
        place: lines `KEY LABEL` or `LABEL`, whose key is then their number; or `KEY VOICE FACE`, as of a running
            challenge, which keeps the labels to itself.

    Raises:
        InputError: some lines have a label, others none; all labels are the same; or a key appears twice.
    """
    keys, labels = list[str](), list[str]()
    for number, words in enumerate(filter(None, map(str.split, _lines(place))), 1):
        keys.append(words[0] if len(words) > 1 else str(number))
        labels.append(words[-1] if words[-1] in ("0", "1") else "")
        if not labels[-1] and len(words) != UNLABELLED:
            raise InputError(f"{place}, row {number}: found '{words[-1][:40]}', expected the label 0 or 1")
    known = labels.count("0") + labels.count("1")
    if known == 0 and keys:
        repeated = len(keys) - len(set(keys))
        if repeated:
            raise InputError(f"{place}: found {repeated} keys twice, expected each once")
        return keys, None
    if known < len(labels):
        number = labels.index("") + 1
        raise InputError(
            f"{place}, row {number}: found '{keys[number - 1]} ...', expected a key and the label 0 or 1"
        )
    if len(set(labels)) < 2:
        raise InputError(f"{place}: found {len(labels)} labels of one kind, expected 0 and 1")
    return [f"{key} ({number})" for number, key in enumerate(keys, 1)], np.array(labels) == "1"


def read_vectors(place: Place, columns: int | None = None, labels: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Returns the vectors (n, dim) float32 of a CSV file without a header, and the labels (n,) str of its rows.

    Args:
        place: the file.
        columns: the number of columns to take; all if None.
        labels: whether the last column is a label.

    Raises:
        InputError: no such file, or a row is not as the others.
    """
    vectors, names = [], list[str]()
    lines = filter(None, map(str.strip, _lines(place)))
    while block := list(islice(lines, ROWS)):
        rows = [line.rpartition(",") for line in block] if labels else [(line, "", "") for line in block]
        names += [_label(label.strip()) for *_, label in rows]
        vectors.append(_numbers([row for row, *_ in rows], place, len(names) - len(rows)))
    widths = {part.shape[1] for part in vectors}
    if len(widths) != 1 or (columns or 0) > min(widths):
        found = " and ".join(map(str, sorted(widths))) or "no"
        raise InputError(f"{place}: found rows of {found} numbers, expected {columns or 'as many in each row'}")
    return np.concatenate(vectors)[:, :columns], np.array(names, dtype=str)


def _lines(place: Place) -> Iterator[str]:
    """Yields the lines of a text file, however its editor wrote it."""
    try:
        yield from text_lines(place)
    except (OSError, EOFError, zlib.error, KeyError, UnicodeDecodeError) as error:
        raise InputError(f"{place}: {getattr(error, 'strerror', None) or error}; expected a text file") from None


def _numbers(lines: Sequence[str], place: Place, before: int) -> np.ndarray:
    """Returns the numbers of lines (n, dim) float32; an error names the row."""
    if not all(lines):  # no comma in it, so all of it was taken for the label
        row = before + 1 + list(map(bool, lines)).index(False)
        raise InputError(f"{place}, row {row}: found one field, expected numbers separated by commas, then a label")
    try:
        found = np.loadtxt(lines, np.float32, comments=None, delimiter=",", ndmin=2)
        if np.isfinite(found).all():
            return found
    except ValueError:
        pass
    for number, line in enumerate(lines, before + 1):
        wrong = next((word for word in line.split(",") if not _is_number(word)), None)
        if wrong is not None:
            raise InputError(f"{place}, row {number}: found '{wrong[:40]}', expected numbers separated by commas")
        if line.count(",") != lines[0].count(","):
            found, expected = line.count(",") + 1, lines[0].count(",") + 1
            raise InputError(f"{place}, row {number}: found {found} numbers, expected {expected} as before")
    raise InputError(f"{place}, rows {before + 1} to {before + len(lines)}: expected numbers separated by commas")


def _label(text: str) -> str:
    """Returns a label; a whole number as such, however it is written: "3" of "3.000e+00"."""
    return f"{float(text):.0f}" if _is_number(text) and float(text).is_integer() else text


def _is_number(word: str) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False


def _check_rows(faces_file: Place, faces: np.ndarray, voices_file: Place, voices: np.ndarray) -> None:
    if len(faces) != len(voices):
        raise InputError(f"{faces_file}: found {len(faces)} rows, expected {len(voices)} as in {voices_file}")
    wrong = np.flatnonzero(faces != voices)
    if len(wrong):
        row = int(wrong[0])
        raise InputError(
            f"{voices_file}, row {row + 1}: found a voice of person '{voices[row]}', expected '{faces[row]}' "
            f"as in {faces_file.name}"
        )
