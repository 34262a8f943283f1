"""Published protocols: read as published, and the figures of their own evaluation, implemented here once more."""

import gzip
import os
import pickle
import shutil
import zipfile

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score, roc_curve

from tests.support.protocol_folders import fame_folder, save, self_lifting_folder, vfal_eva_folder
from vclip import InputError
from vclip.association.methods import method_of
from vclip.association.protocols import PROTOCOLS
from vclip.association.protocols.figures import check, means, measure, submissions
from vclip.association.training import TrainConfig, train

FOLDERS = {"vfal-eva": vfal_eva_folder, "self-lifting": self_lifting_folder, "fame": fame_folder}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The made-up folder of each protocol; not to be changed."""
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in FOLDERS.items()}


@pytest.fixture(scope="module")
def tasks(folders):
    return {name: PROTOCOLS.open(name).read(folder) for name, folder in folders.items()}


def trained(task):
    method = method_of("ridge")
    config = method.config(TrainConfig(device="cpu"))
    if task.valid is None:
        return train(task.train, *task.spaces, config, fit_one=method.fit)[0]
    return method.fit(task.train, task.valid, *task.spaces, config)[0]


def _load(path):
    return pickle.loads(path.read_bytes())


def _embedded(folder, name, model):
    """The embeddings of all files by the names that the trial lists use, as the published code makes them."""
    found = {}
    ids = _load(folder / "info" / "name2voice_id.pkl") if name == "vfal-eva" else {}
    name_of = {number: person for person, number in ids.items()}
    for side, embed in (("face", model.embed_faces), ("voice", model.embed_voices)):
        for file, vector in _load(folder / f"{side}_input.pkl").items():
            if name == "vfal-eva":
                first, *rest = file.replace("/1.6/", "/").split("/")
                file = "/".join([name_of.get(first, first), *rest])
            found[file] = embed((vector / np.sqrt((vector**2).sum()))[None])[0]
    return found


def _average_precision(distances, labels):
    found = []
    for row, label in zip(distances, labels, strict=True):
        right = np.array(labels)[np.argsort(row)] == label
        found.append(np.mean(np.cumsum(right)[right] / (np.flatnonzero(right) + 1)))
    return np.mean(found)


def _equal_error_rate(labels, scores):
    alarms, hits, _ = roc_curve(labels, scores)
    return brentq(lambda x: 1 - x - interp1d(alarms, hits)(x), 0, 1)


def _expected(lists, of):
    """The figures of the published evaluation of VoxCeleb's lists, by embeddings under the names of files."""
    found = {}
    for name, tail in (("test_{}", ""), ("test_{}_g", " same gender")):
        rows = _load(lists / f"{name.format('verification')}.pkl")["list"]
        scores = [1 - cdist([of[wav]], [of[jpg]], "cosine")[0, 0] for wav, jpg, _ in rows]
        labels = [label for *_, label in rows]
        found[f"AUC{tail}"], found[f"EER{tail}"] = roc_auc_score(labels, scores), _equal_error_rate(labels, scores)
        rows = _load(lists / f"{name.format('matching')}.pkl")["match_list"]
        far = {"V2F": [], "F2V": []}
        for _, wav, jpg, _, other_wav, other_jpg in rows:
            far["V2F"].append(cdist([of[wav]], [of[jpg], of[other_jpg]], "cosine")[0])
            far["F2V"].append(cdist([of[jpg]], [of[wav], of[other_wav]], "cosine")[0])
        found |= {
            f"1:2 {way}{tail}": np.mean([right < wrong for right, wrong in of_way]) for way, of_way in far.items()
        }
    rows = _load(lists / "test_matching_10.pkl")["match_list"]
    for way, probe, gallery in (("V2F", 0, 1), ("F2V", 1, 0)):
        first = [np.argmin(cdist([of[row[probe][0]]], [of[name] for name in row[gallery]], "cosine")) for row in rows]
        found[f"1:10 {way}"] = np.mean(np.array(first) == 0)
    precisions = []
    for rows in _load(lists / "test_retrieval.pkl")["retrieval_lists"]:
        wavs, jpgs, labels = zip(*rows, strict=True)
        distances = cdist([of[wav] for wav in wavs], [of[jpg] for jpg in jpgs], "cosine")
        precisions.append([_average_precision(distances, labels), _average_precision(distances.T, labels)])
    found["mAP V2F"], found["mAP F2V"] = np.mean(precisions, axis=0)
    return found


