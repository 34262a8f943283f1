"""The examples in docstrings run as they are written."""

import doctest
import importlib

import pytest

from tests.support import ROOT

PATHS = sorted(path for folder in ("vclip", "stores", "pipelines") for path in (ROOT / folder).rglob("*.py"))
WITH_EXAMPLES = [path.relative_to(ROOT).with_suffix("") for path in PATHS if ">>> " in path.read_text()]


def test_there_are_examples():
    assert WITH_EXAMPLES


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=str)
def test_the_examples_of_a_module_run(path):
    module = importlib.import_module(".".join(path.parts).removesuffix(".__init__"))
    failed, tried = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert tried
    assert not failed
