"""`vclip train` and `vclip evaluate` on two dozen made-up people.

Tolerances: float32 sums in another order, which twenty steps amplify; two dozen people make an AUC of steps of about
.02.
"""

import json
import math

import pytest
from safetensors.numpy import load_file

from stores import Store
from tests.support.vclip_command import tree
from vclip.association.model import AssociationModel

pytestmark = pytest.mark.slow
QUICK = ("--set", "train.max_steps=20", "--set", "train.cross_fit_below=0")


def _numbers(value):
    """All numbers in a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for part in value for number in _numbers(part)]
    return [value] if isinstance(value, int | float) else []


def test_a_checkpoint_is_four_files_that_say_how_it_was_made(model, pairs_store):
    assert {"model.safetensors", "config.json", "metrics.json", "README.md"} <= {p.name for p in model.iterdir()}
    config = json.loads((model / "config.json").read_text())
    store = Store.open(pairs_store)
    assert (config["face_space"], config["voice_space"]) == (store.face_space, store.voice_space)
    made_by = config["made_by"]
    assert made_by["config"]["train"]["max_steps"] == 20
    assert made_by["store"] == pairs_store
    assert made_by["store_version"] == store.version()
    assert set(load_file(model / "model.safetensors")) >= set(AssociationModel.load(model).state_dict())
    metrics = json.loads((model / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert (metrics["people"], metrics["clips"]) == (24, 24)
    assert f"| dev_auc | {metrics['dev_auc']:.4g} |" in (model / "README.md").read_text()


def test_train_prints_one_json_object_and_repeats_itself(model, pairs_store, vclip, tmp_path):
    said = vclip("train", "--store", pairs_store, "--out", tmp_path / "again", *QUICK, "--json")
    assert said.code == 0
    shown = json.loads(said.out, parse_constant=pytest.fail)
    saved = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert shown == {name: saved[name] for name in shown}
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    assert " INFO train: " in said.err.splitlines()[0]


def test_a_closed_form_says_what_it_does(pairs_store, vclip, tmp_path):
    said = vclip("train", "--store", pairs_store, "--out", tmp_path / "model", "--method", "cca").err.splitlines()
    assert "train: cca (canonical correlation analysis, shrunk), a closed form without steps, for 24" in said[0]
    assert "train: 6 fits in" in said[-3]  # five folds, and everybody
    auc = json.loads((tmp_path / "model" / "metrics.json").read_text())["dev_auc"]
    assert f"the closed form has AUC {auc:.3f} on held-out people (mean of 5 folds" in said[-2]
    assert said[-1].endswith(f"next: `vclip evaluate --store STORE_OF_OTHER_PEOPLE --model {tmp_path / 'model'}`")


def test_two_processes_train_the_model_that_one_trains(pairs_store, vclip, tmp_path):
    """The paper's recipe draws no noise, so only rounding differs."""
    shown = []
    for workers in (1, 2):
        given = ("--out", tmp_path / str(workers), "--workers", workers, "--method", "paper", *QUICK, "--json")
        said = vclip("train", "--store", pairs_store, *given)
        assert said.code == 0, said.err
        assert "train: 20 steps" in said.err
        shown.append(json.loads((tmp_path / str(workers) / "metrics.json").read_text()))
    alone, together = shown
    assert together["history"]["loss"][1:] == pytest.approx(alone["history"]["loss"][1:], abs=1e-3)
    assert together["dev_auc"] == pytest.approx(alone["dev_auc"], abs=0.02)


def test_train_says_when_it_cannot_be_spread(pairs_store, vclip, tmp_path):
    given = ("train", "--store", pairs_store, "--out", tmp_path / "m", *QUICK)
    said = vclip(*given, "--workers", 1000)
    assert said.code == 2
    assert "1000 workers asked for, but the cluster has" in said.err
    said = vclip(*given, "--workers", 2, "--method", "pins")
    assert said.code == 2
    assert "method 'pins' trains in one process" in said.err


def test_train_uses_only_the_rows_that_the_filter_keeps(pairs_store, vclip, tmp_path):
    where = "gender = 'f'"
    said = vclip("train", "--store", pairs_store, "--out", tmp_path / "m", "--where", where, *QUICK, "--json")
    women = Store.open(pairs_store).count("clips", where)
    assert 4 <= women < 24
    assert json.loads(said.out)["people"] == women
    assert json.loads((tmp_path / "m" / "config.json").read_text())["made_by"]["where"] == where