@pytest.mark.parametrize(("name", "lists"), [("vfal-eva", "evals"), ("self-lifting", "eval")])
def test_the_figures_are_those_of_the_published_evaluation(folders, tasks, name, lists):
    (task,) = tasks[name]
    model = trained(task)
    found = measure(model, task, draws=20)
    expected = _expected(folders[name] / lists, _embedded(folders[name], name, model))
    assert {name: figure.value for name, figure in found.items()} == pytest.approx(expected, abs=1e-6)
    assert 0.6 < found["AUC"].value < 0.999
    assert found["AUC"].low < found["AUC"].value < found["AUC"].high


def test_the_equal_error_rates_of_fame_are_those_of_its_baseline(folders, tasks):
    folder, found = folders["fame"] / "v2", {}
    expected = {}
    for task, heard in zip(tasks["fame"], ("English", "Hindi"), strict=True):
        model = trained(task)
        found |= {name: figure.value for name, figure in measure(model, task).items()}
        for tested in ("English", "Hindi"):
            kind = "test" if tested == heard else "unheard_test"
            faces, voices = (
                np.loadtxt(folder / heard / f"{tested}_{side}_{kind}.csv", delimiter=",")
                for side in ("faces", "voices")
            )
            far = np.linalg.norm(model.embed_faces(faces) - model.embed_voices(voices), axis=1)
            labels = [int(line.split()[1]) for line in (folder / f"{tested}_test.txt").read_text().splitlines()]
            expected[f"EER {heard} to {tested}"] = _equal_error_rate(labels, -far)
    assert found == pytest.approx(expected, abs=1e-6)
    rates = [expected[f"EER {pair}"] for pair in ("English to English", "Hindi to Hindi")]
    rates += [expected[f"EER {pair}"] for pair in ("English to Hindi", "Hindi to English")]
    averages = {"EER heard": np.mean(rates[:2]), "EER unheard": np.mean(rates[2:]), "EER mean": np.mean(rates)}
    assert means(tasks["fame"], found) == pytest.approx(averages)


def test_the_split_is_by_people_and_self_lifting_reads_no_identity(folders, tasks):
    (vfal,), (lifting,) = tasks["vfal-eva"], tasks["self-lifting"]
    names = _load(folders["vfal-eva"] / "info" / "train_valid_test_names.pkl")
    assert set(vfal.train.identity) == set(names["train"])
    assert set(vfal.valid.identity) == set(names["valid"])
    assert {who for test in vfal.tests for who in test.trials.voice_identity} <= set(names["test"])
    assert set(vfal.train.gender) == {"f", "m"}
    assert len(vfal.train) == 2 * len(names["train"])
    assert all(who.startswith("person-") for who in lifting.train.identity)
    assert lifting.train.doubtful is not None
    assert len(set(lifting.valid.identity)) == 12


def test_an_archive_gives_the_same_as_the_folder(folders, tasks, tmp_path):
    for name, inside in (("vfal-eva", "dataset"), ("fame", "features")):
        archive = tmp_path / name / "dataset.zip"
        archive.parent.mkdir()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted(folders[name].rglob("*.*")):
                file.write(path, f"{inside}/{path.relative_to(folders[name])}")
        for one, other in zip(PROTOCOLS.open(name).read(archive), tasks[name], strict=True):
            np.testing.assert_array_equal(one.train.faces, other.train.faces)
            np.testing.assert_array_equal(one.train.identity, other.train.identity)
            assert [test.trials.same.tolist() for test in one.tests] == [t.trials.same.tolist() for t in other.tests]
    (inside,) = PROTOCOLS.open("vfal-eva").read(tmp_path / "vfal-eva")
    np.testing.assert_array_equal(inside.train.voices, tasks["vfal-eva"][0].train.voices)


def test_files_without_a_vector_are_left_out_of_training_and_counted(tmp_path, tasks):
    folder = vfal_eva_folder(tmp_path)
    faces = _load(folder / "face_input.pkl")
    for name in [name for name in faces if name.startswith("Train_00")][:3]:
        del faces[name]
    save(folder / "face_input.pkl", faces)
    (task,) = PROTOCOLS.open("vfal-eva").read(folder)
    assert task.left_out == 3
    assert len(task.train) == len(tasks["vfal-eva"][0].train) - 1


