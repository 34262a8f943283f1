"""`vclip edit`: clips by their ids or by a filter, and the undo of all that one command made."""

import json
import shlex

import pytest

from stores import Store
from tests.support.store_world import FACES, VOICES, video


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store.create(str(tmp_path / "store"), FACES, VOICES)
    store.commit([video(number) for number in range(12)])
    return store


def test_a_filter_rejects_or_labels_many_and_one_undo_takes_all_back(store, vclip):
    signed = ("--store", store.uri, "--why", "too short")
    short = store.count("clips", "end_s - start_s < 3")
    assert short > 10
    said = vclip("edit", "reject", "--where", "end_s - start_s < 3", *signed)
    assert said.code == 0
    assert said.out.startswith(f"{short} edits; undo them by: vclip edit undo ")
    assert (store.count("clips"), store.count("clips", "end_s - start_s < 3")) == (24 - short, 0)
    left = vclip("edit", "label", "--where", "gender = 'f'", "--name", "language", "--value", "de", *signed, "--json")
    assert len(json.loads(left.out)["edits"]) == store.count("clips", "language = 'de'") > 0
    listed = vclip("edit", "list", "--store", store.uri).out
    assert f"{short} clips" in listed
    undo = shlex.split(said.out.partition("by: vclip ")[2])
    assert undo[2] in listed
    assert vclip(*undo).code == 0
    assert store.count("clips") == 24
    listed = vclip("edit", "list", "--store", store.uri).out
    assert "undone" in listed
    assert listed.splitlines()[-1].endswith(f", {len(json.loads(left.out)['edits'])} in force")


def test_a_few_edits_are_listed_and_counted(store, vclip):
    clips = store.query("clips", ["clip_id"])["clip_id"].to_pylist()[:3]
    said = vclip("edit", "reject", *clips, "--store", store.uri, "--why", "too short").out.splitlines()
    assert said[:3] == sorted(row["edit_id"] for row in store.edits())
    undo = f"vclip edit undo {said[0]} --together --store {store.uri} --why REASON"
    assert said[3:] == [f"3 edits; undo them by: {undo}"]
    assert vclip("edit", "undo", said[0], "--store", store.uri, "--why", "x").out.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ((), "found neither clips nor --where"),
        (("a", "--where", "true"), "found both clips and --where"),
        (("--where", "start_s > 1000"), "found no clip where start_s > 1000"),
        (("--where", "started > 1"), "started"),
    ],
)
def test_what_names_no_clip_is_one_line_and_edits_nothing(store, vclip, options, named):
    said = vclip("edit", "reject", *options, "--store", store.uri, "--why", "x")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert named in said.err
    assert store.edits() == []
