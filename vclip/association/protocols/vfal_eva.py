"""VFAL-Eva, an evaluation of many methods on VoxCeleb with one split: 901, 100 and 250 people.

    https://github.com/my-yy/vfal-eva

Its `dataset.zip` holds vectors by file name, the split, the files of each video, and trial lists:

    face_input.pkl, voice_input.pkl     NAME/1.6/VIDEO/FILE.jpg and ID/VIDEO/FILE.wav -> vector
    info/train_valid_test_names.pkl     train, valid, test -> names
    info/name2movies.pkl                NAME -> videos, each with `jpgs` and `wavs`: NAME/VIDEO/FILE
    info/name2gender.pkl                NAME -> m, f (or 1, 0)
    info/name2voice_id.pkl              NAME -> ID
    evals/*.pkl                         lists as of `vclip.association.trials.lists`
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vclip.association.protocols.base import Published, Task, TrialSet
from vclip.association.protocols.clips import ClipFiles, names_under, pairs_of, unit_features
from vclip.association.protocols.folder import Place, data_folder, read_pickle
from vclip.association.trials.features import Features, name_of
from vclip.association.trials.lists import read_pickled_trials
from vclip.errors import InputError

SAME_GENDER = "same gender"
LISTS = {
    "test_verification": "",
    "test_verification_g": SAME_GENDER,
    "test_matching": "",
    "test_matching_g": SAME_GENDER,
    "test_matching_10": "",
    "test_retrieval": "",
}  # in the folder of lists -> subgroup
GENDERS = {"f": "f", "m": "m", "0": "f", "1": "m", "false": "f", "true": "m"}  # as texts in lower case
FILES = ("train_valid_test_names", "name2movies", "name2gender", "name2voice_id")
FIGURES = ("AUC", "AUC same gender", "1:2 V2F", "1:2 F2V", "1:2 V2F same gender", "1:2 F2V same gender")
FIGURES = (*FIGURES, "mAP V2F", "mAP F2V")
SOURCE = "github.com/my-yy/vfal-eva, files/result1.png at 0e26c01 (its table; on its own faces and voices)"
# Means of several runs, in percent.
RESULTS = {
    "PINs": (83.7, 68.1, 83.8, 83.5, 69.6, 68.8, 4.1, 4.1),
    "DIMNet": (84.3, 71.6, 84.5, 84.8, 70.3, 72.8, 5.0, 5.6),
    "FV-CME": (85.2, 71.8, 85.1, 85.1, 72.1, 72.5, 4.5, 5.3),
    "LAFV": (83.2, 68.9, 83.2, 83.2, 69.0, 68.7, 3.6, 3.6),
    "VFMR": (84.9, 71.2, 84.9, 84.9, 71.7, 72.1, 4.5, 5.3),
    "Wen": (84.8, 72.8, 84.7, 85.5, 72.5, 73.9, 4.5, 5.6),
    "FOP": (84.0, 73.2, 83.6, 83.0, 73.9, 72.5, 5.4, 5.5),
    "SL-CAE": (84.4, 71.4, 83.9, 83.9, 71.2, 71.9, 4.1, 5.0),
    "SL-Barlow": (82.8, 69.5, 83.3, 83.4, 71.1, 70.6, 4.3, 4.5),
    "SL": (86.9, 76.0, 86.3, 86.2, 75.7, 75.7, 6.5, 6.8),
    "CMPC": (86.5, 76.0, 85.6, 85.5, 75.2, 75.7, 6.4, 6.6),
}


class VfalEva:
    """The protocol of VFAL-Eva."""

    name = "vfal-eva"
    about = "VFAL-Eva: VoxCeleb, split by people"
    published: Sequence[Published] = tuple(
        Published(method, SOURCE, {name: value / 100 for name, value in zip(FIGURES, values, strict=True)})
        for method, values in RESULTS.items()
    )

    def read(self, folder: Path) -> Sequence[Task]:
        """Returns the one training set; see `BenchmarkProtocol.read`."""
        data = data_folder(folder, "face_input.pkl", ("dataset",))
        names, movies, genders, ids = (read_pickle(data / "info" / f"{name}.pkl") for name in FILES)
        faces = _renamed(unit_features(data / "face_input.pkl"), lambda name: name.replace("/1.6/", "/"))
        person = {_id(number, name, data): name_of(name) for name, number in ids.items()}
        voices = _renamed(unit_features(data / "voice_input.pkl"), lambda name: _by_name(name, person))
        split = data / "info" / "train_valid_test_names.pkl"
        (train, missing), (valid, more) = (
            pairs_of(_clips(people, movies, genders, data), faces, voices, f"{split}, '{part}'")
            for part in ("train", "valid")
            for people in (names_under(names, part, split, "names"),)
        )
        spaces = ("vfal-eva/face_input", "vfal-eva/voice_input")
        return [Task("", train, valid, read_lists(data / "evals", faces, voices), spaces, missing + more)]


def read_lists(folder: Place, faces: Features, voices: Features) -> list[TrialSet]:
    """Returns the trial lists of a folder; only the verification list must be there.

    Raises:
        InputError: there is none, or a file is no such list.
    """
    found = {name: place for name in LISTS if (place := folder / f"{name}.pkl").is_file()}
    if "test_verification" not in found:
        raise InputError(f"{folder}: found no test_verification.pkl, expected the trial lists {', '.join(LISTS)}")
    return [
        TrialSet(read_pickled_trials(place), faces, voices, LISTS[name], file=str(place))
        for name, place in found.items()
    ]


def _clips(names: Sequence[Any], movies: dict, genders: dict, data: Place) -> list[ClipFiles]:
    """Returns the videos of people, each as one clip."""
    clips, place = [], data / "info" / "name2movies.pkl"
    for name in names:
        videos, gender = movies.get(name), GENDERS.get(str(name_of(genders.get(name))).lower())
        if not isinstance(videos, list | tuple) or not all(isinstance(video, dict) for video in videos):
            raise InputError(f"{place}: found {type(videos).__name__} under {name!r}, expected a list of its videos")
        if gender is None:
            found = genders.get(name)
            raise InputError(f"{data / 'info' / 'name2gender.pkl'}: found {found!r} for {name!r}, expected m or f")
        for number, video in enumerate(videos):
            where = f"{place}, video {number + 1} of {name}"
            jpgs, wavs = (names_under(video, kind, where, "files") for kind in ("jpgs", "wavs"))
            clip = f"{name_of(name)}/{_video(jpgs, number)}"
            clips.append(ClipFiles(clip, clip, jpgs, wavs, name_of(name), gender))
    return clips


def _id(number: Any, name: Any, data: Place) -> str:
    if not isinstance(number, str | bytes):
        place = data / "info" / "name2voice_id.pkl"
        raise InputError(f"{place}: found {number!r} for {name!r}, expected an id such as 'id10001'")
    return name_of(number)


def _video(files: Sequence[Any], number: int) -> str:
    """Returns the name of a video, the last folder of its files; its number if it has none."""
    parts = name_of(files[0]).split("/") if files else []
    return parts[-2] if len(parts) > 1 else str(number)


def _by_name(file: str, person: Mapping[Any, Any]) -> str:
    number, _, rest = file.partition("/")
    return f"{person.get(number, number)}/{rest}"


def _renamed(features: Features, rename: Any) -> Features:
    return Features({rename(name): row for name, row in features.row_of.items()}, features.vectors)
