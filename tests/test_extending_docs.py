"""The code of docs/extending.md compiles and runs, and its classes have the signatures of their protocols."""

import ast
import inspect
import re

import numpy as np
import pytest

from tests.support import ROOT
from vclip import InputError, Pairs, evaluate
from vclip.encoders import VoiceEncoder
from vclip.tts import TTS
from vclip.tts.cloning import CloningTTS

PAGE = (ROOT / "docs" / "extending.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def _block(name: str) -> str:
    (found,) = [block for block in BLOCKS if f"class {name}" in block]
    return found


def _run(name: str) -> dict:
    names: dict = {}
    exec(compile(_block(name), f"docs/extending.md: {name}", "exec"), names)
    return names


def _attributes(source: str) -> set[str]:
    """Returns the attributes that a class sets in its body or on `self`."""
    stores = [node for node in ast.walk(ast.parse(source)) if isinstance(getattr(node, "ctx", None), ast.Store)]
    return {
        node.id if isinstance(node, ast.Name) else node.attr
        for node in stores
        if hasattr(node, "id") or hasattr(node, "attr")
    }


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        *(("Ecapa", VoiceEncoder), ("DVectorVits", TTS)),
        *(("QwenBase", TTS), ("Cloned", CloningTTS)),
    ],
)
def test_an_example_has_the_signatures_of_its_protocol(name, protocol):
    example = _run(name)[name]
    methods = [method for method, value in vars(protocol).items() if inspect.isfunction(value) and method[0] != "_"]
    assert methods
    for method in methods:
        found, expected = (list(inspect.signature(getattr(kind, method)).parameters) for kind in (example, protocol))
        assert found == expected
    assert set(inspect.get_annotations(protocol)) <= _attributes(_block(name))


def test_the_column_function_gives_a_value_of_its_type_for_each_medium():
    function = _run("Loudness")["Loudness"]()
    found = function([np.zeros(100, np.float32), np.full(100, 0.1, np.float32), np.ones(100, np.float32)])
    assert set(found) == set(function.columns)
    assert found["loudness_db"] == [None, pytest.approx(-20, abs=1e-4), 0]
    assert list(found["clipped"]) == [False, False, True]


def test_the_association_method_is_evaluated():
    rng = np.random.default_rng(0)

    def pairs(first: int) -> Pairs:
        ids = np.array([f"{number}" for number in range(first, first + 30)])
        rows = np.arange(30)
        faces, voices = (rng.standard_normal((30, dim)).astype(np.float32) for dim in (12, 10))
        return Pairs(faces, rows, voices, rows, ids, ids, ids, np.full(30, ""))

    names = _run("Projection")
    assert 0 < names["auc"](pairs(0), pairs(100)) < 1
    model = names["Projection"](pairs(0))
    assert evaluate(model, pairs(100)).warning is None
    with pytest.raises(InputError, match="was in the model's training"):
        evaluate(model, pairs(0))
    model.seen = np.zeros(0, np.int64)  # as the page says of an empty `seen`
    assert evaluate(model, pairs(100)).warning


def test_the_conformance_suite_takes_two_lines():
    (suite,) = [value for name, value in _run("TestEcapa").items() if name == "TestEcapa"]
    assert suite.spec == "ecapa"
