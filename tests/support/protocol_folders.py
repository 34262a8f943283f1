"""Small made-up folders in the formats of published protocols, of people whose faces and voices share a cause."""

import pickle
from pathlib import Path

import numpy as np

CAUSES, D_FACE, D_VOICE = 5, 12, 10


class World:
    """Draws vectors of people: `face(person)` and `voice(person)`."""

    def __init__(self, seed=0, noise=1.5):
        self.rng, self.noise = np.random.default_rng(seed), noise
        self.to_face, self.to_voice = (np.random.default_rng(1).normal(size=(CAUSES, d)) for d in (D_FACE, D_VOICE))
        self.causes = {}

    def face(self, person):
        return self._seen(person, self.to_face)

    def voice(self, person):
        return self._seen(person, self.to_voice)

    def _seen(self, person, matrix):
        cause = self.causes.setdefault(person, self.rng.normal(size=CAUSES))
        vector = cause @ matrix + 1
        return (3 * (vector + self.noise * self.rng.normal(size=len(vector)))).astype(np.float32)


def save(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(data))


class VoxLike:
    """People with a name, an id, a gender and videos of two faces and two voices each."""

    def __init__(self, sizes, videos=2, seed=0):
        self.world, self.rng = World(seed), np.random.default_rng([seed, 1])
        self.split, self.videos = {}, {}
        for part, size in sizes.items():
            self.split[part] = [f"{part.title()}_{number:02}" for number in range(size)]
        names = [name for part in self.split.values() for name in part]
        self.id_of = {name: f"id{10001 + number}" for number, name in enumerate(names)}
        self.gender = {name: "fm"[number % 2] for number, name in enumerate(names)}
        for name in names:
            self.videos[name] = [f"vid{name}{number}" for number in range(videos)]

    def face_names(self, name, video, scale="1.6/"):
        return [f"{name}/{scale}{video}/000{number}.jpg" for number in range(2)]

    def voice_names(self, name, video):
        return [f"{name}/{video}/0000{number}.wav" for number in range(2)]

    def everything(self):
        return [(name, video) for name, videos in self.videos.items() for video in videos]

    def inputs(self):
        """Face vectors and voice vectors by the names of their files, as published."""
        faces, voices = {}, {}
        for name, video in self.everything():
            faces |= {file: self.world.face(name) for file in self.face_names(name, video)}
            voices |= {file: self.world.voice(name) for file in self.voice_names(self.id_of[name], video)}
        return faces, voices

    def lists(self, part, face_of, voice_of, trials=120):
        """The trial lists of a part, drawn as published: by name of the list."""
        people, rng = self.split[part], self.rng
        by_gender = [[name for name in people if self.gender[name] == gender] for gender in "fm"]

        def one(files):
            return files[rng.integers(len(files))]

        def verification(groups):
            rows = []
            for number in range(trials):
                label = int(rng.integers(2))
                one_name, other = rng.choice(groups[number % len(groups)], 2, replace=False)
                rows.append([one(voice_of(one_name)), one(face_of(one_name if label else other)), label])
            return _with_sets("list", rows, [row[0] for row in rows], [row[1] for row in rows])

        def matching(groups):
            rows = []
            for number in range(trials):
                names = rng.choice(groups[number % len(groups)], 2, replace=False)
                rows.append(tuple(x for name in names for x in (name, one(voice_of(name)), one(face_of(name)))))
            return _with_sets(
                "match_list", rows, [x for r in rows for x in r[1::3]], [x for r in rows for x in r[2::3]]
            )

        ten = [list(rng.choice(people, min(10, len(people)), replace=False)) for _ in range(trials)]
        ten = [[[one(voice_of(name)) for name in row], [one(face_of(name)) for name in row]] for row in ten]
        found = [
            [(wav, jpg, name) for name in people for wav, jpg in zip(voice_of(name), face_of(name), strict=True)]
            for _ in range(2)
        ]
        found[1] = found[1][::2]
        flat = [row for rows in found for row in rows]
        return {
            f"{part}_verification": verification([people]),
            f"{part}_verification_g": verification(by_gender),
            f"{part}_matching": matching([people]),
            f"{part}_matching_g": matching(by_gender),
            f"{part}_matching_10": _with_sets(
                "match_list", ten, [x for wavs, _ in ten for x in wavs], [x for _, jpgs in ten for x in jpgs]
            ),
            f"{part}_retrieval": _with_sets(
                "retrieval_lists", found, [row[0] for row in flat], [row[1] for row in flat]
            ),
        }  # fmt: skip


