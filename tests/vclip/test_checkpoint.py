"""A checkpoint is replaced as a whole or not at all, and only what it claims to be is loaded."""

import itertools
import json
import os
import shutil

import numpy as np
import pytest
import torch

from vclip import checkpoint
from vclip.association.model import AssociationConfig, AssociationModel
from vclip.errors import InputError

FILES = {"model.safetensors", "config.json", "metrics.json", "README.md"}


def _save(folder, value, **replaced):
    arguments = {
        "kind": "test",
        "tensors": {"weight": torch.full((3, 2), float(value)), "ids": np.arange(4)},
        "config": {"value": value, "names": ["ä", "b"]},
        "metrics": {"auc": value / 10, "steps": value, "curve": [1, 2]},
        "about": "About this model.",
    }
    return checkpoint.save(folder, **{**arguments, **replaced})


def _value(folder):
    tensors, config, metrics = checkpoint.load(folder, "test")
    assert (tensors["weight"] == config["value"]).all()
    assert metrics["steps"] == config["value"]
    return config["value"]


def test_what_was_saved_is_loaded(tmp_path):
    folder = _save(tmp_path / "deep/er/model", 3)
    tensors, config, metrics = checkpoint.load(str(folder), "test")
    torch.testing.assert_close(tensors, {"weight": torch.full((3, 2), 3.0), "ids": torch.arange(4)})
    assert config["names"] == ["ä", "b"]
    assert metrics == {"auc": 0.3, "steps": 3, "curve": [1, 2]}


def test_the_folder_holds_four_readable_files_and_no_pickle(tmp_path):
    folder = _save(tmp_path / "model", 3)
    assert {path.name for path in folder.iterdir()} == FILES
    (tmp_path / "plain").mkdir()
    assert folder.stat().st_mode == (tmp_path / "plain").stat().st_mode  # though drafts are private
    # A zip (torch.save) or a pickle starts otherwise; safetensors starts with the length of its JSON header.
    blob = (folder / "model.safetensors").read_bytes()
    assert set(json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])) == {"weight", "ids"}
    readme = (folder / "README.md").read_text()
    assert "About this model." in readme
    assert "| auc | 0.3 |" in readme
    assert "curve" not in readme


def test_views_and_slices_are_saved_as_what_they_show(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    folder = _save(tmp_path / "m", 1, tensors={"t": whole.T, "s": whole[:, 1], "n": whole.numpy()[::2]})
    tensors, _, _ = checkpoint.load(folder, "test")
    torch.testing.assert_close(tensors, {"t": whole.T, "s": whole[:, 1], "n": whole[::2]})


def test_a_new_one_replaces_the_old_one_and_leaves_nothing_beside(tmp_path):
    folder = tmp_path / "model"
    for value in (1, 2, 3):
        _save(folder, value)
        assert _value(folder) == value
        assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("step", "exists"),
    [*itertools.product(["weights", "config", "metrics", "readme"], [True, False]), ("move", False)],
)
def test_a_failure_in_the_middle_leaves_the_old_one_and_no_litter(tmp_path, monkeypatch, step, exists):
    folder = tmp_path / "model"
    if exists:
        _save(folder, 1)
    replaced = {
        "weights": {"tensors": {"weight": torch.zeros(3).to_sparse()}},  # safetensors takes no sparse tensors
        "config": {"config": {"not json": object()}},
        "metrics": {"metrics": {"not json": object()}},
        "readme": {"about": "half a pair \ud83d"},  # no UTF-8
    }.get(step, {})
    if step == "move":

        def fail(source, target):
            raise OSError("no space left on device")

        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises((OSError, TypeError, ValueError, RuntimeError)):
        _save(folder, 2, **replaced)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == (["model"] if exists else [])
    if exists:
        assert _value(folder) == 1
    _save(folder, 2)
    assert _value(folder) == 2


def test_another_kind_is_refused(tmp_path):
    folder = _save(tmp_path / "model", 3, kind="speaker-generator")
    with pytest.raises(InputError, match="found kind 'speaker-generator', expected 'test'"):
        checkpoint.load(folder, "test")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: shutil.rmtree(f), "no such folder"),
        (lambda f: (f / "model.safetensors").unlink(), "found no model.safetensors"),
        (lambda f: (f / "config.json").unlink(), "found no config.json"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "damaged"),
        (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-5]), "damaged"),
        (lambda f: torch.save({"weight": torch.ones(3)}, f / "model.safetensors"), "damaged"),
        (lambda f: (f / "config.json").write_text('{"kind": "te'), "damaged"),
        (lambda f: (f / "config.json").write_text("[]"), "damaged"),
        (lambda f: (f / "config.json").write_bytes(b"\xff\xfe"), "damaged"),
        (lambda f: (f / "metrics.json").write_text("nonsense"), "damaged"),
    ],
)
def test_what_is_damaged_is_one_line_that_names_the_folder(tmp_path, damage, says):
    folder = _save(tmp_path / "model", 3)
    damage(folder)
    with pytest.raises(InputError, match=says) as error:
        checkpoint.load(folder, "test")
    assert f"checkpoint {folder}: " in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", [{"hidden": 7}, {"no_such_option": 1}])
def test_a_model_of_other_code_is_one_line(tmp_path, change):
    folder = AssociationModel("f", "v", 4, 3, AssociationConfig(hidden=5)).save(tmp_path / "model", {})
    config = json.loads((folder / "config.json").read_text())
    config["model"] |= change
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        InputError,
        match=r"model: (not of the form that vclip .* reads .*train it again|has other shapes .* train again)",
    ):
        AssociationModel.load(folder)
