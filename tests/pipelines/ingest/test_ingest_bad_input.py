"""`vclip ingest` where it cannot begin: one line, exit code 2, nothing written."""

import shutil

import pytest

from tests.support.vclip_command import OFFLINE, process, tree


@pytest.fixture
def desk(tmp_path, other_store):
    """A folder of one (unreadable) video, an empty one, and things that are no store."""
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_text("no video")
    (tmp_path / "empty").mkdir()
    (tmp_path / "filled").mkdir()
    (tmp_path / "filled" / "notes.txt").write_text("no store")
    (tmp_path / "labels.csv").write_text("video,identity\na.mp4,Ann\n")
    (tmp_path / "mine.yaml").write_text("encoders: {fase: dlib}\n")
    shutil.copytree(other_store, tmp_path / "other")
    return tmp_path


CASES = {
    "missing folder": ({"inputs": "nowhere"}, ("nowhere", "no such file or folder", "expected")),
    "empty folder": ({"inputs": "empty"}, ("empty", "found no video", ".mp4")),
    "no videos": ({"inputs": "filled"}, ("filled", "found no video", ".mp4")),
    "store is a folder of others": ({"--store": "filled"}, ("filled", "notes.txt", "expected")),
    "store is a file": ({"--store": "labels.csv"}, ("labels.csv", "found a file", "expected")),
    "store of other encoders": ({"--store": "other"}, ("open_clip/elsewhere", "dlib", "encoders")),
    "missing labels": ({"--labels": "nowhere.csv"}, ("nowhere.csv", "expected a CSV")),
    "labels without files": ({"--labels": "labels.csv"}, ("labels.csv", "'file'", "video, identity")),
    "missing configuration": ({"--config": "nowhere.yaml"}, ("nowhere.yaml", "expected a YAML")),
    "unknown key": ({"--config": "mine.yaml"}, ("mine.yaml", "encoders.fase", "encoders.face")),
    "unknown override": ({"--set": "extraction.clip.crops=1"}, ("extraction.clip", "extraction.clips")),
    "unknown face encoder": ({"--set": "encoders.face=arcface"}, ("arcface", "dlib", "open_clip")),
    "unknown voice encoder": ({"--set": "encoders.voice=ecapa"}, ("ecapa", "resemblyzer")),
    "missing detector": (
        {"--set": "extraction.tracks.detector=nowhere.onnx"},
        ("nowhere.onnx", "no such file", "expected"),
    ),
    "unknown detector": ({"--set": "extraction.tracks.detector=haar"}, ("haar", "centerface", ".onnx")),
}


def _arguments(desk, case):
    values = {"inputs": "videos", "--store": "new", "--config": OFFLINE} | CASES[case][0]
    values = {key: value if key == "--set" else desk / value for key, value in values.items()}
    return "ingest", values.pop("inputs"), *(part for item in values.items() for part in item)


@pytest.mark.parametrize("case", CASES)
def test_one_line_says_what_is_wrong_and_nothing_is_written(desk, vclip, case):
    before = tree(desk)
    answer = vclip(*_arguments(desk, case))
    assert (answer.code, answer.out) == (2, "")
    assert " ERROR vclip: " in answer.err
    assert answer.err.count("\n") == 1, answer.err
    for word in CASES[case][1]:
        assert word in answer.err
    assert tree(desk) == before


@pytest.mark.slow
def test_the_installed_command_says_no_more(desk):
    """Without the test's process around it: no traceback, no warning of a library."""
    answer = process(*_arguments(desk, "empty folder"))
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("\n") == 1, answer.err


@pytest.mark.parametrize("command", ["query", "train", "evaluate"])
def test_a_store_that_is_none_is_named(desk, model, vclip, command):
    more = {"query": (), "train": ("--out", desk / "m"), "evaluate": ("--model", model)}[command]
    before = tree(desk)
    for name in ("filled", "empty", "nowhere"):
        answer = vclip(command, "--store", desk / name, *more)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.count("\n") == 1
        assert str(desk / name) in answer.err
        assert "expected a vclip store" in answer.err
    assert tree(desk) == before
