"""`vclip plugins` lists what there is, where it comes from, and what is missing."""

import json
import re

import pytest

from tests.support.distributions import install_plugins, with_plugins, write_distribution
from tests.support.onnx_networks import SIZE, face_network
from tests.support.vclip_command import process


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    folder = install_plugins(tmp_path_factory.mktemp("plugins"))
    broken = {"broken_plugin.py": "import a_package_that_nobody_has\n"}
    write_distribution(folder, "broken-plugin", "9.1", broken, {"vclip.tts": {"broken": "broken_plugin:TTS"}})
    answer = process("plugins", "--json", env=with_plugins(folder))
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def test_built_ins_and_packages_are_listed_with_their_source(listed):
    sources = {(row["kind"], row["name"]): row["source"] for row in listed}
    for kind in (
        "face encoder",
        "voice encoder",
        "tts",
        "face detector",
        "active-speaker backend",
        "method",
        "loss",
        "protocol",
    ):
        assert sources[kind, "tiny"] == "tiny-plugins 0.3", kind
    assert sources["face encoder", "dlib"] == sources["method", "ridge"] == "built in"


def test_what_opens_here_and_what_is_missing(listed):
    rows = {(row["kind"], row["name"]): row for row in listed}
    transcript = ("column function", "transcript")  # an extra, and weights that a configuration names
    assert {key for key, row in rows.items() if not row["opens"]} == {("tts", "broken"), transcript}
    assert re.search(r"pip install 'vclip\[transcripts\]'|transcript.model is empty", rows[transcript]["problem"])
    assert "'a_package_that_nobody_has', which is not installed" in rows["tts", "broken"]["problem"]
    voice, clip = rows["voice encoder", "tiny"], rows["face encoder", "open_clip"]
    assert (voice["argument"], voice["argument_needed"]) == ("BANDS", False)
    assert (clip["argument"], clip["argument_needed"]) == ("MODEL/TAG", True)


def test_one_kind_as_a_table(vclip):
    answer = vclip("plugins", "--kind", "loss")
    assert answer.code == 0, answer.err
    assert "sge2e" in answer.out
    assert "dlib" not in answer.out
    wrong = vclip("plugins", "--kind", "looss")
    assert (wrong.code, "expected one of face encoder" in wrong.err) == (2, True)


def test_an_encoder_is_opened_with_its_space_and_licence(vclip, tmp_path):
    face = face_network(tmp_path / "face.onnx", name="mine", licence="CC-BY-NC-4.0")
    for spec, kind in ((f"onnx-face:{face}", "onnx-face"), (f"mirrored:onnx-face:{face}", "mirrored/onnx-face")):
        shown = json.loads(vclip("plugins", spec, "--json").out)
        assert shown["space"].startswith(f"{kind}/mine/1/")
        assert (shown["kind"], shown["dim"], shown["licence"]) == ("face encoder", SIZE, "CC-BY-NC-4.0")
    assert "CC0-1.0" in vclip("plugins", "dlib").out
    assert "expected one of dlib" in vclip("plugins", "nobody").err
    missing = vclip("plugins", "onnx-face:nowhere.onnx")
    assert (missing.code, "nowhere.onnx.yaml beside it" in missing.err) == (2, True)
