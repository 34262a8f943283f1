"""`vclip evaluate` and `vclip compare` on stores of made-up vectors, where every figure is known in full.

Tolerances: float32 scores, of which a few pairs may tie or swap.
"""

import gzip
import json
import os
import pickle
from html.parser import HTMLParser

import numpy as np
import pytest

import stores
from stores import Store, VideoRows
from tests.support.vclip_command import tree
from vclip import TrainConfig, train
from vclip.association.evaluation import evaluate
from vclip.association.model import AssociationModel
from vclip.association.pairs import Pairs

FACES, VOICES = {"made-up/faces": 16}, {"made-up/voices": 12}
RUN = "20260101T000000000000-00000001"
BOX = (0.1, 0.2, 0.5, 0.75)


def _rows(video, uri, face, voice, identity, labels):
    """A video of one clip of one face and one voice."""
    clip = stores.clip_id(video, 0.0, BOX)
    common = {"clip_id": clip, "start_s": 0.0, "end_s": 3.0}
    quality = dict.fromkeys(("sharpness", "frontality", "exposure", "quality"), 0.5)
    return VideoRows(
        {"video_id": video, "uris": [uri], "state": "done", "run_id": RUN, "config_hash": "a"},
        [common | {"video_uri": uri, "box": BOX, "speaking_score": 1.0, "identity": identity, "labels": labels}],
        [
            {"face_id": stores.face_id(clip, 0.0), "clip_id": clip, "time_s": 0.0, "box": BOX, "size_px": 100.0}
            | quality
            | {"image": b"jpeg", "vectors": {"made-up/faces": face.astype(np.float32)}}
        ],
        [
            common
            | {"voice_id": stores.voice_id(clip, 0.0, 3.0), "speech_ratio": 1.0, "snr_db": 20.0, "audio": b"flac"}
            | {"vectors": {"made-up/voices": voice.astype(np.float32)}}
        ],
    )


def _people(people, seed, name="id", labels=True, moved=0.0):
    """People with two clips each, whose faces and voices share a cause; a clip is of NAME/k.jpg + .wav.

    All faces are `moved` alike.
    """
    cause_to, rng = np.random.default_rng(0), np.random.default_rng([1, seed])
    to_face, to_voice = cause_to.normal(size=(6, 16)), cause_to.normal(size=(6, 12))
    batch = []
    for person in range(people):
        cause, who = rng.normal(size=6), f"{name}{person:03}"
        gender = "f" if cause[0] > 0 else "m"
        known = {"gender": gender, "nationality": "ABC"[person % 3], "age": str(20 + person)} if labels else {}
        for clip in range(2):
            face, voice = (cause @ to + 1.5 * rng.normal(size=to.shape[1]) for to in (to_face, to_voice))
            files = f"/data/{who}/{clip}.jpg + /data/{who}/{clip}.wav"
            batch.append(_rows(f"{who}-{clip}", files, face + moved, voice, who, known))
    return batch


def _store(uri, *of, **made):
    """A store of `_people`."""
    Store.create(str(uri), faces=FACES, voices=VOICES).commit(_people(*of, **made))
    return str(uri)


