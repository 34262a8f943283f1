"""`vclip query` and `vclip search` print names as they are: square brackets in them are no markup."""

import pytest

from stores import Store
from tests.support.analysis_world import analysis_store

VIDEO = "[red]x Interview [dQw4w9WgXcQ].mp4"


@pytest.fixture(scope="module")
def store(new_uri) -> Store:
    return analysis_store(new_uri(), f"/{VIDEO}")


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")  # no cell is cut


def test_a_query_prints_names_with_brackets(store, vclip):
    columns = ("--select", "clip_id,identity,video_uri", "--where", "identity IS NOT NULL", "--limit", 1)
    said = vclip("query", "--store", store.uri, *columns)
    assert said.code == 0
    assert said.out.count(VIDEO) == 2  # in the identity and in the path
    assert "\n1 of " in said.out


def test_columns_without_a_value_make_room_unless_they_are_chosen(store, vclip):
    without = ("--where", "identity IS NULL", "--limit", 1)
    said = vclip("query", "--store", store.uri, *without)
    head = said.out.split("\n")[1].split()
    assert ("identity" in head, "video_uri" in head) == (False, True)
    assert "\nno value in these rows: identity\n" in said.out
    chosen = vclip("query", "--store", store.uri, *without, "--select", "clip_id,identity")
    assert (chosen.out.split("\n")[1].split(), "without" in chosen.out) == (["clip_id", "identity"], False)


def test_a_query_in_sql_prints_names_with_brackets(store, vclip):
    said = vclip("query", "--store", store.uri, "--sql", "SELECT '[red]x' AS identity, '[bold]' AS \"[red]y\"")
    assert all(text in said.out for text in ("[red]x", "[bold]", "[red]y", "1 row\n"))


def test_a_search_prints_names_with_brackets(store, vclip):
    (face,) = store.query("faces", ["face_id"], limit=1)["face_id"].to_pylist()
    said = vclip("search", "--store", store.uri, "--find", "faces", "--face", face, "-k", 1)
    assert said.code == 0, said.err
    assert VIDEO in said.out
    assert "1 face, exact, from memory" in said.out