def test_cross_validation_judges_every_person_once(pairs_store, vclip, tmp_path):
    said = vclip("train", "--store", pairs_store, "--out", tmp_path / "m", "--folds", 3, *QUICK, "--json")
    result = json.loads(said.out, parse_constant=pytest.fail)
    folds = result["cross_validation"]
    assert sum(fold["people"] for fold in folds) == 24
    assert result["cross_validated_auc"] == pytest.approx(sum(fold["auc"] for fold in folds) / 3)
    # The planted relation: chance is .5, and three folds of eight people spread by about .1.
    assert result["cross_validated_auc"] > 0.7


def test_evaluate_writes_what_it_prints(ingested, model, vclip, tmp_path):
    out = tmp_path / "evaluation"
    said = vclip("evaluate", "--store", ingested.store, "--model", model, "--out", out, "--json")
    assert said.code == 0, said.err
    result = json.loads(said.out, parse_constant=pytest.fail)
    assert result == json.loads((out / "evaluation.json").read_text())
    assert (out / "roc.png").read_bytes().startswith(b"\x89PNG")
    assert result["people"] == 6
    assert 0 <= result["auc_low"] <= result["auc"] <= result["auc_high"] <= 1
    assert all(math.isfinite(number) for number in _numbers(result))
    assert result["auc_same_gender"] is None  # the videos' labels name no gender


def test_evaluate_for_people_is_a_table_without_curves(ingested, model, vclip):
    said = vclip("evaluate", "--store", ingested.store, "--model", model)
    assert said.code == 0
    assert "unrestricted" in said.out
    assert "roc_hit" not in said.out


def test_evaluate_leaves_out_who_was_trained_on_and_says_so(pairs_store, vclip, tmp_path):
    half = "identity < 'reader-012'"
    assert vclip("train", "--store", pairs_store, "--out", tmp_path / "m", "--where", half, *QUICK).code == 0
    said = vclip("evaluate", "--store", pairs_store, "--model", tmp_path / "m", "--json")
    assert "left out 12 of 24 clips" in said.err
    assert json.loads(said.out)["people"] == 12
    both = Store.open(pairs_store).query("clips", ["gender"], "identity >= 'reader-012'")["gender"].to_pylist()
    assert set(both) == {"f", "m"}
    assert 0 <= json.loads(said.out)["auc_same_gender"] <= 1


@pytest.mark.parametrize(
    ("store", "where", "named"),
    [
        ("trained", None, ("was trained on everyone in it", "another store")),
        ("unseen", "identity = 'no one'", ("no face-voice pair", "no one")),
        ("unseen", "identity = 'person-001'", ("expected at least 2 people", "found 1")),
    ],
    ids=["everyone was trained on", "nobody", "one person"],
)
def test_what_cannot_be_evaluated_is_one_line(pairs_store, ingested, model, vclip, tmp_path, store, where, named):
    uri = {"trained": pairs_store, "unseen": ingested.store}[store]
    more = ("--where", where) if where else ()
    said = vclip("evaluate", "--store", uri, "--model", model, "--out", tmp_path / "out", *more)
    assert (said.code, said.out) == (2, "")
    for word in named:
        assert word in said.err.splitlines()[-1]
    assert "Traceback" not in said.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("train", "--where", "identity = 'no one'"), ("no face-voice pair", "no one", "ingest or import")),
        (("train", "--where", "identity ="), ("identity =",)),
        (("train", "--where", "identity < 'reader-002'"), ("2", "expected at least")),
        (("train", "--folds", 1), ("found 1 fold for", "expected 2 to 12")),
        (("train", "--folds", 25), ("25", "24")),
        (("train", "--set", "train.batch_sise=3"), ("train.batch_sise", "train.batch_size")),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_used_is_one_line_and_nothing_written(pairs_store, vclip, tmp_path, arguments, named):
    command, *options = arguments
    before = tree(tmp_path)
    said = vclip(command, "--store", pairs_store, "--out", tmp_path / "out", *options)
    assert (said.code, said.out) == (2, "")
    *messages, error = said.err.splitlines()
    assert " ERROR vclip: " in error
    assert all(" INFO " in line for line in messages), said.err
    for word in named:
        assert word in error
    assert tree(tmp_path) == before