def _model(folder, store, seed=0):
    config = TrainConfig(max_steps=0, device="cpu", seed=seed)
    model, _ = train(Pairs.of(Store.open(store).pairs()), *FACES, *VOICES, config)
    return model.save(folder, {})


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Stores of the training, the test, a cohort and a bare one without labels; two models, of good and poor data."""
    root = tmp_path_factory.mktemp("evaluation")
    world = {
        "training": _store(root / "training", 80, 1, "train"),
        "test": _store(root / "test", 40, 2, "test"),
        "cohort": _store(root / "cohort", 50, 3, "other"),
        "bare": _store(root / "bare", 12, 4, "bare", labels=False),
        "few": _store(root / "few", 8, 5, "few"),
        "root": root,
    }
    world["model"] = _model(root / "model", world["training"])
    world["poor"] = _model(root / "poor", world["few"])
    return world


def _json(said):
    assert said.code == 0, said.err
    return json.loads(said.out, parse_constant=pytest.fail)


class _Page(HTMLParser):
    """Collects a page's text and the addresses that it asks for; fails where tags do not match."""

    def __init__(self, text):
        super().__init__()
        self.text, self.addresses, self.open = "", [], []
        self.feed(text)
        assert self.open in ([], ["html"])

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_evaluate_writes_what_it_prints_and_shows_it_on_a_page(world, vclip, tmp_path):
    out = tmp_path / "out"
    result = _json(vclip("evaluate", "--store", world["test"], "--model", world["model"], "--out", out, "--json"))
    assert result == json.loads((out / "evaluation.json").read_text())
    expected = evaluate(AssociationModel.load(world["model"]), Pairs.of(Store.open(world["test"]).pairs())).to_json()
    assert {name: result[name] for name in expected} == expected
    assert len(result["subgroups"]) == 5
    assert {path.name for path in out.iterdir()} == {
        "evaluation.json", "report.html", "roc.png", "scores.png", "matching.png",
    }  # fmt: skip
    page = _Page((out / "report.html").read_text())
    assert len(page.addresses) == 3
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    for subgroup in result["subgroups"].values():
        assert f"{subgroup['verification']['auc']['value']:.3f}" in page.text
    for words in ("same gender and nationality", "mean average precision", "1:10", "80 clips", str(world["model"])):
        assert words in page.text
    assert "had a part" not in page.text


def test_evaluate_for_people_is_tables(world, vclip):
    said = vclip("evaluate", "--store", world["bare"], "--model", world["model"])
    assert said.code == 0
    for words in ("unrestricted", "1:2", "mAP", "R@10", "24 clips of 12 people", "400 draws"):
        assert words in said.out
    assert "not measured, same gender: no clip has the label" in said.out


def test_a_cohort_changes_the_scores_and_is_named(world, vclip, tmp_path):
    command = ("evaluate", "--store", world["test"], "--model", world["model"], "--json")
    plain = _json(vclip(*command))
    normalised = _json(vclip(*command, "--cohort", world["cohort"], "--out", tmp_path / "out"))
    assert (plain["cohort_clips"], normalised["cohort_clips"]) == (0, 100)
    assert normalised["auc"] != plain["auc"]
    assert normalised["made_by"]["cohort"] == world["cohort"]
    assert "normalised against 100 clips" in (tmp_path / "out" / "report.html").read_text()
    some = _json(vclip(*command, "--cohort", world["cohort"], "--cohort-where", "gender = 'f'", "--cohort-top", 5))
    assert 0 < some["cohort_clips"] < 100
    assert some["auc"] not in (plain["auc"], normalised["auc"])


def test_a_tag_gives_the_figures_of_then(world, vclip, tmp_path):
    store = _store(tmp_path / "grows", 20, 6, "early")
    Store.open(store).tag("paper")
    evaluated = ("evaluate", "--store", store, "--model", world["model"], "--json")
    compared = ("compare", world["poor"], world["model"], "--store", store, "--json")
    then = [_json(vclip(*command)) for command in (evaluated, compared)]
    Store.open(store).commit(_people(20, 7, "late"))
    now = [_json(vclip(*command)) for command in (evaluated, compared)]
    assert [result["clips"] for result in (*then, *now)] == [40, 40, 80, 80]
    tagged = [_json(vclip(*command, "--tag", "paper")) for command in (evaluated, compared)]
    for result, before in zip(tagged, then, strict=True):
        assert result["made_by"].pop("store_at") == "paper"
        assert result == before
    assert "--tag paper and --version" in vclip(*evaluated, "--tag", "paper", "--version", "{}").err


