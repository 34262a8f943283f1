"""Plugins are found by name, by entry point and by path, and what cannot be opened says why."""

import doctest

import pytest

import vclip.registry
from tests.support.distributions import write_distribution
from vclip.errors import InputError
from vclip.registry import Plugin, Registry, argument_of, split_record

CLOCKS = """
class Clock:
    def __init__(self, zone="UTC", device=None):
        self.zone, self.device = zone, device

    def tick(self):
        return self.zone


class Strict:
    def __init__(self, zone):
        self.zone = zone

    def tick(self):
        return self.zone


def plain():
    return Clock("plain")


def wrong():
    return 42


NOT_A_FACTORY = 3
"""


def registry():
    builtin = (
        Plugin("sun", "clocks_of_tests:plain"),
        Plugin("moon", "clocks_of_tests:Strict", "PHASE", needs_argument=True),
        Plugin("tide", "clocks_of_tests:Clock", "SEA"),
        Plugin("quartz", "needs_quartz:Quartz", install="vclip[quartz]"),
    )
    return Registry("clock", "tests.clocks", ("tick",), "tests.Clock", builtin)


@pytest.fixture
def clocks(tmp_path, monkeypatch):
    """A registry with three installed packages; two of them register the same name."""
    modules = {"clocks_of_tests.py": CLOCKS, "needs_quartz.py": "import quartz_that_nobody_has\n"}
    points = {
        "tests.clocks": {
            "atomic": "clocks_of_tests:Clock", "twice": "clocks_of_tests:Clock", "sun": "clocks_of_tests:Strict",
            "broken": "needs_quartz:Quartz", "gone": "no_such_module_of_tests:X", "hollow": "clocks_of_tests:nothing",
        }
    }  # fmt: skip
    write_distribution(tmp_path / "a", "old-clocks", "1.5", modules, points)
    write_distribution(tmp_path / "b", "new-clocks", "2.0", {}, {"tests.clocks": {"twice": "clocks_of_tests:Strict"}})
    for name in ("a", "b"):
        monkeypatch.syspath_prepend(tmp_path / name)
    return registry()


@pytest.mark.parametrize(
    ("spec", "zone"),
    [("sun", "plain"), ("moon:new", "new"), ("tide", "UTC"), ("tide:a:b/c", "a:b/c"), ("atomic", "UTC"),
     ("atomic:Rome", "Rome"), ("atomic:Rome @ old-clocks==1.0", "Rome"), ("python:clocks_of_tests:Clock", "UTC"),
     ("python:clocks_of_tests:Strict:x:y", "x:y")],
)  # fmt: skip
def test_a_spec_opens(clocks, spec, zone):
    assert clocks.open(spec).tick() == zone


def test_options_go_where_the_factory_has_them(clocks):
    assert clocks.open("atomic", device="cuda:1").device == "cuda:1"
    assert clocks.open("moon:new", device="cuda:1").tick() == "new"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("son", r"clock 'son': unknown name; did you mean 'sun'\? There are: sun, moon:PHASE, tide\[:SEA\], quartz, "
                "atomic.*; or name any factory as python:package.module:Factory"),
        ("", "clock '': unknown name"),
        ("lost @ far-clocks==3.1", r"clock 'lost': unknown name here; 'far-clocks' registered it .*pip install far"),
        ("sun:x", "found the argument 'x', expected sun"),
        ("moon", "expected moon:PHASE"),
        ("twice", "registered by new-clocks 2.0 and old-clocks 1.5; name one as python:clocks_of_tests:Strict or"),
        ("quartz", r"needs the package 'quartz_that_nobody_has', which is not .*; pip install 'vclip\[quartz\]"),
        ("broken", r"\(registered by old-clocks 1.5\): needs the package 'quartz_that_nobody_has', which"),
        ("gone", "the module 'no_such_module_of_tests' is not installed"),
        ("hollow", "the module clocks_of_tests has no 'nothing'"),
        ("python:", "expected python:package.module:Factory"),
        ("python:clocks_of_tests", "expected python:package.module:Factory"),
        ("python:no_such_module_of_tests.deep:X", "the module 'no_such_module_of_tests' is not .*PYTHONPATH"),
        ("python:clocks_of_tests:plain:x", r"given the argument 'x', but the factory .* is plain\(\)"),
        ("python:clocks_of_tests:Strict", r"given no argument, but the factory .* is Strict\(zone\)"),
        ("python:clocks_of_tests:wrong", r"returned a int without tick, expected a clock \(tests.Clock\)"),
        ("python:clocks_of_tests:NOT_A_FACTORY", "is of type int, expected a factory"),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_says_why(clocks, spec, told):
    with pytest.raises(InputError, match=told):
        clocks.open(spec)


def test_the_built_ins_come_first_and_cannot_be_replaced(clocks):
    assert clocks.names() == ["sun", "moon", "tide", "quartz", "atomic", "broken", "gone", "hollow", "twice", "twice"]
    assert [plugin.source for plugin in clocks.plugins()][3:5] == ["built in", "old-clocks 1.5"]


def test_a_spec_is_recorded_with_the_package_that_has_the_name(clocks):
    assert clocks.record("tide:north") == "tide:north"
    assert clocks.record("atomic:Rome") == "atomic:Rome @ old-clocks==1.5"
    assert clocks.record("atomic @ old-clocks==1.0") == "atomic @ old-clocks==1.5"
    assert clocks.record("python:clocks_of_tests:Clock") == "python:clocks_of_tests:Clock"
    with pytest.raises(InputError):
        clocks.record("lost")


@pytest.mark.parametrize(
    ("recorded", "parts"),
    [("a:b @ c==1", ("a:b", "c")), ("a: @ b", ("a: @ b", "")),
     ("x:/home/a @ b/c==1 @ d==2+e", ("x:/home/a @ b/c==1", "d"))],
)  # fmt: skip
def test_a_record_is_taken_apart(recorded, parts):
    assert split_record(recorded) == parts


def test_the_argument_of_a_factory_is_its_first_parameter():
    def none(device=None): ...

    def optional(device=None, place="x"): ...

    def needed(place, device=None): ...

    assert [argument_of(f) for f in (none, optional, needed)] == [("", False), ("PLACE", False), ("PLACE", True)]


def test_the_examples_run():
    failed, tried = doctest.testmod(vclip.registry, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert (failed, tried > 0) == (0, True)