def test_a_store_of_other_encoders_is_refused_by_both_names(other_store, model, vclip, tmp_path):
    said = vclip("evaluate", "--store", other_store, "--model", model, "--out", tmp_path / "out")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "open_clip/elsewhere/crop1" in said.err
    assert AssociationModel.load(model).face_space in said.err
    assert not (tmp_path / "out").exists()


def test_an_empty_store_has_nothing_to_train_on(other_store, vclip, tmp_path):
    said = vclip("train", "--store", other_store, "--out", tmp_path / "out")
    assert said.code == 2
    assert "no face-voice pair" in said.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["folder", "file"])
def test_training_does_not_replace_what_is_no_checkpoint(pairs_store, vclip, tmp_path, content):
    """`--out work`, where work/store was meant to stay."""
    out = tmp_path / "work"
    mine = out / "mine.txt" if content == "folder" else out
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("years of work")
    said = vclip("train", "--store", pairs_store, "--out", out, *QUICK)
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert str(out) in said.err
    assert mine.read_text() == "years of work"


def test_training_again_replaces_the_model(pairs_store, vclip, tmp_path):
    out = tmp_path / "model"
    for seed in (1, 2):
        assert vclip("train", "--store", pairs_store, "--out", out, *QUICK, "--set", f"train.seed={seed}").code == 0
        assert json.loads((out / "config.json").read_text())["made_by"]["config"]["train"]["seed"] == seed
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_methods_are_compared_on_the_same_folds(pairs_store, vclip, tmp_path):
    chosen = ("--method", "cca", "--method", "ridge", "--method", "pins")
    said = vclip(
        "benchmark-association", "--store", pairs_store, *chosen, "--folds", "3", "--out", tmp_path / "b",
        "--set", "train.max_steps=5", "--json",
    )  # fmt: skip
    assert said.code == 0, said.err
    shown = json.loads(said.out, parse_constant=pytest.fail)
    assert shown == json.loads((tmp_path / "b" / "association.json").read_text())
    assert {row["method"] for row in shown["methods"]} == {"cca", "ridge", "pins"}
    aucs = [row["auc"] for row in shown["methods"]]
    assert aucs == sorted(aucs, reverse=True)
    for row in shown["methods"]:
        assert len(row["folds"]["auc"]) == 3
        assert row["auc"] == pytest.approx(sum(row["folds"]["auc"]) / 3)
        assert 0 <= row["auc_s_norm"] <= 1
    best, *others = shown["methods"]
    assert best["behind_best"] is None
    for row in others:
        behind = row["behind_best"]
        assert behind["value"] == pytest.approx(row["auc"] - best["auc"], abs=1e-3)
        assert behind["low"] <= behind["value"] <= behind["high"]
    assert (tmp_path / "b" / "association.png").read_bytes().startswith(b"\x89PNG")
    table = vclip("benchmark-association", "--store", pairs_store, "--method", "cca", "--folds", "2")
    assert "cca" in table.out
    assert "AUC" in table.out


def test_a_model_of_another_method_serves_the_other_commands(pairs_store, vclip, tmp_path):
    said = vclip("train", "--store", pairs_store, "--out", tmp_path / "m", "--method", "fop", *QUICK, "--json")
    assert said.code == 0, said.err
    assert json.loads((tmp_path / "m" / "config.json").read_text())["made_by"]["method"] == "fop"
    judged = vclip("evaluate", "--store", pairs_store, "--model", tmp_path / "m", "--seen", "--json")
    assert judged.code == 0, judged.err
    assert 0 <= json.loads(judged.out)["auc"] <= 1
    wrong = vclip("train", "--store", pairs_store, "--out", tmp_path / "n", "--method", "pin", *QUICK)
    assert wrong.code == 2
    assert "unknown name; did you mean 'pins'? There are: vclip" in wrong.err
    assert not (tmp_path / "n").exists()


def test_few_people_are_all_trained_on_unless_asked_otherwise(pairs_store, vclip, tmp_path):
    said = vclip("train", "--store", pairs_store, "--out", tmp_path / "m", "--set", "train.max_steps=10", "--json")
    assert said.code == 0, said.err
    judged = vclip("evaluate", "--store", pairs_store, "--model", tmp_path / "m")
    assert judged.code == 2
    assert "was trained on everyone in it" in judged.err
