"""`vclip import pairs`: images with speech, through the same Ray job as videos."""

import csv
import json
import shutil

import pytest

from stores import Store
from tests.support.small_world import gender_of, people_in_pairs
from tests.support.vclip_command import OFFLINE, tree

pytestmark = pytest.mark.slow


def test_a_pair_is_one_clip_of_one_face(pairs_store):
    store = Store.open(pairs_store)
    clips = store.query("clips").to_pylist()
    people = {person.name: person for person in people_in_pairs()}
    assert sorted(clip["identity"] for clip in clips) == sorted(people)
    for clip in clips:
        assert clip["gender"] == gender_of(people[clip["identity"]])
        assert clip["licence"] == "made up"
    pairs = store.pairs()
    assert sorted(pairs["face_clip"]) == list(range(24))
    assert set(pairs["voice_clip"]) == set(range(24))


def test_an_image_without_a_face_is_a_failed_row_and_the_job_goes_on(pairs_store):
    failed = Store.open(pairs_store).query("videos", where="state != 'done'").to_pylist()
    assert ["nobody.png + " in row["uris"][0]["uri"] for row in failed] == [True]
    assert failed[0]["state"] == "failed"
    assert "no face" in failed[0]["reason"]


def test_the_same_table_again_is_no_work(pair_files, pairs_store, vclip):
    before = Store.open(pairs_store).version()
    answer = vclip("import", "pairs", pair_files / "pairs.csv", "--store", pairs_store, "--config", OFFLINE)
    assert (answer.code, answer.err) == (0, "")
    assert "has all 25 inputs" in answer.out
    assert Store.open(pairs_store).version() == before


@pytest.fixture
def broken(pair_files, tmp_path):
    """Imports a copy of the table after an edit; returns the answer and whether anything was written."""

    def run(vclip, edit):
        folder = tmp_path / "pairs"
        shutil.copytree(pair_files, folder)
        (folder / "pairs.csv").write_text(edit((folder / "pairs.csv").read_text()))
        before = tree(tmp_path)
        answer = vclip("import", "pairs", folder / "pairs.csv", "--store", tmp_path / "store", "--config", OFFLINE)
        return answer, tree(tmp_path) != before

    return run


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (
            lambda text: text.replace("identity", "person").replace("voice", "x"),
            ("'identity', 'voice'", "person"),
        ),
        (lambda text: text.replace("reader-", "lost-"), ("none of", "lost-", "nothing was imported")),
        (lambda text: text + text.splitlines()[3] + "\n", ("rows 3 and 26", "each id once")),
        (lambda text: text.splitlines()[0] + "\n", ("no rows",)),
        (lambda text: "", ("no rows", "header")),
    ],
    ids=["missing columns", "no file is there", "an id twice", "no rows", "empty file"],
)
def test_a_table_that_cannot_be_used_is_one_line_and_nothing_written(broken, vclip, edit, named):
    answer, written = broken(vclip, edit)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("\n") == 1
    for word in named:
        assert word in answer.err
    assert not written


def test_speech_that_is_none_is_a_failed_row(pair_files, vclip, tmp_path):
    """An unreadable audio file must not end the job either."""
    shutil.copytree(pair_files, tmp_path / "pairs")
    table = tmp_path / "pairs" / "pairs.csv"
    header, first, second, *_ = table.read_text().splitlines()
    table.write_text("\n".join([header, first, second]) + "\n")
    (tmp_path / "pairs" / "reader-001" / "speech.wav").write_text("no sound")
    store = tmp_path / "store"
    answer = vclip("import", "pairs", table, "--store", store, "--config", OFFLINE, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["videos"] == {"done": 1, "failed": 1}
    (failed,) = Store.open(store).query("videos", where="state = 'failed'").to_pylist()
    assert "speech.wav" in failed["reason"]
    assert "internal error" not in failed["reason"]


def test_a_row_that_cannot_be_used_is_a_failed_row(pair_files, vclip, tmp_path):
    """A missing file, an empty cell, a lone surrogate: each says why, and `gender` is not needed."""
    shutil.copytree(pair_files, tmp_path / "pairs")
    table = tmp_path / "pairs" / "pairs.csv"
    rows = list(csv.DictReader(table.open()))
    good = [{name: row[name] for name in ("id", "identity", "face", "voice")} for row in rows]
    bad = [good[1] | {"face": "lost.png"}, good[2] | {"voice": ""}, good[3] | {"identity": "B\ud800"}]
    bad.append(good[4] | {"face": "a\0b.png"})
    table = table.with_suffix(".jsonl")
    table.write_text("".join(json.dumps(row) + "\n" for row in [good[0], *bad]))
    store = tmp_path / "store"
    answer = vclip("import", "pairs", table, "--store", store, "--config", OFFLINE, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["videos"] == {"done": 1, "failed": 4}
    failed = Store.open(store).query("videos", where="state = 'failed'").to_pylist()
    reasons, words = sorted(row["reason"] for row in failed), ("lost.png", "'voice'", "Unicode", "NUL byte")
    for number, (reason, word) in enumerate(zip(reasons, words, strict=True)):
        assert f"row {number + 2}" in reason
        assert word in reason
        assert "internal error" not in reason
