"""Published lists of trials, read, matched with vectors, and scored.

Tolerances: float32 scores, of which a pair may tie or swap.
"""

import gzip
import itertools
import pickle

import numpy as np
import pytest

from vclip.association.hashes import hashes_of
from vclip.association.metrics import ScoredTrials, auc, equal_error_rate
from vclip.association.trials.evaluation import evaluate_trials
from vclip.association.trials.features import Features, features_of, read_features
from vclip.association.trials.lists import read_names, read_trials
from vclip.errors import InputError

META = (
    "VoxCeleb1_ID,VGGFace1_ID,Gender,Nationality,Set\n"
    "id1,Ann_A,f,India,dev\nid2,Bob_B,m,USA,dev\nid3,Cy_C,m,USA,dev\n"
)
LINES = "id1/v/1.wav Ann_A/1.jpg\nid1/v/1.wav Bob_B/7.jpg\nid2/w/2.wav Bob_B/7.jpg\nid3/x/3.wav Ann_A/1.jpg\n"


class _AsTheyAre:
    """A model whose vectors are in one space already."""

    face_space, voice_space = "test/faces", "test/voices"
    seen = np.zeros(0, np.int64)

    def embed_faces(self, x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    embed_voices = embed_faces


@pytest.fixture
def files(tmp_path):
    (tmp_path / "meta.csv").write_text(META)
    (tmp_path / "list.txt").write_text(LINES)
    return tmp_path


def test_a_text_list_is_read_and_labelled_by_its_metadata(files):
    trials = read_trials(files / "list.txt", files / "meta.csv")
    assert (trials.voices, trials.faces) == (
        ["id1/v/1.wav", "id2/w/2.wav", "id3/x/3.wav"],
        ["Ann_A/1.jpg", "Bob_B/7.jpg"],
    )
    assert trials.voice.tolist() == [0, 0, 1, 2]
    assert trials.face.tolist() == [0, 1, 1, 0]
    assert trials.same.tolist() == [True, False, True, False]
    assert trials.face_identity.tolist() == ["id1", "id2"]


@pytest.mark.parametrize("kind", ["gzip", "pictures first", "tabs", "names are ids"])
def test_the_same_list_in_other_writing(files, kind):
    expected = read_trials(files / "list.txt", files / "meta.csv")
    path, meta = files / "other.txt", files / "meta.csv"
    if kind == "gzip":
        path = files / "other.txt.gz"
        path.write_bytes(gzip.compress(LINES.encode()))
    elif kind == "pictures first":
        path.write_text("".join(" ".join(line.split()[::-1]) + "\n" for line in LINES.splitlines()))
    elif kind == "tabs":
        path.write_text(LINES)
        meta.write_text(META.replace(",", "\t").replace("_ID", " ID"))
    else:
        path.write_text(LINES.replace("Ann_A", "id1").replace("Bob_B", "id2"))
        meta = None
    found = read_trials(path, meta)
    assert found.same.tolist() == expected.same.tolist()
    assert (found.voice.tolist(), found.face.tolist()) == (expected.voice.tolist(), expected.face.tolist())


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("id1/v/1.wav Ann_A/1.jpg\nnonsense\n", "line 2: found 'nonsense', expected an audio file and an image"),
        ("a.wav b.wav\n", "line 1"),
        ("a.wav b.jpg c.jpg\n", "line 1"),
        ("\n", "none of 0 trials are of one person"),
        ("", "none of 0 trials are of one person"),
        ("id1/v/1.wav Ann_A/1.jpg\n", "all of 1 trials are of one person"),
    ],
)
def test_what_is_no_list_is_an_error(files, content, named):
    (files / "bad.txt").write_text(content)
    with pytest.raises(InputError, match=named):
        read_trials(files / "bad.txt", files / "meta.csv")


def test_a_list_without_its_metadata_a_torn_one_and_none_are_errors(files):
    with pytest.raises(InputError, match=r"none of 4 trials are of one person; .*Give the metadata"):
        read_trials(files / "list.txt")
    (files / "torn.gz").write_bytes(gzip.compress(LINES.encode())[:-12])
    (files / "text.gz").write_text(LINES)
    for name in ("torn.gz", "text.gz", "none.txt"):
        with pytest.raises(InputError, match=f"{name}: cannot read this trial list"):
            read_trials(files / name, files / "meta.csv")
    (files / "bad.csv").write_text("id,name\n1,2\n")
    with pytest.raises(InputError, match="found the columns id, name, expected VoxCeleb1 ID and VGGFace1 ID"):
        read_names(files / "bad.csv")
    with pytest.raises(InputError, match="cannot read this table"):
        read_names(files / "none.csv")


