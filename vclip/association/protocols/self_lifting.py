"""Self-Lifting (Chen et al., ICMR 2022), VoxCeleb without identities in training.

    https://github.com/my-yy/sl_icmr2022

Its folder `dataset/voxceleb` holds vectors by file name, the files of the training videos, and trial lists:

    face_input.pkl, voice_input.pkl     NAME/1.6/VIDEO/FILE.jpg and ID/VIDEO/FILE.wav -> vector
    cluster/train_movie_list.pkl        the training videos
    cluster/movie2jpg_path.pkl          video -> faces
    cluster/movie2wav_path.pkl          video -> voices
    eval/*.pkl                          lists as of `vclip.association.trials.lists`

Training reads no identities: videos are grouped into people by their faces and voices, as those of a store are. No
figures of the publication are given, because its text was not at hand.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vclip.association.clustering.pseudo_identities import doubtful_pairs, group_people
from vclip.association.pairs import Pairs
from vclip.association.protocols.base import Published, Task
from vclip.association.protocols.clips import ClipFiles, names_under, pairs_of, unit_features
from vclip.association.protocols.folder import Place, data_folder, read_pickle
from vclip.association.protocols.vfal_eva import read_lists
from vclip.association.trials.features import Features, name_of
from vclip.association.trials.lists import read_pickled_trials
from vclip.errors import InputError

SPACES = ("self-lifting/face_input", "self-lifting/voice_input")


class SelfLifting:
    """The protocol of Self-Lifting."""

    name = "self-lifting"
    about = "Self-Lifting: VoxCeleb, training without identities"
    published: Sequence[Published] = ()

    def read(self, folder: Path) -> Sequence[Task]:
        """Returns the one training set; see `BenchmarkProtocol.read`."""
        data = data_folder(folder, "face_input.pkl", ("voxceleb", "dataset/voxceleb"))
        faces, voices = (unit_features(data / f"{side}_input.pkl") for side in ("face", "voice"))
        tests = read_lists(data / "eval", faces, voices)
        clips = _training_clips(
            data / "cluster", {who for test in tests for who in test.trials.voice_identity.tolist()}
        )
        train, missing = pairs_of(clips, faces, voices, str(data / "cluster"))
        train, _ = group_people(train, *SPACES)
        train = replace(train, doubtful=doubtful_pairs(train, *SPACES))
        valid, more = _valid(data / "eval" / "valid_verification.pkl", faces, voices)
        return [Task("", train, valid, tests, SPACES, missing + more)]


def _training_clips(folder: Place, tested: set[str]) -> list[ClipFiles]:
    """Returns the training videos as clips without identity; the ids in their file names serve only to find leaks."""
    tables = [folder / f"movie2{kind}_path.pkl" for kind in ("jpg", "wav")]
    jpgs, wavs = map(read_pickle, tables)
    clips = []
    place = folder / "train_movie_list.pkl"
    for video in read_pickle(place, list):
        if not isinstance(video, str | bytes):
            raise InputError(f"{place}: found {video!r:.40}, expected the name of a video")
        faces = names_under(jpgs, video, tables[0], "images")
        voices = names_under(wavs, video, tables[1], "audio files")
        leak = tested & {name_of(voice).split("/")[0] for voice in voices}
        if leak:
            raise InputError(f"{place}: the training video {video!r} is of {min(leak)}, who is in the test")
        clips.append(ClipFiles(name_of(video), name_of(video), faces, voices))
    return clips


def _valid(place: Place, faces: Features, voices: Features) -> tuple[Pairs, int]:
    """Returns the videos of the people of a verification list, and the number of files without a vector."""
    trials = read_pickled_trials(place)
    files: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    sides = (trials.faces, trials.face_identity), (trials.voices, trials.voice_identity)
    for side, (names, identity) in enumerate(sides):
        for name, who in zip(names, identity.tolist(), strict=True):
            above, _, _ = name.rpartition("/")
            if not above:
                raise InputError(f"{place}: found the file '{name}', expected it in the folder of its video")
            files.setdefault((who, above.rpartition("/")[2]), ([], []))[side].append(name)
    clips = [ClipFiles(f"{who}/{video}", video, *names, identity=who) for (who, video), names in files.items()]
    valid, missing = pairs_of(clips, faces, voices, str(place))
    if len(np.unique(valid.identity)) < 2:
        raise InputError(f"{place}: found videos with a face and a voice of one person only, expected at least two")
    return valid, missing