def _with_sets(kind, rows, wavs, jpgs):
    return {"wav_set": set(wavs), "jpg_set": set(jpgs), kind: rows, "script": "import os"}


def vfal_eva_folder(folder: Path, sizes=(60, 12, 14), seed=0) -> Path:
    """Writes a folder as VFAL-Eva's dataset.zip has it, and returns it."""
    vox = VoxLike(dict(zip(("train", "valid", "test"), sizes, strict=True)), seed=seed)
    faces, voices = vox.inputs()

    def files(names):
        return lambda name: [file for video in vox.videos[name] for file in names(name, video)]

    def face_names(name, video):
        return vox.face_names(name, video, "")

    save(folder / "face_input.pkl", faces)
    save(folder / "voice_input.pkl", voices)
    movies = {
        name: [
            {"jpgs": face_names(name, video), "wavs": vox.voice_names(name, video), "movie": video, "person": name}
            for video in videos
        ]
        for name, videos in vox.videos.items()
    }
    tables = {
        "train_valid_test_names": vox.split, "name2gender": vox.gender, "name2voice_id": vox.id_of,
        "name2movies": movies,
    }  # fmt: skip
    for name, table in tables.items():
        save(folder / "info" / f"{name}.pkl", table)
    lists = vox.lists("test", files(face_names), files(vox.voice_names))
    valid = vox.lists("valid", files(face_names), files(vox.voice_names))["valid_verification"]
    for name, content in (lists | {"valid_verification": valid}).items():
        save(folder / "evals" / f"{name}.pkl", content)
    return folder


def self_lifting_folder(folder: Path, sizes=(60, 12, 14), seed=0) -> Path:
    """Writes a folder as Self-Lifting's dataset/voxceleb is, and returns it."""
    vox = VoxLike(dict(zip(("train", "valid", "test"), sizes, strict=True)), seed=seed)
    faces, voices = vox.inputs()

    def face_of(name):
        return [file for video in vox.videos[name] for file in vox.face_names(name, video)]

    def voice_of(name):
        return [file for video in vox.videos[name] for file in vox.voice_names(vox.id_of[name], video)]

    save(folder / "face_input.pkl", faces)
    save(folder / "voice_input.pkl", voices)
    training = [(name, video) for name in vox.split["train"] for video in vox.videos[name]]
    save(folder / "cluster" / "train_movie_list.pkl", [video for _, video in training])
    jpgs = {video: vox.face_names(name, video) for name, video in training}
    wavs = {video: vox.voice_names(vox.id_of[name], video) for name, video in training}
    save(folder / "cluster" / "movie2jpg_path.pkl", jpgs)
    save(folder / "cluster" / "movie2wav_path.pkl", wavs)
    lists = vox.lists("test", face_of, voice_of)
    lists["valid_verification"] = vox.lists("valid", face_of, voice_of)["valid_verification"]
    for name, content in lists.items():
        save(folder / "eval" / f"{name}.pkl", content)
    return folder


def fame_folder(folder: Path, version="v2", other="Hindi", people=24, rows=4, trials=120, seed=0) -> Path:
    """Writes a folder as the baseline of FAME reads it, and returns it."""
    world, rng = World(seed), np.random.default_rng([seed, 2])
    languages = ("English", other)
    labels = {language: rng.integers(0, 2, trials) for language in languages}
    drawn = {language: rng.integers(100, 110, (trials, 2)) for language in languages}
    for language in languages:
        text = "".join(f"key{number} {label}\n" for number, label in enumerate(labels[language]))
        _write(folder / version / f"{language}_test.txt", text)
    for heard in languages:
        here = folder / version / heard
        who = np.repeat(np.arange(people), rows)
        _csv(here / f"{heard}_faces_train.csv", [world.face(p) for p in who], who)
        _csv(here / f"{heard}_voices_train.csv", [world.voice(p) for p in who], who)
        for tested in languages:
            kind = "test" if tested == heard else "unheard_test"
            ones = drawn[tested][:, 0]
            others = np.where(labels[tested] == 1, ones, 200 + drawn[tested][:, 1])
            _csv(here / f"{tested}_faces_{kind}.csv", [world.face(p) for p in ones])
            _csv(here / f"{tested}_voices_{kind}.csv", [world.voice(p) for p in others])
    return folder


def _csv(path, vectors, labels=None):
    rows = [[f"{x:.6f}" for x in vector] for vector in vectors]
    if labels is not None:
        rows = [[*row, str(label)] for row, label in zip(rows, labels, strict=True)]
    _write(path, "".join(",".join(row) + "\n" for row in rows))


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