def _features(names, dim=6, seed=0):
    rng = np.random.default_rng(seed)
    return features_of({name: rng.normal(size=dim).astype(np.float32) for name in names}, "made up")


def _planted_trials(people=12, clips=3, seed=0):
    """Self-Lifting's verification list of planted people, and vectors that tell them roughly apart."""
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(people, 6))
    wavs = [f"id{p:02}/v{c}/1.wav" for p in range(people) for c in range(clips)]
    jpgs = [f"Name_{p:02}/{c}.jpg" for p in range(people) for c in range(clips)]
    whose = np.repeat(np.arange(people), clips)
    faces, voices = ((causes[whose] + 1.5 * rng.normal(size=(len(whose), 6))).astype(np.float32) for _ in "fv")
    rows = [(wavs[i], jpgs[j], int(whose[i] == whose[j])) for i, j in itertools.product(range(len(wavs)), repeat=2)]
    return rows, dict(zip(jpgs, faces, strict=True)), dict(zip(wavs, voices, strict=True))


def _pickled(path, data):
    path.write_bytes(pickle.dumps(data))
    return path


def test_a_verification_pickle_is_scored_as_by_hand(tmp_path):
    rows, faces, voices = _planted_trials()
    path = _pickled(tmp_path / "t.pkl", {"list": rows, "jpg_set": set(faces), "wav_set": set(voices)})
    found = evaluate_trials(
        _AsTheyAre(), read_trials(path), features_of(faces, "f"), features_of(voices, "v"), draws=50
    )
    cosines = np.array(
        [faces[j] @ voices[i] / np.linalg.norm(faces[j]) / np.linalg.norm(voices[i]) for i, j, _ in rows]
    )
    expected = ScoredTrials(cosines.astype(np.float32), np.array([label for *_, label in rows]) == 1)
    assert found.verification.auc.value == pytest.approx(auc(expected), abs=1e-6)
    assert found.verification.eer.value == pytest.approx(equal_error_rate(expected), abs=1e-6)
    assert found.verification.auc.low < found.verification.auc.value < found.verification.auc.high
    assert (found.people, found.trials, found.left_out, found.voices, found.faces) == (12, 36 * 36, 0, 36, 36)
    assert found.matching is found.retrieval is None


def test_matching_pickles_are_scored_as_by_hand(tmp_path):
    _, faces, voices = _planted_trials()
    rng = np.random.default_rng(0)
    wavs, jpgs = list(voices), list(faces)
    six, lists = [], []
    for _ in range(80):
        picked = rng.permutation(12)[:4]
        clips = 3 * picked + rng.integers(3, size=4)
        six.append(("a", wavs[clips[0]], jpgs[clips[0]], "b", wavs[clips[1]], jpgs[clips[1]]))
        lists.append(([wavs[i] for i in clips], [jpgs[i] for i in clips]))
    model, sides = _AsTheyAre(), (features_of(faces, "f"), features_of(voices, "v"))

    def cosine(wav, jpg):
        return faces[jpg] @ voices[wav] / np.linalg.norm(faces[jpg]) / np.linalg.norm(voices[wav])

    found = evaluate_trials(model, read_trials(_pickled(tmp_path / "6.pkl", {"match_list": six})), *sides, draws=20)
    v2f = np.mean([cosine(v1, f1) > cosine(v1, f2) for _, v1, f1, _, _, f2 in six])
    f2v = np.mean([cosine(v1, f1) > cosine(v2, f1) for _, v1, f1, _, v2, _ in six])
    assert found.matching["v2f"]["1:2"].value == pytest.approx(v2f)
    assert found.matching["f2v"]["1:2"].value == pytest.approx(f2v)
    assert found.verification is None

    found = evaluate_trials(model, read_trials(_pickled(tmp_path / "n.pkl", {"match_list": lists})), *sides, draws=20)
    assert list(found.matching["v2f"]) == ["1:2", "1:3", "1:4"]
    for n in (2, 3, 4):
        best = [np.argmax([cosine(ws[0], f) for f in fs[:n]]) == 0 for ws, fs in lists]
        assert found.matching["v2f"][f"1:{n}"].value == pytest.approx(np.mean(best))