def test_seen_people_are_measured_when_asked_and_marked(world, vclip, tmp_path):
    command = ("evaluate", "--store", world["training"], "--model", world["model"], "--out", tmp_path / "out")
    assert "was trained on everyone in it" in vclip(*command).err
    said = vclip(*command, "--seen")
    assert said.code == 0
    assert "evaluating on 160 of 160 clips" in said.err
    assert "SEEN in training" in " ".join(said.out.split())  # a long path wraps the title
    assert "The model was trained on these people" in (tmp_path / "out" / "report.html").read_text()
    said = vclip("evaluate", "--store", world["test"], "--model", world["model"], "--seen")
    assert (said.code, said.out) == (2, "")
    assert "was trained on nobody in it" in said.err


def test_unknown_training_people_are_a_warning_wherever_figures_are_shown(world, vclip, tmp_path):
    model = AssociationModel.load(world["model"])
    model.seen = np.zeros(0, np.int64)
    unknown = model.save(tmp_path / "unknown", {})
    warning = "unknown training people: the test may contain people that the model was trained on"
    for folder, warned in ((unknown, True), (world["model"], False)):
        command = ("evaluate", "--store", world["test"], "--model", folder, "--out", tmp_path / "out")
        said = vclip(*command)
        assert said.code == 0, said.err
        assert (f"WARNING: {warning}" in said.out) == warned
        assert (warning in (tmp_path / "out" / "report.html").read_text()) == warned
        found = json.loads((tmp_path / "out" / "evaluation.json").read_text())["warning"]
        assert (found or "").startswith(warning) == warned
        command = ("compare", folder, world["poor"], "--store", world["test"])
        assert (f"WARNING: {warning}" in vclip(*command).out) == warned
        assert bool(_json(vclip(*command, "--json"))["warning"]) == warned


def _with_a_stranger(world, name, face):
    """A store of strangers by name, one of whom has this face vector; its URI and the stranger's clip."""
    uri = str(world["root"] / name)
    _store(uri, 6, 9, "leak")
    voice = np.random.default_rng(0).normal(size=12)
    Store.open(uri).commit([_rows(name, f"{name}.mp4", face, voice, "a stranger", {})])
    return uri, stores.clip_id(name, 0.0, BOX)


@pytest.fixture(scope="module")
def trained_on(world):
    """A face vector of the training and its clip."""
    rows = Store.open(world["training"]).query("faces", ["clip_id", "vector_made_up_faces"])
    return np.array(rows["vector_made_up_faces"][0].as_py(), np.float32), rows["clip_id"][0].as_py()


def test_a_copy_of_a_training_clip_under_another_name_is_named_and_left_out(world, trained_on, vclip):
    """The model knows hashes of its training vectors, so no training store is needed."""
    uri, copy = _with_a_stranger(world, "copy", trained_on[0])
    said = vclip("evaluate", "--store", uri, "--model", world["model"], "--json")
    assert _json(said)["clips"] == 12
    assert f"of these, '{copy}' has a face or a voice of a training clip of another name" in said.err
    assert "left out 1 of 13 clips" in said.err
    said = vclip("evaluate", "--store", world["test"], "--model", world["model"])
    assert "of another name" not in said.err


def test_a_face_of_the_training_that_is_nearly_the_same_is_found(world, trained_on, vclip, tmp_path):
    face, original = trained_on
    uri, near = _with_a_stranger(world, "near", face + np.linalg.norm(face) * 0.03 * np.resize([1, -1], 16))
    command = ("evaluate", "--store", uri, "--model", world["model"], "--out", tmp_path / "out")
    said = vclip(*command, "--train-store", world["training"])
    assert (said.code, said.out) == (2, "")
    for words in ("the training and the test share face", near, original):
        assert words in said.err
    assert not (tmp_path / "out").exists()
    assert vclip(*command).code == 0  # it is no copy, and by names alone nothing is wrong
    said = vclip("evaluate", "--store", world["test"], "--model", world["model"], "--train-store", world["training"])
    assert said.code == 0, said.err
    said = vclip("evaluate", "--store", world["test"], "--model", world["model"], "--train-store", world["cohort"])
    assert "the model was trained on nobody in it" in said.err