class _Evil:
    def __reduce__(self):
        return (os.system, ("echo code in a pickle has run",))


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("face_input.pkl", _Evil(), "face_input.pkl: found 'posix.system' in the pickle, expected plain data"),
        ("face_input.pkl", [1], "face_input.pkl: found a list, expected a dict"),
        ("info/train_valid_test_names.pkl", {"train": ["Train_00"]}, "names.pkl: found nothing under 'valid'"),
        ("info/name2movies.pkl", {}, "name2movies.pkl: found NoneType under 'Train_00', expected a list"),
        ("info/name2gender.pkl", {}, "name2gender.pkl: found None for 'Train_00', expected m or f"),
        ("evals/test_verification.pkl", {"list": [("a.wav", 1)]}, "test_verification.pkl: its 'list' does not have"),
        ("info/name2gender.pkl", {"Train_00": ["f"]}, "name2gender.pkl: found .'f'. for 'Train_00', expected m or f"),
        ("info/name2voice_id.pkl", {"Train_00": [1]}, "name2voice_id.pkl: found .1. for 'Train_00', expected an id"),
        ("evals/test_verification.pkl", None, "found no test_verification.pkl, expected the trial lists"),
    ],
)
def test_what_is_not_as_published_is_named(tmp_path, capsys, file, content, named):
    folder = vfal_eva_folder(tmp_path, (4, 4, 4))
    save(folder / file, content)
    if content is None:
        (folder / file).unlink()
    with pytest.raises(InputError, match=named):
        PROTOCOLS.open("vfal-eva").read(folder)
    assert "has run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "line", "named"),
    [
        (
            "English/English_faces_train.csv",
            "0.1,x,0.2,0\n",
            "row 1: found 'x', expected numbers separated by commas",
        ),
        ("English/English_faces_train.csv", "0.1,nan,0.2,0\n", "row 1: found 'nan', expected numbers"),
        (
            "English/English_voices_train.csv",
            "1,2,3,4,5,6,7,8,9,10,9\n",
            "row 1: found a voice of person '9', expected",
        ),
        ("English/English_faces_test.csv", "1,2\n", "row 2: found 12 numbers, expected 2 as before"),
        (
            "English_test.txt",
            "key0 voices/0.wav faces/0.jpg\n",
            "row 1: found 'key0 ...', expected a key and the label",
        ),
        ("English_test.txt", "", "found 120 faces, 120 voices and 119 labels"),
        ("English_test.txt", "key0 True\n", "English_test.txt, row 1: found 'True', expected the label 0 or 1"),
        ("English_test.txt", "key0,1\n", "English_test.txt, row 1: found 'key0,1', expected the label 0 or 1"),
        ("English/English_faces_train.csv", "0.1;0.2;0\n", "row 1: found one field, expected numbers separated by"),
    ],
)
def test_a_row_of_fame_that_is_not_as_the_others_is_named(tmp_path, file, line, named):
    path = fame_folder(tmp_path) / "v2" / file
    _, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([line, *rest]))
    with pytest.raises(InputError, match=named):
        PROTOCOLS.open("fame").read(tmp_path)


def test_labels_of_another_form_are_not_taken_for_none(tmp_path):
    """The trials would be left out of the figures."""
    path = fame_folder(tmp_path) / "v2" / "English_test.txt"
    path.write_text(path.read_text().replace(" 1\n", " True\n").replace(" 0\n", " False\n"))
    with pytest.raises(InputError, match=r"row 1: found '(True|False)', expected the label 0 or 1"):
        PROTOCOLS.open("fame").read(tmp_path)


@pytest.mark.parametrize("written", ["utf-8-sig", "utf-16"])
def test_files_of_fame_are_read_however_an_editor_wrote_them(tmp_path, tasks, written):
    for path in fame_folder(tmp_path).rglob("*.*"):
        text = path.read_text()
        if path.name == "Hindi_test.txt":
            text = "".join(f"key{n} voices/Hindi/{n:05}.wav faces/Hindi/{n:05}.jpg\n" for n in range(120))
        path.write_bytes(text.replace("\n", "\r\n").encode(written))
    task, _ = PROTOCOLS.open("fame").read(tmp_path)
    np.testing.assert_array_equal(task.train.faces, tasks["fame"][0].train.faces)
    assert next(test for test in task.tests if test.submission).trials.voices[0] == "key0"


