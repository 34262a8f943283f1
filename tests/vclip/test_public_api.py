"""The public names: all there, lazily, and the same for a type checker."""

import ast
import importlib.resources

import pytest

import vclip
from vclip.association.methods import METHODS


@pytest.mark.parametrize("name", vclip.__all__)
def test_every_public_name_is_there(name):
    assert getattr(vclip, name) is not None
    assert name in dir(vclip)


def test_the_holes_are_closed():
    closed = {"fit_generator", "fit_signature", "SpeakerBank", "load_association", "METHODS", "evaluate_trials"}
    assert closed <= set(vclip.__all__)
    assert vclip.METHODS is METHODS


def test_a_type_checker_sees_the_same_names():
    tree = ast.parse(importlib.resources.files("vclip").joinpath("__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    homes = ast.literal_eval(
        next(n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "_HOMES")
    )
    assert seen == homes
    assert importlib.resources.files("vclip").joinpath("py.typed").is_file()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'vclip' has no attribute 'nonsense'"):
        _ = vclip.nonsense