def test_clips_of_one_person_are_scored_together(world, vclip):
    command = ("evaluate", "--store", world["test"], "--model", world["model"], "--json")
    one, two = (_json(vclip(*command, "--views", views)) for views in (1, 2))
    assert [(found["clips"], found["people"], found["galleries"]) for found in (one, two)] == [
        (80, 40, 10),
        (80, 40, 1),
    ]
    assert two["auc"] > one["auc"] + 0.02
    said = vclip(*command[:-1], "--views", 2)
    assert "80 clips of 40 people; the face and the voice of a person are over up to 2 clips, in 1 draw" in said.out
    assert "other clips: no draw has the face and the voice of a person from other clips" in said.out
    assert "nobody" not in said.err
    said = vclip(*command, "--views", 9)
    assert _json(said) == two | {"views": 9, "missing": two["missing"] | _json(said)["missing"]}
    assert "--views 9: nobody has more than 2 clips, so figures are those of --views 2" in said.err
    said = vclip("evaluate", "--model", world["model"], "--trials", "list.txt", "--views", 2)
    assert "found --views with --trials" in said.err


def test_a_store_of_another_domain_is_centred_on_when_asked(world, vclip, tmp_path):
    """Its vectors are those of the test, all moved alike."""
    moved, rng = str(tmp_path / "moved"), np.random.default_rng(0)
    _store(moved, 40, 2, "test", moved=rng.normal(size=16) * 3)
    command = ("evaluate", "--model", world["model"], "--json", "--store")
    plain, lost = (_json(vclip(*command, uri)) for uri in (world["test"], moved))
    said = vclip(*command, moved, "--centre")
    centred = _json(said)
    assert lost["auc"] < plain["auc"] - 0.05
    assert centred["auc"] == pytest.approx(plain["auc"], abs=0.03)
    assert (centred["made_by"]["centred_on"], "centred_on" in plain["made_by"]) == (moved, False)
    (warning,) = (line for line in said.err.splitlines() if "centred on 80 clips; with fewer than 100" in line)
    assert " WARNING " in warning  # so that --quiet shows it as well
    said = vclip(*command[:-1], "--trials", "list.txt", "--centre")
    assert "found --centre without --store" in said.err