def test_a_tie_in_a_matching_list_is_a_guess(tmp_path):
    names = ["id1/a/1.wav", "id2/b/1.wav", "id3/c/1.wav"], ["A/1.jpg", "B/1.jpg", "C/1.jpg"]
    same = [features_of({name: np.ones(3, np.float32) for name in side}, "x") for side in names[::-1]]
    path = _pickled(tmp_path / "n.pkl", {"match_list": [names]})
    found = evaluate_trials(_AsTheyAre(), read_trials(path), *same, draws=5)
    assert [figure.value for figure in found.matching["f2v"].values()] == pytest.approx([1 / 2, 1 / 3])


def test_a_retrieval_pickle_is_the_mean_over_its_lists(tmp_path):
    from sklearn.metrics import average_precision_score

    _, faces, voices = _planted_trials()
    triples = [(wav, jpg, wav[:4]) for wav, jpg in zip(voices, faces, strict=True)]
    lists = [triples[:20], triples[15:]]
    path = _pickled(tmp_path / "r.pkl", {"retrieval_lists": lists})
    found = evaluate_trials(
        _AsTheyAre(), read_trials(path), features_of(faces, "f"), features_of(voices, "v"), draws=20
    )
    expected = []
    for rows in lists:
        v, f = (np.array([side[row[k]] for row in rows]) for k, side in enumerate((voices, faces)))
        v, f = v / np.linalg.norm(v, axis=1, keepdims=True), f / np.linalg.norm(f, axis=1, keepdims=True)
        names = np.array([row[2] for row in rows])
        same = names[:, None] == names
        expected.append(np.mean([average_precision_score(same[i], (v @ f.T)[i]) for i in range(len(rows))]))
    assert found.retrieval["v2f"]["map"].value == pytest.approx(np.mean(expected), abs=1e-6)
    assert found.retrieval["v2f"]["map"].low < found.retrieval["v2f"]["map"].high


@pytest.mark.parametrize(
    "data",
    [
        {}, [], {"list": []}, {"list": [("a.wav", "b.jpg")]}, {"list": [("a", "b", 2), ("a", "c", 0)]},
        {"list": [(1, 2, 1)]}, {"list": [("a", "b", 1)], "match_list": [("n", "a", "b", "m", "c", "d")]},
        {"match_list": [("n", "a", "b")]}, {"match_list": [(["a"], ["b"])]}, {"match_list": [("ab", "cd")]},
        {"retrieval_lists": [[("a", "b")]]}, {"retrieval_lists": [7]}, {"list": 5}, {"list": np.array(5)},
        {"list": [("a.wav", "b.jpg", 1), ("a.wav", "c.jpg", 0.9)]},
    ],
    ids=str,
)  # fmt: skip
def test_a_pickle_of_something_else_is_an_error(data, tmp_path):
    with pytest.raises(InputError, match=r"t\.pkl: (found|its)"):
        read_trials(_pickled(tmp_path / "t.pkl", data))


def test_trials_without_vectors_are_an_error_or_left_out_and_counted(files):
    trials = read_trials(files / "list.txt", files / "meta.csv")
    faces, voices = _features(trials.faces), _features(trials.voices[:2])
    with pytest.raises(
        InputError, match=r"1 of 4 trials lack a vector: 1 of 3 voices have none, as 'id3/x/3.wav'; .*--partial"
    ):
        evaluate_trials(_AsTheyAre(), trials, faces, voices)
    found = evaluate_trials(_AsTheyAre(), trials, faces, voices, partial=True, draws=5)
    assert (found.trials, found.left_out, found.people) == (3, 1, 2)
    with pytest.raises(InputError, match="all of 1 trials are of one person; expected some of each"):
        evaluate_trials(_AsTheyAre(), trials, faces, _features(["id2/w/2.wav"]), partial=True)
    with pytest.raises(InputError, match="no trial has a face vector and a voice vector: 2 of 2 faces have none"):
        evaluate_trials(_AsTheyAre(), trials, _features(["x"]), voices, partial=True)


