"""`vclip import features`: ready-made vectors, by name."""

import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stores import Store
from tests.support.vclip_command import tree
from vclip.association.pairs import Pairs

SPACES = ("--face-space", "facenet/vggface2", "--voice-space", "ecapa/vox2")
META = """VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet
id1\tAnn_A.\tf\tIreland\tdev
id2\tBob_B\tm\tIndia\ttest
"""


@pytest.fixture
def vectors():
    """Self-Lifting's names: of faces by name, of voices by id; the last face has no voice."""
    rng = np.random.default_rng(0)
    faces = ["Ann_A/1.6/vidA/0000001.jpg", "Ann_A/1.6/vidA/0000026.jpg", "Bob_B/1.6/vidB/0000001.jpg"]
    faces += ["Bob_B/1.6/vidC/0000001.jpg"]
    voices = ["id1/vidA/00001.wav", "id2/vidB/00001.wav", "id2/vidB/00002.wav"]
    return (
        {name: rng.normal(size=6).astype(np.float32) for name in faces},
        {name: rng.normal(size=4).astype(np.float32) for name in voices},
    )


def _write(path, content):
    names, rows = list(content), list(content.values())
    if path.suffix == ".npz":
        np.savez(path, names=np.array(names), vectors=np.array(rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({"name": names, "vector": rows}), path)
    else:
        path.write_bytes(pickle.dumps(content))
    return path


@pytest.fixture
def files(vectors, tmp_path):
    """A function that writes both files and the metadata, and gives the options that name them."""

    def write(ending=".pkl", meta=True):
        faces, voices = (_write(tmp_path / f"{n}{ending}", v) for n, v in zip(("f", "v"), vectors, strict=True))
        (tmp_path / "meta.csv").write_text(META)
        return ["--faces", faces, "--voices", voices, *(["--meta", tmp_path / "meta.csv"] if meta else [])]

    return write


@pytest.mark.parametrize("ending", [".pkl", ".npz", ".parquet"])
def test_names_of_voxceleb_make_clips_of_identity_and_video(files, vectors, vclip, tmp_path, ending):
    store = tmp_path / "store"
    answer = vclip("import", "features", *files(ending), "--store", store, *SPACES, "--json")
    assert answer.code == 0, answer.err
    summary = json.loads(answer.out)
    assert summary["videos"] == {"done": 2, "empty": 1}
    assert summary["funnel"]["drop:no_voice"] == 1
    opened = Store.open(str(store))
    assert (opened.face_space, opened.voice_space) == SPACES[1::2]
    clips = {clip["identity"]: clip for clip in opened.query("clips").to_pylist()}
    assert {who: (c["gender"], c["nationality"], c["split"]) for who, c in clips.items()} == {
        "id1": ("f", "Ireland", "train"),
        "id2": ("m", "India", "test"),
    }
    pairs = Pairs.of(opened.pairs())
    for who, n_faces, n_voices in (("id1", 2, 1), ("id2", 1, 2)):
        clip = pairs.identity.tolist().index(who)
        assert (np.sum(pairs.face_clip == clip), np.sum(pairs.voice_clip == clip)) == (n_faces, n_voices)
    known = [v for name, v in vectors[0].items() if "vidC" not in name]
    assert sorted(pairs.faces.tolist()) == sorted(np.array(known).tolist())
    assert sorted(pairs.voices.tolist()) == sorted(np.array(list(vectors[1].values())).tolist())
    assert {row["image"] for row in opened.query("faces", ["image"]).to_pylist()} == {b""}


def test_it_goes_on_where_it_stopped_and_again_is_no_work(files, vclip, tmp_path):
    store, given = tmp_path / "store", files()
    first = vclip("import", "features", *given, "--store", store, *SPACES)
    assert (first.code, first.err.splitlines()[-1][21:]) == (
        0,
        f"INFO next: `vclip train --out MODEL --store {store}`",
    )
    opened = Store.open(str(store))
    before = {row["clip_id"] for row in opened.query("clips").to_pylist()}
    gone = opened.query("videos", ["video_id"], "state = 'done'").to_pylist()[0]["video_id"]
    opened.delete_video(gone)
    answer = vclip("import", "features", *given, "--store", store, *SPACES, "--json")
    assert (json.loads(answer.out)["videos"], json.loads(answer.out)["known"]) == ({"done": 1}, 2)
    assert {row["clip_id"] for row in Store.open(str(store)).query("clips").to_pylist()} == before
    version = Store.open(str(store)).version()
    assert "has all 3 inputs" in vclip("import", "features", *given, "--store", store, *SPACES).out
    assert Store.open(str(store)).version() == version


def test_a_table_says_what_belongs_together(vectors, vclip, tmp_path):
    faces, voices = _write(tmp_path / "f.npz", vectors[0]), _write(tmp_path / "v.npz", vectors[1])
    table = tmp_path / "t.csv"
    table.write_text(
        "id,identity,gender,face,voice,age\n"
        "x,Ann,f,Ann_A/1.6/vidA/0000001.jpg,id2/vidB/00001.wav,34\n"
        "y,,,Bob_B/1.6/vidB/0000001.jpg,id1/vidA/00001.wav,\n"
    )
    given = ["--faces", faces, "--voices", voices, "--table", table]
    assert vclip("import", "features", *given, "--store", tmp_path / "s", *SPACES).code == 0
    clips = Store.open(str(tmp_path / "s")).query("clips").to_pylist()
    assert sorted((c["identity"] or "", c["age"] or "") for c in clips) == [("", ""), ("Ann", "34")]


def test_vectors_of_one_name_are_a_clip_and_a_store_of_them_trains(vclip, tmp_path):
    rng = np.random.default_rng(1)
    who = {f"clip{i}": rng.normal(size=5) for i in range(80)}
    faces = {name: np.concatenate([v, rng.normal(size=3)]).astype(np.float32) for name, v in who.items()}
    voices = {name: (v + 0.1 * rng.normal(size=5)).astype(np.float32) for name, v in who.items()}
    given = ["--faces", _write(tmp_path / "f.npz", faces), "--voices", _write(tmp_path / "v.parquet", voices)]
    store = tmp_path / "store"
    assert vclip("import", "features", *given, "--store", store, *SPACES).code == 0
    answer = vclip("train", "--store", store, "--out", tmp_path / "model", "--set", "train.max_steps=10", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["clips"] == 80
    assert "80 of 80 clips have no identity" in answer.err
    assert "space 'ecapa/vox2': similarity of different people is estimated" in answer.err
    assert vclip("query", "--store", store, "--table", "faces", "--limit", 2).code == 0


class _Bomb:
    def __reduce__(self):
        return eval, ("open('ran', 'w')",)


FIRST = "Ann_A/1.6/vidA/0000001.jpg"
UNUSABLE = {
    "zero": (np.zeros(6, np.float32), "all zero"),
    "nan": (np.array([1, 2, np.nan, 4, 5, 6]), "NaN"),
    "beyond float32": ([1e300] * 6, "infinity"),
    "another length": (np.ones(5), "5 numbers, expected 6"),
    "text": ("vector", "of type str"),
    "nothing": (None, "of type NoneType"),
    "numbers and text": ([1.0, "x"], "of type list"),
    "a matrix": (np.ones((2, 6)), "of type ndarray"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_vector_that_cannot_be_used_fails_its_clip_and_the_others_go_in(vectors, files, vclip, tmp_path, kind):
    given, store = files(), tmp_path / "store"
    vectors[0]["Bob_B/1.6/vidB/0000026.jpg"] = np.ones(6, np.float32)
    good = vectors[0].copy()
    vectors[0].update(dict.fromkeys([FIRST, FIRST.replace("01.jpg", "26.jpg")], UNUSABLE[kind][0]))
    files()
    answer = vclip("import", "features", *given, "--store", store, *SPACES, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["videos"] == {"done": 1, "failed": 1, "empty": 1}
    (row,) = Store.open(str(store)).query("videos", where="state = 'failed'").to_pylist()
    assert UNUSABLE[kind][1] in row["reason"]
    assert FIRST in row["reason"]
    vectors[0][FIRST] = good[FIRST]  # the other one of the clip stays as it is
    files()
    answer = json.loads(vclip("import", "features", *given, "--store", store, *SPACES, "--json").out)
    assert (answer["videos"], answer["known"], answer["outdated"]) == ({"done": 1}, 2, 1)
    assert answer["funnel"]["drop:unusable_vector"] == 1
    states = Store.open(str(store)).query("videos", ["state"])["state"].to_pylist()
    assert sorted(states) == ["done", "done", "empty"]
    again = vclip("import", "features", *given, "--store", store, *SPACES)
    assert "has all 3 inputs" in again.out


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda faces: faces.update(dict.fromkeys(faces, np.zeros(6))), ("none of 4", FIRST, "all zero")),
        (lambda faces: faces.update(bomb=_Bomb()), ("eval", "plain data")),
        (lambda faces: faces.clear(), ("no vector",)),
    ],
    ids=["all zero", "malicious", "none"],
)
def test_a_file_without_usable_vectors_is_one_line_and_nothing_written(
    vectors, files, vclip, tmp_path, monkeypatch, spoil, named
):
    monkeypatch.chdir(tmp_path)
    spoil(vectors[0])
    _refused(vclip, tmp_path, [*files(), "--store", tmp_path / "store", *SPACES], named)


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ("id,identity,gender,face\nx,,,a\n", ("no column 'voice'",)),
        ("id,identity,gender,face,voice\nx,,,nobody.jpg,id1/vidA/00001.wav\n", ("'x'", "'nobody.jpg'", "faces")),
        ("id,identity,gender,face,voice\n" + 2 * "x,,,0000001.jpg,id1/vidA/00001.wav\n", ("'x'", "rows 1 and 2")),
    ],
    ids=["no column", "no such vector", "one id twice"],
)
def test_a_bad_table_is_one_line_and_nothing_written(files, vclip, tmp_path, table, named):
    (tmp_path / "t.csv").write_text(table)
    given = [*files(meta=False), "--table", tmp_path / "t.csv", "--store", tmp_path / "store", *SPACES]
    _refused(vclip, tmp_path, given, named)