@pytest.mark.parametrize("archive", [False, True])
def test_files_of_fame_are_found_whatever_the_case_of_their_names_and_gzipped(tmp_path, tasks, archive):
    """Passed over, they would be left out of the figures."""
    for number, path in enumerate(sorted(fame_folder(tmp_path / "files").rglob("*.*"))):
        name = (path.name.upper(), path.name.lower(), path.name)[number % 3]
        path.with_name(f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    if archive:
        shutil.make_archive(str(tmp_path / "files"), "zip", tmp_path / "files")
        shutil.rmtree(tmp_path / "files")
    for found, expected in zip(PROTOCOLS.open("fame").read(tmp_path), tasks["fame"], strict=True):
        np.testing.assert_array_equal(found.train.voices, expected.train.voices)
        assert {test.subgroup for test in found.tests} == {test.subgroup for test in expected.tests}
        assert found.spaces == expected.spaces


def test_fame_in_an_archive_in_a_folder_with_what_macos_adds(tmp_path, tasks):
    inside = fame_folder(tmp_path / "files")
    with zipfile.ZipFile(tmp_path / "mavceleb.zip", "w") as archive:
        for path in inside.rglob("*.*"):
            archive.write(path, path.relative_to(inside))
            archive.writestr(f"__MACOSX/{path.parent.relative_to(inside)}/._{path.name}", b"\0\5\26\7")
    for path in inside.rglob("*.csv"):
        path.unlink()
    found = PROTOCOLS.open("fame").read(tmp_path)
    assert [(task.part, len(task.train), len(task.tests)) for task in found] == [("v2", 96, 2)] * 2
    np.testing.assert_array_equal(found[0].train.faces, tasks["fame"][0].train.faces)


def test_a_version_that_is_there_twice_is_an_error(tmp_path):
    fame_folder(tmp_path / "one"), fame_folder(tmp_path / "two")
    with pytest.raises(
        InputError, match=r"two/v2/English/.*: found the same version and language as .*one/v2/English"
    ):
        PROTOCOLS.open("fame").read(tmp_path)


FAULTY_LISTS = {
    "a person in training": ("Train_00", "test_verification.pkl: found trials of 'Train_00', who is in the training"),
    "a name without a vector": ("Nobody", "test_verification.pkl: 1 of 121 trials lack a vector: 1 of .* voices"),
}


@pytest.mark.parametrize("fault", FAULTY_LISTS)
def test_a_faulty_list_is_found_before_anything_is_trained(tmp_path, fault):
    """The error names the list, and no option that the command lacks."""
    name, told = FAULTY_LISTS[fault]
    path = vfal_eva_folder(tmp_path, (4, 4, 4)) / "evals" / "test_verification.pkl"
    content = _load(path)
    voice, face, _ = content["list"][0]
    content["list"].append([voice.replace(voice.split("/")[0], name, 1) if name == "Nobody" else
                            f"{name}/vid{name}0/00000.wav", face, 0])  # fmt: skip
    save(path, content)
    (task,) = PROTOCOLS.open("vfal-eva").read(tmp_path)
    with pytest.raises(InputError, match=told) as raised:
        check(task)
    assert "--" not in str(raised.value)


def test_a_long_vector_is_scaled_to_unit_norm(tmp_path):
    """Its square is beyond float32."""
    folder = vfal_eva_folder(tmp_path, (4, 4, 4))
    (plain,) = PROTOCOLS.open("vfal-eva").read(folder)
    faces = _load(folder / "face_input.pkl")
    save(folder / "face_input.pkl", {name: vector * np.float32(2.0**100) for name, vector in faces.items()})
    (found,) = PROTOCOLS.open("vfal-eva").read(folder)
    np.testing.assert_allclose(found.train.faces, plain.train.faces, atol=1e-6)


def test_vectors_that_are_all_the_same_are_named(tmp_path):
    folder = vfal_eva_folder(tmp_path, (6, 4, 4))
    save(folder / "face_input.pkl", {name: np.ones(3) for name in _load(folder / "face_input.pkl")})
    (task,) = PROTOCOLS.open("vfal-eva").read(folder)
    with pytest.raises(InputError, match="training data: the face vectors of all clips are the same"):
        trained(task)


def test_a_version_is_the_last_folder_of_that_name_and_a_number_is_a_person_however_written(tmp_path, tasks):
    folder = fame_folder(tmp_path / "v7")
    path = folder / "v2" / "English" / "English_voices_train.csv"
    path.write_text(path.read_text().replace(",3\n", ",3.000e+00\n"))
    task, _ = PROTOCOLS.open("fame").read(folder)
    assert task.part == "v2"
    np.testing.assert_array_equal(task.train.identity, tasks["fame"][0].train.identity)


def test_an_unheard_test_named_by_the_training_language_is_an_error(tmp_path):
    here = fame_folder(tmp_path) / "v2" / "English"
    (here / "Hindi_faces_unheard_test.csv").rename(here / "English_faces_unheard_test.csv")
    with pytest.raises(InputError, match="found the training language in its name, expected that of the trials"):
        PROTOCOLS.open("fame").read(tmp_path)


def test_labels_are_never_those_of_a_folder_whose_name_only_begins_alike(tmp_path):
    fame_folder(tmp_path, "v2")
    (fame_folder(tmp_path, "v20") / "v20" / "Hindi_test.txt").unlink()
    with pytest.raises(InputError, match=r"v20/English: found no Hindi_test.txt in it or above it"):
        PROTOCOLS.open("fame").read(tmp_path)


def test_lists_without_labels_give_scores_to_submit(tmp_path, tasks):
    fame_folder(tmp_path)
    path = tmp_path / "v2" / "Hindi_test.txt"
    path.write_text("".join(f"key{n} voices/Hindi/{n:05}.wav faces/Hindi/{n:05}.jpg\n" for n in range(120)))
    task, _ = PROTOCOLS.open("fame").read(tmp_path)
    model = trained(task)
    figures = {name: figure.value for name, figure in measure(model, task).items()}
    assert list(figures) == ["EER English to English"]
    assert set(means([task], figures).values()) == set(figures.values())
    ((name, text),) = submissions(model, task).items()
    assert name == "sub_score_v2_Hindi_unheard.txt"
    keys, far = zip(*(line.split() for line in text.splitlines()), strict=True)
    assert keys == tuple(f"key{n}" for n in range(120))
    labelled = next(test for test in tasks["fame"][0].tests if test.subgroup == "English to Hindi")
    rate = measure(model, tasks["fame"][0])["EER English to Hindi"].value
    assert rate == pytest.approx(_equal_error_rate(labelled.trials.same, -np.array(far, float)), abs=1e-4)


def test_a_list_whose_files_are_in_no_folder_is_named(tmp_path):
    folder = self_lifting_folder(tmp_path, (12, 4, 4))
    place = folder / "eval" / "valid_verification.pkl"
    save(place, {"list": [("a.wav", "b.jpg", 1)], "wav_set": ["a.wav"], "jpg_set": ["b.jpg"]})
    with pytest.raises(InputError, match=r"found the file 'b\.jpg', expected it in the folder of its video"):
        PROTOCOLS.open("self-lifting").read(folder)


def test_a_training_video_of_somebody_in_the_test_is_an_error(tmp_path):
    folder = self_lifting_folder(tmp_path, (4, 4, 4))
    tables = {name: _load(folder / "cluster" / f"{name}.pkl") for name in ("movie2wav_path", "train_movie_list")}
    tested = next(iter(_load(folder / "eval" / "test_verification.pkl")["wav_set"]))
    tables["movie2wav_path"][tables["train_movie_list"][0]] = [tested]
    save(folder / "cluster" / "movie2wav_path.pkl", tables["movie2wav_path"])
    with pytest.raises(InputError, match=f"is of {tested.split('/')[0]}, who is in the test"):
        PROTOCOLS.open("self-lifting").read(folder)


def test_an_archive_that_would_grow_without_end_and_what_is_none_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("face_input.pkl", bytes(10_000_000))
    (tmp_path / "text.zip").write_text("no archive")
    expected = {
        "bomb.zip": "face_input.pkl' would grow",
        "text.zip": "expected a folder or a zip",
        "no": "expected a folder",
    }
    for name, named in expected.items():
        with pytest.raises(InputError, match=named):
            PROTOCOLS.open("vfal-eva").read(tmp_path / name)


def test_a_training_video_without_a_name_is_named(tmp_path):
    folder = self_lifting_folder(tmp_path, (4, 4, 4))
    save(folder / "cluster" / "train_movie_list.pkl", [["vid"]])
    with pytest.raises(InputError, match=r"train_movie_list.pkl: found \['vid'\], expected the name of a video"):
        PROTOCOLS.open("self-lifting").read(folder)


def test_published_figures_are_rates_with_a_source():
    for name in ("vfal-eva", "fame"):
        for row in PROTOCOLS.open(name).published:
            assert "github.com" in row.source
            assert row.figures
            assert all(0 < value < 1 for value in row.figures.values())
    whole = [row for row in PROTOCOLS.open("fame").published if len(row.figures) == 5]
    for row in whole:  # the published means are means of the published rates, as printed
        *rates, mean = row.figures.values()
        assert np.mean(rates) == pytest.approx(mean, abs=1e-3)