def test_people_of_the_training_or_the_cohort_are_refused(files, planted):
    trials = read_trials(files / "list.txt", files / "meta.csv")
    sides, model = (_features(trials.faces), _features(trials.voices)), _AsTheyAre()
    cohort = planted(people=3)
    cohort.identity[2:4] = "id2"
    with pytest.raises(InputError, match="the cohort and the trials share identity 'id2'"):
        evaluate_trials(model, trials, *sides, cohort=cohort)
    cohort.identity[2:4] = "id0"
    rng = np.random.default_rng(0)
    sizes = ((trials.faces, cohort.faces.shape[1]), (trials.voices, cohort.voices.shape[1]))
    long = [features_of({n: rng.normal(size=d).astype("f4") for n in names}, "made up") for names, d in sizes]
    cohort.voices[4] = 2 * long[1].vectors[1]
    with pytest.raises(InputError, match=r"share voice 'id2/w/2.wav' \(cosine 1.0000\)"):
        evaluate_trials(model, trials, *long, cohort=cohort)
    model.seen = hashes_of("identity", np.array(["id3"]))
    with pytest.raises(InputError, match="identity 'id3' was in the model's training"):
        evaluate_trials(model, trials, *sides)
    with pytest.raises(InputError, match="identity 'id1' was not in the model's training"):
        evaluate_trials(model, trials, *sides, seen=True)
    model.seen = hashes_of("identity", np.array(["id1", "id2", "id3"]))
    assert evaluate_trials(model, trials, *sides, seen=True, draws=5).seen


def test_features_are_found_by_name_or_by_the_end_of_one_name():
    features = Features({"/data/id1/a/1.wav": 0, "/data/id2/a/1.wav": 1, "b.wav": 2}, np.zeros((3, 2), np.float32))
    names = ["/data/id1/a/1.wav", "id2/a/1.wav", "a/1.wav", "b.wav", "c.wav"]
    assert features.find(names).tolist() == [0, 1, -1, 2, -1]


def test_a_row_of_several_views_is_scored_by_the_mean_of_them(tmp_path):
    rng = np.random.default_rng(0)
    faces = Features(
        {"id1/1.jpg": 1, "id2/1.jpg": 0, "alias.jpg": 1}, rng.normal(size=(5, 4)), np.array([1, 0, 1, 1, 0])
    )
    vectors, index = faces.of_rows(np.array([1, 0, 1]))
    np.testing.assert_array_equal(vectors, faces.vectors[[0, 2, 3, 1, 4, 0, 2, 3]])
    assert index.tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    voices = _features(["id1/1.wav"], 4)
    path = _pickled(tmp_path / "t.pkl", {"list": [("id1/1.wav", "id1/1.jpg", 1), ("id1/1.wav", "id2/1.jpg", 0)]})
    found = evaluate_trials(_AsTheyAre(), read_trials(path), faces, voices, draws=5)
    unit = faces.vectors / np.linalg.norm(faces.vectors, axis=1, keepdims=True)
    means = unit[[0, 2, 3]].sum(0), unit[[1, 4]].sum(0)
    true, other = (mean @ voices.vectors[0] / np.linalg.norm(mean) for mean in means)
    assert found.verification.auc.value == float(true > other)


def test_features_of_every_kind_of_file_are_one(tmp_path):
    vectors = {f"a/{i}.jpg": np.random.default_rng(i).normal(size=4).astype(np.float32) for i in range(3)}
    _pickled(tmp_path / "f.pkl", vectors)
    np.savez(tmp_path / "names.npz", names=np.array(list(vectors)), vectors=np.stack(list(vectors.values())))
    np.savez(tmp_path / "dict.npz", **vectors)
    for name in ("f.pkl", "names.npz", "dict.npz"):
        found = read_features(tmp_path / name)
        for key, vector in vectors.items():
            np.testing.assert_array_equal(found.vectors[found.row_of[key]], vector)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({}, "found no vector"),
        ([1], "found list, expected a dict"),
        ({"a": np.zeros(3), "b": np.zeros(4)}, "vector 'b' has 4 numbers, expected 3"),
        ({"a": np.zeros(3), "b": np.array([0, np.nan, 0])}, "vector 'b' holds NaN or infinity"),
        ({"a": "text"}, "vector 'a' is of type str, expected"),
        ({"a": np.zeros((2, 2))}, "vector 'a' is of type ndarray"),
        ({1: np.zeros(3)}, "has the name 1, expected a text"),
        ({"a": np.array(["x", "y"])}, "expected a list or array of numbers"),
        ({"a": np.array([1 + 1j, 2])}, "expected a list or array of numbers"),
    ],
)
def test_bad_features_are_errors(content, named, tmp_path):
    with pytest.raises(InputError, match=named):
        read_features(_pickled(tmp_path / "f.pkl", content))


