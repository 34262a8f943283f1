"""`--json` of the analyses: the keys that scripts read stay, and tables for people hold no Python values."""

import json

import pytest

ABOUT = ["out", "store", "version", "format", "where"]


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (("export", "--format", "csv"), [*ABOUT, "table", "rows", "files"]),
        (("export", "--format", "json", "--sql", "SELECT 1 AS one"), [*ABOUT, "sql", "rows", "files"]),
        (("export", "--format", "webdataset"), [*ABOUT, "clips", "files"]),
        (("export", "--format", "datasets"), [*ABOUT, "clips", "files"]),
        (("map", "--of", "voices"), ["out", "table", "clips", "of", "method", "axes"]),
    ],
    ids=lambda value: " ".join(value[:4]) if isinstance(value, tuple) else "",
)
def test_keys_for_scripts_stay(world, tmp_path, vclip, arguments, keys):
    out = tmp_path / ("map.png" if arguments[0] == "map" else "out")
    said = vclip(*arguments, "--store", world.uri, "--out", out, "--json")
    assert said.code == 0, said.err
    result = json.loads(said.out)
    assert list(result) == keys
    if arguments[0] == "export":
        assert json.loads((out / "export.json").read_text()) == {k: v for k, v in result.items() if k != "out"}


def test_a_map_names_its_axes_to_people(world, tmp_path, vclip):
    said = vclip("map", "--store", world.uri, "--out", tmp_path / "map.png")
    assert "first component, " in said.out
    assert "(" not in said.out  # no tuple