def _trials(folder, world, people=40):
    """A list over the test store as VoxCeleb's are, with its metadata."""
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(600):
        a, b = rng.integers(people, size=2)
        b = a if rng.random() < 0.5 else b
        lines.append(f"test{a:03}/{rng.integers(2)}.wav Name_{b:03}/{rng.integers(2)}.jpg")
    (folder / "list.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    meta = ["VoxCeleb1 ID\tVGGFace1 ID", *(f"test{p:03}\tName_{p:03}" for p in range(people))]
    (folder / "meta.csv").write_text("\n".join(meta))
    return lines


def _vectors_by_name(world):
    """What a feature dictionary of the test store would be; faces under the names of the list."""
    pairs = Store.open(world["test"]).pairs()
    rows = Store.open(world["test"]).query("clips", ["clip_id", "video_uri"]).to_pylist()
    uris = {row["clip_id"]: row["video_uri"] for row in rows}
    files = [uris[clip].split(" + ") for clip in pairs["clip_id"].tolist()]
    faces = {files[c][0].removeprefix("/data/").replace("test", "Name_"): pairs["faces"][i]
             for i, c in enumerate(pairs["face_clip"])}  # fmt: skip
    voices = {files[c][1].removeprefix("/data/"): pairs["voices"][i] for i, c in enumerate(pairs["voice_clip"])}
    return faces, voices


def test_a_published_list_is_scored_by_features_or_by_the_store(world, vclip, tmp_path):
    lines = _trials(tmp_path, world)
    faces, voices = _vectors_by_name(world)
    (tmp_path / "faces.pkl").write_bytes(pickle.dumps(faces))
    np.savez(tmp_path / "voices.npz", names=np.array(list(voices)), vectors=np.stack(list(voices.values())))
    listed = ("--model", world["model"], "--trials", tmp_path / "list.txt.gz", "--trials-meta", tmp_path / "meta.csv")
    files = ("--face-features", tmp_path / "faces.pkl", "--voice-features", tmp_path / "voices.npz")
    out = tmp_path / "out"
    result = _json(vclip("evaluate", *listed, *files, "--out", out, "--json"))
    assert (result["trials"], result["left_out"]) == (600, 0)
    model = AssociationModel.load(world["model"])
    scores, same = [], []
    for line in lines:
        wav, jpg = line.split()
        scores.append(float(model.embed_faces(faces[jpg][None])[0] @ model.embed_voices(voices[wav][None])[0]))
        same.append(wav[4:7] == jpg[5:8])
    same, scores = np.array(same), np.array(scores)
    better = (scores[same][:, None] > scores[~same]).mean()
    assert result["verification"]["auc"]["value"] == pytest.approx(better, abs=1e-4)
    assert {path.name for path in out.iterdir()} == {"evaluation.json", "report.html", "roc.png", "scores.png"}
    assert "600 trials" in _Page((out / "report.html").read_text()).text
    # The same vectors out of the store: its voices are named as in the list, its faces as in a list of ids.
    (tmp_path / "ids.txt").write_text("\n".join(lines).replace("Name_", "test"))
    of_store = _json(
        vclip(
            "evaluate",
            "--model",
            world["model"],
            "--trials",
            tmp_path / "ids.txt",
            "--store",
            world["test"],
            "--json",
        )
    )
    assert of_store["verification"]["auc"]["value"] == pytest.approx(better, abs=1e-4)
    said = vclip("evaluate", *listed, *files)
    assert "trial list" in said.out
    assert "600 trials" in said.out


def test_trials_that_lack_a_vector_need_leave_to_be_left_out(world, vclip, tmp_path):
    _trials(tmp_path, world, people=44)
    faces, voices = _vectors_by_name(world)
    for name, vectors in (("faces", faces), ("voices", voices)):
        (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(vectors))
    command = ("evaluate", "--model", world["model"], "--trials", tmp_path / "list.txt.gz", "--trials-meta",
               tmp_path / "meta.csv", "--face-features", tmp_path / "faces.pkl", "--voice-features",
               tmp_path / "voices.pkl")  # fmt: skip
    said = vclip(*command)
    assert said.code == 2
    assert "trials lack a vector" in said.err
    said = vclip(*command, "--partial", "--json")
    result = _json(said)
    assert 0 < result["left_out"] == 600 - result["trials"] < 200
    assert f"left out {result['left_out']} trials" in said.err


class _Runs:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("option", ["--trials", "--face-features", "--voice-features"])
def test_a_malicious_pickle_runs_nothing_and_writes_nothing(world, vclip, tmp_path, option):
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps({"list": [_Runs(tmp_path / "mark")]}))
    _trials(tmp_path, world)
    (tmp_path / "good.pkl").write_bytes(pickle.dumps({"x": np.zeros(3)}))
    given = {"--trials": "list.txt.gz", "--trials-meta": "meta.csv", "--face-features": "good.pkl",
             "--voice-features": "good.pkl"} | {option: "bad.pkl"}  # fmt: skip
    options = [word for name, file in given.items() for word in (name, tmp_path / file)]
    before = tree(tmp_path)
    said = vclip("evaluate", "--model", world["model"], *options, "--out", tmp_path / "out")
    assert (said.code, said.out) == (2, "")
    assert "posix.system" in said.err
    assert "nothing of it has run" in said.err
    assert said.err.count("\n") == 1
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ((), "neither --store nor --trials"),
        (("--trials-meta", "x.csv", "--store", "TEST"), "--trials-meta without --trials"),
        (("--partial", "--store", "TEST"), "--partial without --trials"),
        (("--cohort-top", 5, "--store", "TEST"), "without --cohort"),
        (("--store", "TEST", "--where", "identity = 'test001'"), "people to evaluate on, found 1"),
        (("--store", "TEST", "--where", "identity = 'x'"), "found no face-voice pair"),
        (("--store", "TEST", "--cohort", "TEST"), "the cohort and the test share identity 'test000'"),
        (("--store", "TEST", "--cohort", "TEST", "--cohort-where", "identity = 'x'"), "no face-voice pair"),
        (("--trials", "none.txt"), "found no vectors; give --store"),
        (("--trials", "none.txt", "--store", "TEST"), "none.txt: cannot read this trial list"),
    ],
    ids=str,
)
def test_what_cannot_be_evaluated_is_one_line_and_writes_nothing(world, vclip, tmp_path, options, named):
    options = [world["test"] if word == "TEST" else word for word in options]
    said = vclip("evaluate", "--model", world["model"], "--out", tmp_path / "out", *options)
    assert (said.code, said.out) == (2, "")
    assert named in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_compare_tells_good_from_poor(world, vclip, tmp_path):
    command = ("compare", world["poor"], world["model"], "--store", world["test"])
    result = _json(vclip(*command, "--out", tmp_path / "out", "--json"))
    assert result == json.loads((tmp_path / "out" / "comparison.json").read_text())
    for name, folder in (("a", "poor"), ("b", "model")):
        alone = _json(vclip("evaluate", "--store", world["test"], "--model", world[folder], "--json"))
        assert result["auc"][name] == pytest.approx(alone["auc"])
        assert result["eer"][name] == pytest.approx(alone["eer"])
    assert result["auc"]["b"] > result["auc"]["a"] + 0.03
    assert 0 < result["auc"]["b_minus_a"]["low"] < result["auc"]["b_minus_a"]["high"]
    assert result["auc"]["p"] < 0.05
    said = vclip(*command)
    assert f"{result['auc']['b']:.3f}" in said.out
    assert "40 people; intervals and p from 2,000 draws" in " ".join(said.out.split())