def test_a_bad_row_of_the_table_is_a_failed_row(vectors, files, vclip, tmp_path):
    vectors[0]["Bob_B/1.6/vidB/0000001.jpg"] = np.zeros(6, np.float32)
    voice = "id1/vidA/00001.wav"
    rows = [
        f"good,,{FIRST},{voice}",
        f"absent,,nobody.jpg,{voice}",
        f"zero,,vidB/0000001.jpg,{voice}",
        f"no face,,,{voice}",
    ]
    (tmp_path / "t.csv").write_text("\n".join(["id,identity,face,voice", *rows, "too,many,,,fields"]))
    given = [*files(meta=False), "--table", tmp_path / "t.csv", "--store", tmp_path / "store", *SPACES]
    answer = vclip("import", "features", *given, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["videos"] == {"done": 1, "failed": 4}
    reasons = [r["reason"] for r in Store.open(str(tmp_path / "store")).query("videos").to_pylist() if r["reason"]]
    for words in (("'absent'", "'nobody.jpg'"), ("vidB", "all zero"), ("'no face'", "no value"), ("row 5", "fields")):
        assert any(all(word in reason for word in words) for reason in reasons), (words, reasons)


def test_names_that_do_not_meet_ask_for_the_metadata(files, vclip, tmp_path):
    given = [*files(meta=False), "--store", tmp_path / "store", *SPACES]
    _refused(vclip, tmp_path, given, ("Ann_A", "id1", "--meta"))


@pytest.mark.parametrize(
    ("columns", "named"),
    [({"name": ["a"]}, ("no column 'vector'",)), (None, ("Parquet",))],
    ids=["no column", "text"],
)
def test_a_bad_parquet_file_is_one_line(files, vclip, tmp_path, columns, named):
    given = files(".parquet")
    if columns:
        pq.write_table(pa.table(columns), given[1])
    else:
        given[1].write_text("no table")
    _refused(vclip, tmp_path, [*given, "--store", tmp_path / "store", *SPACES], named)


def test_a_store_of_other_spaces_is_refused_by_both_names(files, other_store, vclip, tmp_path):
    _refused(
        vclip, tmp_path, [*files(), "--store", other_store, *SPACES], ("facenet/vggface2", "open_clip/elsewhere")
    )


def test_spaces_must_be_named(files, vclip, tmp_path):
    answer = vclip("import", "features", *files(), "--store", tmp_path / "store")
    assert answer.code == 2
    assert "--face-space" in answer.err


def _refused(vclip, folder, given, named):
    before = tree(folder)
    answer = vclip("import", "features", *given)
    assert (answer.code, answer.out) == (2, ""), answer.err
    assert answer.err.count("\n") == 1, answer.err
    for word in named:
        assert word in answer.err
    assert tree(folder) == before