def test_features_that_cannot_be_read_are_errors(tmp_path):
    (tmp_path / "text.npz").write_text("no numpy")
    np.savez(tmp_path / "objects.npz", a=np.array([None, 1], object))
    np.savez(tmp_path / "twice.npz", names=np.array(["a", "a"]), vectors=np.zeros((2, 3)))
    np.savez(tmp_path / "shapes.npz", names=np.array(["a"]), vectors=np.zeros((2, 3)))
    for name, named in (("text", "cannot read"), ("objects", "cannot read"), ("none", "cannot read"),
                        ("twice", "vectors 1 and 2 both have the name 'a'"), ("shapes", "expected")):  # fmt: skip
        with pytest.raises(InputError, match=named):
            read_features(tmp_path / f"{name}.npz")


@pytest.mark.shared
@pytest.mark.parametrize(("name", "lines"), [("v2f", 65_550), ("g_v2f", 65_550), ("f2v", 60_228), ("g_f2v", 60_228)])
def test_the_published_lists(shared, name, lines):
    folder = shared / "data" / "trials"
    trials = read_trials(folder / f"verify_{name}_test.txt.gz", folder / "vox1_test.csv")
    assert len(trials) == lines
    assert 0.49 < trials.same.mean() < 0.51
    assert len(set(trials.voice_identity)) == len(set(trials.face_identity)) == 189
    if name.startswith("g_"):
        rows = [row.split(",") for row in (folder / "vox1_test.csv").read_text().splitlines()[1:]]
        gender = {row[0]: row[2] for row in rows}
        for voice, face in zip(trials.voice, trials.face, strict=True):
            assert gender[trials.voice_identity[voice]] == gender[trials.face_identity[face]]
    found = evaluate_trials(
        _AsTheyAre(), trials, _features(trials.faces, 64), _features(trials.voices, 64, 1), draws=5
    )
    assert found.verification.auc.value == pytest.approx(0.5, abs=0.01)


TEXTS = {
    "a mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "blank lines": lambda text: ("\n" + text + "\n \n").encode(),
    "windows": lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(),
    "old mac": lambda text: text.replace("\n", "\r").encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
}


@pytest.mark.parametrize("written", TEXTS)
def test_a_list_is_read_however_its_editor_wrote_it(tmp_path, written):
    for name, write in {"plain": str.encode, "odd": TEXTS[written]}.items():
        (tmp_path / f"{name}.txt").write_bytes(write(LINES))
        (tmp_path / f"{name}.csv").write_bytes(write(META))
    plain, odd = (read_trials(tmp_path / f"{name}.txt", tmp_path / f"{name}.csv") for name in ("plain", "odd"))
    assert (odd.voices, odd.faces, odd.same.tolist()) == (plain.voices, plain.faces, plain.same.tolist())


@pytest.mark.parametrize("names", [["Jose\u0301/1.jpg", "b.jpg"], [b"Jose\xcc\x81/1.jpg", b"b.jpg"]])
def test_names_of_vectors_are_text_or_bytes_and_compared_in_one_normal_form(tmp_path, names):
    np.savez(tmp_path / "f.npz", names=np.array(names), vectors=np.eye(2, 3))
    features = read_features(tmp_path / "f.npz")
    assert features.find(["Jos\xe9/1.jpg", "Jose\u0301/1.jpg", "b.jpg", "c.jpg"]).tolist() == [0, 0, 1, -1]


def test_names_that_were_written_on_windows_have_the_same_parts(tmp_path):
    """Each file would be a person of its own: the intervals would be too narrow, and leaks not found."""
    rows = [("p\\v\\1.wav", "p\\v\\1.jpg", 1), ("p\\w\\2.wav", b"q\\v\\1.jpg", 0)]
    trials = read_trials(_pickled(tmp_path / "t.pkl", {"list": rows}))
    assert (trials.voice_identity.tolist(), trials.face_identity.tolist()) == (["p", "p"], ["p", "q"])
    assert _features(trials.faces).find(["p\\v\\1.jpg", "q/v/1.jpg"]).tolist() == [0, 1]
