"""`vclip benchmark-association` on published protocols, and its learning curve, on made-up people."""

import json

import numpy as np
import pytest

from tests.support.planted_pairs import planted_pairs
from tests.support.protocol_folders import fame_folder, self_lifting_folder, vfal_eva_folder


@pytest.mark.parametrize(
    ("name", "make", "figures"),
    [
        ("vfal-eva", vfal_eva_folder, ("AUC", "EER same gender", "1:2 F2V same gender", "1:10 V2F", "mAP V2F")),
        ("self-lifting", self_lifting_folder, ("AUC", "AUC same gender", "1:10 F2V", "mAP F2V")),
        ("fame", fame_folder, ("EER English to Hindi", "EER heard", "EER unheard", "EER mean")),
    ],
)
def test_methods_are_compared_on_a_protocol(vclip, tmp_path, name, make, figures):
    folder, out = make(tmp_path / "data"), tmp_path / "out"
    methods = ("ridge",) if name == "fame" else ("cca", "ridge")  # fame has two training sets
    quick = (*(word for method in methods for word in ("--method", method)), "--seeds", 2)
    said = vclip("benchmark-association", folder, "--protocol", name, *quick, "--out", out, "--json")
    assert said.code == 0, said.err
    shown = json.loads(said.out, parse_constant=pytest.fail)
    assert shown == json.loads((out / "protocol.json").read_text())
    (part,) = shown["parts"]
    assert (shown["protocol"], shown["seeds"], part["part"]) == (name, 2, "v2" if name == "fame" else "")
    assert {row["method"] for row in part["methods"]} == set(methods)
    for row in part["methods"]:
        for figure in figures:
            assert row["figures"][figure]["value"] == pytest.approx(np.mean(row["seeds"][figure]))
            assert len(row["seeds"][figure]) == 2
    mean = [np.mean(row["seeds"].get("AUC", 0)) for row in part["methods"]]
    assert mean == sorted(mean, reverse=True)


def test_the_table_shows_the_published_figures_with_their_source(vclip, tmp_path):
    said = vclip("benchmark-association", vfal_eva_folder(tmp_path), "--protocol", "vfal-eva", "--method", "ridge")
    assert said.code == 0, said.err
    assert "CMPC [1]" in said.out
    assert "0.865" in said.out
    assert (
        "[1] published on the files of the protocol: github.com/my-yy/vfal-eva, files/result1.png at 0e26c01"
        in said.out
    )
    assert "train 120 clips of 60 people, valid 24 clips" in said.err


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((), "found neither --store nor --protocol; expected one of them"),
        (("--store", "a", "--protocol", "fame"), "found both --store and --protocol"),
        (("--protocol", "fame"), "expected --protocol together with the folder"),
        (("here", "--store", "a"), "expected --protocol together with the folder"),
        (("here", "--protocol", "fame", "--curve"), "--curve, --folds, --face-space and --voice-space need --store"),
        (
            ("here", "--protocol", "fame", "--folds", 3),
            "--curve, --folds, --face-space and --voice-space need --store",
        ),
        (("nowhere", "--protocol", "fame"), "nowhere: No such file or directory; expected a folder or a zip archive"),
        (("nowhere", "--protocol", "fam"), "unknown name; did you mean 'fame'?"),
    ],
)
def test_options_that_contradict_each_other_are_named(vclip, given, named):
    said = vclip("benchmark-association", *given)
    assert said.code == 2
    assert named in said.err


def _store(vclip, folder, people):
    """A store of made-up people."""
    pairs = planted_pairs(people=people, clips_each=1, views=1, noise=1.0)
    names = np.array([f"{identity}/video/1.jpg" for identity in pairs.identity])
    for side, vectors in (("faces", pairs.faces), ("voices", pairs.voices)):
        np.savez(folder / f"{side}.npz", names=names, vectors=vectors)
    files = ("--faces", folder / "faces.npz", "--voices", folder / "voices.npz")
    said = vclip("import", "features", *files, "--store", folder / "store", "--face-space", "f", "--voice-space", "v")
    assert said.code == 0, said.err
    return folder / "store"


def test_a_learning_curve_says_what_more_people_would_bring(vclip, tmp_path):
    store, out = _store(vclip, tmp_path, 90), tmp_path / "out"
    curve = ("benchmark-association", "--store", store, "--curve", "--method", "ridge", "--folds", 2)
    said = vclip(*curve, "--out", out)
    assert said.code == 0, said.err
    assert "450 (predicted)" in said.out
    assert "10 times the people (450) would bring AUC 0." in said.out
    found = json.loads((out / "curve.json").read_text(), parse_constant=pytest.fail)
    assert found["gender_inferred"]
    (method,) = found["methods"]
    assert set(method["curves"]) == {"unrestricted", "same gender"}
    whole = method["curves"]["unrestricted"]
    assert whole["sizes"] == [6, 12, 24, 45]
    assert [prediction["people"] for prediction in whole["predictions"]] == [135, 450]
    assert whole["auc"][0]["value"] < whole["auc"][-1]["value"]
    for prediction in whole["predictions"]:
        assert prediction["auc"]["low"] < prediction["auc"]["value"] < prediction["auc"]["high"]
        assert prediction["gain"]["low"] >= 0
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("people", "folds", "expected"),
    [(1, 2, "6 people or more"), (5, 2, "6 people or more"), (6, 2, "3 folds"), (9, 5, "2 to 4 folds")],
)
def test_folds_of_too_few_people_are_an_error_in_one_line_before_anything_is_trained(
    vclip, tmp_path, people, folds, expected
):
    store, given = _store(vclip, tmp_path, people), ("--method", "ridge", "--folds", folds)
    for command in (("benchmark-association",), ("train", "--out", tmp_path / "model")):
        said = vclip(*command, "--store", store, *given)
        assert (said.code, said.out, len(said.err.splitlines())) == (2, "", 1)
        assert f"expected {expected}" in said.err


def test_the_fewest_people_that_folds_take_are_benchmarked(vclip, tmp_path):
    """Two people held out: hardly a draw of people has both of them in every fold, so there is no interval."""
    said = vclip(
        "benchmark-association", "--store", _store(vclip, tmp_path, 10), "--method", "ridge", "--method", "cca"
    )
    assert said.code == 0, said.err
    assert "10 clips of 10 people" in said.out


def test_a_curve_of_few_people_is_refused(vclip, tmp_path):
    said = vclip("benchmark-association", "--store", _store(vclip, tmp_path, 20), "--curve")
    assert said.code == 2
    assert "found 20 people, expected at least 50 for a curve" in said.err