def test_compare_leaves_out_whom_either_has_seen_and_refuses_spaces_that_the_store_lacks(world, vclip, tmp_path):
    said = vclip("compare", world["poor"], world["model"], "--store", world["training"])
    assert said.code == 2
    assert "was trained on everyone in it" in said.err
    other = AssociationModel.load(world["model"])
    other.face_space = "elsewhere"
    other.save(tmp_path / "other", {})
    said = vclip("compare", world["model"], tmp_path / "other", "--store", world["test"], "--out", tmp_path / "out")
    assert (said.code, said.out) == (2, "")
    assert "'made-up/faces', expected 'elsewhere'" in said.err
    assert not (tmp_path / "out").exists()


def test_a_store_of_two_face_spaces_is_trained_on_and_evaluated_in_one(vclip, tmp_path):
    both = {**FACES, "made-up/others": 10}
    rng = np.random.default_rng(0)
    for name, people in (("train", 30), ("test", 20)):
        store = Store.create(str(tmp_path / name), both, VOICES)
        batch = _people(people, people, name)
        for rows in batch:
            for face in rows.faces:
                face["vectors"]["made-up/others"] = rng.normal(size=10).astype(np.float32)
        store.commit(batch)
    given = ("train", "--store", tmp_path / "train", "--out", tmp_path / "m", "--set", "train.max_steps=2")
    said = vclip(*given)
    assert said.code == 2
    assert "'made-up/faces', 'made-up/others', found no --face-space; name one of these with --face-space" in said.err
    assert vclip(*given, "--face-space", "made-up/faces").code == 0
    assert AssociationModel.load(tmp_path / "m").face_space == "made-up/faces"
    others = ("train", "--store", tmp_path / "train", "--out", tmp_path / "o", "--set", "train.max_steps=2")
    assert vclip(*others, "--face-space", "made-up/others").code == 0
    compared = _json(vclip("compare", tmp_path / "o", tmp_path / "m", "--store", tmp_path / "test", "--json"))
    for name in ("o", "m"):
        alone = _json(vclip("evaluate", "--store", tmp_path / "test", "--model", tmp_path / name, "--json"))
        assert compared["auc"]["a" if name == "o" else "b"] == pytest.approx(alone["auc"])
    assert compared["auc"]["b_minus_a"]["low"] > 0  # the other faces are noise
    result = _json(vclip("evaluate", "--store", tmp_path / "test", "--model", tmp_path / "m", "--json"))
    assert result["people"] == 20
    fitted = ("fit-speakers", "--store", tmp_path / "train")
    said = vclip(*fitted, "--out", tmp_path / "none")
    assert said.code == 2
    assert "name one of these with --face-space" in said.err
    said = vclip(*fitted, "--out", tmp_path / "speakers", "--face-space", "made-up/faces")
    assert said.code == 0, said.err
    said = vclip("fit-speakers", "--tts", "morph", "--out", tmp_path / "no", "--voice-space", "made-up/voices")
    assert "found --face-space or --voice-space without --store" in said.err


