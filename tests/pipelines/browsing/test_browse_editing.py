"""Corrections through the page and through the command line."""

import json

import pytest

from pipelines.analysis.query import sql_rows

pytestmark = pytest.mark.slow


def test_a_rejected_clip_is_gone_until_it_is_undone(untouched):
    page, card = untouched, untouched.get("/api/clips", limit=1)["cards"][0]
    before, voice = page.get("/api/clips")["count"], f"/media/voices/{card['voice_id']}"
    assert page.ask(voice).status == 200
    made = page.edit(action="reject", clips=[card["clip_id"]]).json
    assert page.get("/api/clips")["count"] == before - 1
    assert {page.ask(path).status for path in (voice, f"/api/clips/{card['clip_id']}")} == {404}
    assert page.edit(action="undo", edit_id=made["edit_id"]).status == 200
    assert page.get("/api/clips")["count"] == before
    assert page.ask(voice).status == 200
    assert page.get(f"/api/clips/{card['clip_id']}")["edits"] == []  # of those in force
    told = page.get("/api/edits")["actions"]
    assert [(row["action"], row["who"], row["why"]) for row in told[:2]] == [
        ("undo", "ann", "seen"), ("reject", "ann", "seen"),
    ]  # fmt: skip


def test_labels_and_people(untouched):
    page, (one, two) = untouched, untouched.get("/api/clips", limit=2)["cards"]
    assert page.edit(action="label", clips=[one["clip_id"]], name="gender", value="x").status == 200
    assert page.get("/api/clips", gender="x")["cards"] == [one | {"gender": "x"}]
    assert ["x", 1] in page.get("/api/values/gender")
    assert [edit["value"] for edit in page.get(f"/api/clips/{one['clip_id']}")["edits"]] == ["x"]
    assert page.edit(action="merge", clips=[one["clip_id"]], value=two["identity"]).status == 200
    assert len(page.get(f"/api/clips/{two['clip_id']}")["same_person"]) == 1
    with sql_rows(page.store.snapshot(), "SELECT clip_id FROM clips WHERE gender = 'x'") as rows:
        assert rows.read_all()["clip_id"].to_pylist() == [one["clip_id"]]


@pytest.mark.parametrize(
    "edit",
    [
        {"action": "reject", "clips": ["nobody"]}, {"action": "drop", "clips": ["x"]}, {"action": "reject"},
        {"action": "merge", "clips": ["a"], "value": "b"}, {"action": "reject", "clips": ["x"], "path": "/etc"},
        {"action": "undo", "edit_id": "x"}, {"action": "label", "clips": ["x"], "name": "start_s", "value": "0"},
        {"action": "reject", "clips": "x"}, {"action": "reject", "clips": ["x"] * 20_001},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(page, edit):
    before = len(page.store.edits())
    found = page.edit(**edit)
    assert found.status == 400
    assert found.json["error"]
    assert len(page.store.edits()) == before


def test_the_commands(untouched, vclip):
    store = untouched.store
    where = ("--store", store.uri, "--why", "seen")
    clip, other = (card["clip_id"] for card in untouched.get("/api/clips", limit=2)["cards"])
    said = vclip("edit", "reject", clip, *where, "--who", "bob", "--json")
    (edit,) = json.loads(said.out)["edits"]
    assert vclip("edit", "label", other, *where, "--name", "gender", "--value", "").code == 0
    assert vclip("query", "--store", store.uri, "--where", "gender IS NULL").out.endswith("1 row\n")
    assert vclip("query", "--store", store.uri, "--where", "gender IS NULL", "--raw").out.endswith("0 rows\n")
    assert vclip("edit", "undo", edit, *where).code == 0
    rows = json.loads(vclip("edit", "list", "--store", store.uri, "--json").out)
    assert [row["action"] for row in rows[:3]] == ["undo", "label", "reject"]
    assert (rows[2]["who"], rows[2]["in_force"]) == ("bob", False)
    wrong = vclip("edit", "merge", "nobody", "x", *where)
    assert (wrong.code, wrong.out) == (2, "")
    assert "no clip has the identity 'nobody'" in wrong.err
