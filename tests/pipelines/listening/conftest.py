"""One test, made once: two systems, and the references where a store is asked for."""

import json

import pytest

from tests.support.listening_world import photos, say
from tests.support.vclip_command import call


@pytest.fixture(scope="package")
def said(tmp_path_factory):
    """The speech of two systems: a folder each, the second a batch."""
    folder = tmp_path_factory.mktemp("said")
    faces = photos(folder)
    return {
        "informed": say(folder / "secret_a", "informed", faces),
        "naive": say(folder / "secret_b", "naive", faces, True),
    }


@pytest.fixture(scope="package")
def made(said, tmp_path_factory):
    """A listening test of both."""
    out = tmp_path_factory.mktemp("made") / "test"
    assert call("listening-test", "make", *(f"{k}={v}" for k, v in said.items()), "--items", 4, "--out", out) == 0
    return out


@pytest.fixture(scope="package")
def key(made):
    return json.loads((made / "key.json").read_text())