def test_encoders_are_compared_on_the_same_folds(vclip, tmp_path):
    faces, voices, rng = {**FACES, "made-up/others": 10}, {**VOICES, "made-up/same": 12}, np.random.default_rng(0)
    store = Store.create(str(tmp_path / "s"), faces, voices)
    batch = _people(30, 30, "someone")
    for rows in batch:
        for face in rows.faces:
            face["vectors"]["made-up/others"] = rng.normal(size=10).astype(np.float32)
        for voice in rows.voices:
            voice["vectors"]["made-up/same"] = voice["vectors"]["made-up/voices"]
    store.commit(batch)
    command = ("benchmark-association", "--store", tmp_path / "s", "--method", "cca", "--folds", 2)
    both_faces = [part for space in sorted(faces) for part in ("--face-space", space)]
    both_voices = [part for space in sorted(voices) for part in ("--voice-space", space)]
    result = _json(vclip(*command, *both_faces, *both_voices, "--out", tmp_path / "b", "--json"))
    assert result == json.loads((tmp_path / "b" / "association.json").read_text())
    by_spaces = {(row["face_space"], row["voice_space"]): row for row in result["methods"]}
    assert by_spaces.keys() == {(face, voice) for face in faces for voice in voices}
    for face in faces:  # the same vectors under two names
        one, same = (by_spaces[face, voice]["folds"]["auc"] for voice in voices)
        assert one == pytest.approx(same)
    best, *behind = result["methods"]
    assert best["face_space"] == "made-up/faces"
    for row in behind:
        difference = row["behind_best"]
        assert difference["value"] == pytest.approx(row["auc"] - best["auc"], abs=1e-3)
        assert (difference["high"] < 0) == (row["face_space"] == "made-up/others")
    said = vclip(*command, *both_faces, *both_voices[:2]).out
    assert "faces 1: made-up/faces\nfaces 2: made-up/others\n" in said
    assert "voices 1" not in said  # one voice space needs no column
    alone = _json(vclip(*command, *both_faces[:2], *both_voices[:2], "--json"))
    assert alone["methods"][0]["folds"] == by_spaces["made-up/faces", "made-up/same"]["folds"]
    assert "found 2 of --face-space, expected one" in vclip(*command, "--curve", *both_faces).err
    assert "need --store" in vclip("benchmark-association", "--protocol", "fame", tmp_path, *both_faces).err
