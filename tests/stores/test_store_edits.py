"""Corrections by hand: read in place of what was ingested, kept with who and why, undone by another row."""

import unicodedata
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from stores import Store, StoreError
from stores.corrections import in_force
from stores.maintenance.deletion_plan import plan_deletion
from stores.rows import typed
from tests.support.store_world import FACES, LATER, VOICES, contents, video

SIGNED = {"who": "ann", "why": "seen by eye"}


@pytest.fixture(scope="module")
def ingested(tmp_path_factory) -> Store:
    """12 videos, 24 clips; person1 has videos 1 and 8, person2 has 2, person3 has 10."""
    store = Store.create(str(tmp_path_factory.mktemp("edited") / "store"), FACES, VOICES)
    store.commit([video(number) for number in range(12)])
    return store


@pytest.fixture
def untouched(ingested):
    """The store; whatever a test corrects is undone after it."""
    yield ingested
    for edit in ingested.edits():
        if edit["in_force"] and edit["action"] != "undo":
            ingested.undo(edit["edit_id"], "test", "clean up")


def _clips(store, where=None):
    return store.query("clips", where=where, order="clip_id").to_pylist()


def _ids(store):
    return [row["clip_id"] for row in _clips(store)]


def _expected(store, changes, rejected=()):
    """What plain Python makes of the raw rows."""
    rows = store.snapshot(raw=True).query("clips", order="clip_id").to_pylist()
    rows = [{**row, **changes.get(row["clip_id"], {})} for row in rows if row["clip_id"] not in rejected]
    return rows


@pytest.mark.parametrize("typed_as", ["NFC", "NFD"])
def test_a_name_with_an_accent_is_one_name_however_it_is_typed(tmp_path, typed_as):
    store = Store.create(str(tmp_path / "store"), FACES, VOICES)
    named = [replace(video(n), clips=[clip | {"identity": who} for clip in video(n).clips])
             for n, who in enumerate(["Jos\xe9", "Jose\u0301", "Zo\xeb"])]  # fmt: skip
    store.commit(named)
    assert store.count("clips", "identity = 'Jos\xe9'") == 4
    typed_name = unicodedata.normalize(typed_as, "Jos\xe9")
    clip = _clips(store, "identity = 'Zo\xeb'")[0]["clip_id"]
    store.label([clip], "identity", f" {typed_name} ", **SIGNED)
    assert store.count("clips", "identity = 'Jos\xe9'") == 5
    store.merge_people(unicodedata.normalize(typed_as, "Zo\xeb"), typed_name, **SIGNED)
    assert store.count("clips", "identity = 'Jos\xe9'") == 6
    plan = plan_deletion(store, people=[typed_name])
    assert len(plan.ids["clips"]) == 6


def test_a_rejected_clip_its_faces_and_its_voices_are_gone_for_every_reader(untouched):
    store, clip = untouched, _clips(untouched)[5]["clip_id"]
    before = {table: store.count(table) for table in ("clips", "faces", "voices")}
    store.reject([clip], **SIGNED)
    assert {table: before[table] - store.count(table) for table in before} == {"clips": 1, "faces": 2, "voices": 1}
    for table in before:
        assert clip not in store.query(table, ["clip_id"])["clip_id"].to_pylist()
        assert clip not in [c for part in store.snapshot().batches(table) for c in part["clip_id"].to_pylist()]
        assert store.snapshot(raw=True).count(table) == before[table]
        assert (
            store.query(table, where=f"clip_id = '{clip}'").num_rows == store.count(table, f"clip_id = '{clip}'") == 0
        )
    assert clip not in store.pairs()["clip_id"]
    assert clip not in store.nearest("faces", np.ones(8), k=1000).rows["clip_id"].to_pylist()
    assert len(store.pairs()["faces"]) == store.count("faces")


def test_corrected_labels_answer_filters_orders_limits_and_expressions(untouched):
    store, first = untouched, _clips(untouched)
    a, b = first[2]["clip_id"], first[9]["clip_id"]
    store.label([a], "gender", "x", **SIGNED)
    store.label([b], "identity", "person6", **SIGNED)
    store.label([b], "language", "de", **SIGNED)
    store.label([b], "gender", None, **SIGNED)
    expected = _expected(store, {a: {"gender": "x"}, b: {"identity": "person6", "language": "de", "gender": None}})
    assert _clips(store) == expected
    for where, keep in {
        "gender = 'x'": lambda row: row["gender"] == "x",
        "gender IS NULL OR identity = 'person6'": lambda row: not row["gender"] or row["identity"] == "person6",
        "gender = 'f' AND start_s > 3": lambda row: row["gender"] == "f" and row["start_s"] > 3,
        f"gender = '{next(row['gender'] for row in first if row['clip_id'] == a)}'": None,
    }.items():
        keep = keep or (lambda row, where=where: f"'{row['gender']}'" in where)
        assert _clips(store, where) == [row for row in expected if keep(row)]
        assert store.count("clips", where) == sum(map(keep, expected))
    for limit in (1, 3, 30):
        found = store.query("clips", ["clip_id"], limit=limit, order=["-gender", "start_s"])["clip_id"].to_pylist()
        ordered = sorted(
            expected, key=lambda r: (r["gender"] is None, [-ord(c) for c in r["gender"] or ""], r["start_s"])
        )
        assert found == [row["clip_id"] for row in ordered[:limit]]
    lengths = store.query("clips", {"who": "identity", "length_s": "end_s - start_s"}, "language = 'de'")
    assert lengths["who"].to_pylist() == ["person6"]
    rows = [row for part in store.snapshot().batches("clips", ["clip_id", "gender"]) for row in part.to_pylist()]
    assert {row["clip_id"]: row["gender"] for row in rows} == {row["clip_id"]: row["gender"] for row in expected}
    found = store.pairs()
    assert dict(zip(found["clip_id"], found["identity"], strict=True))[b] == "person6"


def test_rows_by_their_numbers_are_corrected_too(untouched):
    store = untouched
    clip = _clips(store, "gender = 'm'")[0]["clip_id"]
    store.label([clip], "gender", "f", **SIGNED)
    snapshot = store.snapshot()
    for where in (None, "gender = 'f'"):
        numbers = snapshot.row_ids("clips", ["clip_id"], where)
        taken = snapshot.take("clips", numbers["_rowid"].to_numpy(), ["gender", "start_s"])
        asked = {row["clip_id"]: row for row in _clips(store, where)}
        assert numbers.num_rows == len(asked)
        for name, row in zip(numbers["clip_id"].to_pylist(), taken.to_pylist(), strict=True):
            assert row == {key: asked[name][key] for key in ("gender", "start_s")}


def test_two_people_become_one_in_the_order_of_the_edits(untouched):
    store = untouched
    of = {row["clip_id"]: row["identity"] for row in _clips(store)}
    first = [clip for clip, person in of.items() if person == "person1"]
    store.merge_people("person1", "person2", **SIGNED)
    store.merge_people("person2", "person3", **SIGNED)
    assert {row["identity"] for row in _clips(store)} == set(of.values()) - {"person1", "person2"}
    back = store.label(first[:1], "identity", "person1", **SIGNED)
    assert store.count("clips", "identity = 'person1'") == 1  # said after the merge, so the merge does not touch it
    store.merge_people("person1", "person4", **SIGNED)
    now = {row["clip_id"]: row["identity"] for row in _clips(store)}
    assert now[first[0]] == "person4"
    assert now[first[1]] == "person3"
    store.undo(back[0], **SIGNED)
    assert {row["clip_id"]: row["identity"] for row in _clips(store)}[first[0]] == "person3"


def test_what_one_call_made_is_undone_together(untouched):
    """And nothing else, whoever made it; what is undone already stays so."""
    store = untouched
    clips = _ids(store)
    (alone,) = store.reject(clips[:1], **SIGNED)
    made = store.reject(clips[1:4], **SIGNED)
    labelled = store.label(clips[4:6], "language", "de", **SIGNED)
    store.undo(made[0], **SIGNED)
    undone = store.undo_together(made[2], "bob", "they were fine")
    assert len(undone) == 2
    standing = {row["edit_id"] for row in store.edits() if row["in_force"] and row["action"] != "undo"}
    assert standing == {alone, *labelled}
    assert _ids(store) == clips[1:]
    with pytest.raises(StoreError, match="all that were made with it are undone already"):
        store.undo_together(made[1], **SIGNED)
    with pytest.raises(StoreError, match="no edit 'nothing'"):
        store.undo_together("nothing", **SIGNED)
    assert len(store.undo_together(undone[0], **SIGNED)) == 2  # the undos of one call are undone together too
    assert _ids(store) == [clips[1], *clips[4:]]


def test_the_people_of_clips_become_one_in_one_action(untouched):
    store = untouched
    before = {row["clip_id"]: row["identity"] for row in _clips(store)}
    some = [next(clip for clip, person in before.items() if person == name) for name in ("person1", "person2", None)]
    made = store.merge_clips(some, "person3", **SIGNED)
    gone = {"person1", "person2", "person3"}
    expected = {clip: "person3" if clip in some or person in gone else person for clip, person in before.items()}
    assert {row["clip_id"]: row["identity"] for row in _clips(store)} == expected
    with pytest.raises(StoreError, match="all of these clips are of 'person3' already"):
        store.merge_clips(some, "person3", **SIGNED)
    assert len(store.undo_together(made[-1], **SIGNED)) == len(made) == 3
    assert {row["clip_id"]: row["identity"] for row in _clips(store)} == before


def test_an_undo_is_a_row_and_can_be_undone(untouched):
    store, raw = untouched, contents(untouched)
    clip = raw["clips"][0]["clip_id"]
    (edit,) = store.reject([clip], **SIGNED)
    undone = store.undo(edit, "bob", "it is fine")
    assert contents(store) == raw
    with pytest.raises(StoreError, match="undone already"):
        store.undo(edit, **SIGNED)
    store.undo(undone, "ann", "it is not")
    assert store.count("clips", f"clip_id = '{clip}'") == 0
    told = [row for row in store.edits() if row["edit_id"] >= edit]
    assert [(row["action"], row["who"], row["why"], row["in_force"]) for row in told] == [
        ("reject", "ann", "seen by eye", True), ("undo", "bob", "it is fine", False),
        ("undo", "ann", "it is not", True),
    ]  # fmt: skip
    assert all(row["created_at"] for row in told)


@pytest.mark.parametrize("seed", range(5))
def test_edits_in_force_equal_the_recursive_definition(seed):
    """An edit is in force unless an undo in force names it."""
    rng, rows = np.random.default_rng(seed), []
    for number in range(30):
        undo = number and rng.uniform() < 0.6
        rows.append(
            {
                "edit_id": str(number),
                "action": "undo" if undo else "reject",
                "subject": str(rng.integers(number or 1)),
            }
        )

    def stands(row):
        return not any(other["action"] == "undo" and other["subject"] == row["edit_id"] and stands(other)
                       for other in rows if int(other["edit_id"]) > int(row["edit_id"]))  # fmt: skip

    assert in_force(rows) == [row for row in rows if stands(row)]


def test_edits_belong_to_the_version_that_a_training_run_pins(untouched):
    store, clip = untouched, _clips(untouched)[0]["clip_id"]
    before = store.version()
    store.reject([clip], **SIGNED)
    assert store.snapshot(before).count("clips") == store.count("clips") + 1
    assert store.snapshot(store.version()).count("clips") == store.count("clips")
    older = {name: version for name, version in before.items() if name != "edits"}  # as noted before there were any
    assert store.snapshot(older).count("clips") == store.count("clips") + 1
    assert store.snapshot(older).version == older


def test_edits_hold_for_what_is_ingested_again(store):
    store.commit([video(1), video(2)])
    clip = _clips(store, "video_id = 'video0001'")[0]["clip_id"]
    store.label([clip], "gender", "x", **SIGNED)
    store.commit([video(1, LATER, "b")])
    same = store.commit([video(1, "20260103T000000000000-00000003", "a")])
    assert same
    assert [row["clip_id"] for row in _clips(store, "gender = 'x'")] == [clip]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda s: s.reject(["nobody"], **SIGNED), "no clip 'nobody'"),
        (lambda s: s.reject([], **SIGNED), "found no clip"),
        (lambda s: s.reject([_clips(s)[0]["clip_id"]], "", "x"), "no who"),
        (lambda s: s.reject([_clips(s)[0]["clip_id"]], "ann", " "), "no why"),
        (
            lambda s: s.label([_clips(s)[0]["clip_id"]], "gendre", "f", **SIGNED),
            "'gendre' is not a label; did you mean 'gender'",
        ),
        (lambda s: s.merge_people("person1", "person1", **SIGNED), "expected two"),
        (lambda s: s.merge_people("o'nobody", "person1", **SIGNED), "no clip has the identity 'o'nobody'"),
        (lambda s: s.undo("nothing", **SIGNED), "no edit 'nothing'"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_no_row(ingested, act, message):
    before = len(ingested.edits())
    with pytest.raises(StoreError, match=message):
        act(ingested)
    assert len(ingested.edits()) == before


def test_a_name_with_quotes_is_a_name(untouched):
    store, clip = untouched, _clips(untouched)[0]["clip_id"]
    store.label([clip], "identity", 'O\'Brien "x" ); --', **SIGNED)
    store.merge_people("person2", 'O\'Brien "x" ); --', **SIGNED)
    assert store.count("clips", "identity = 'O''Brien \"x\" ); --'") == 3


def test_an_undo_of_a_store_of_version_01_has_effect_though_its_clock_was_slow(store):
    """Ids of version 0.1 start with the writer's time: here the undo seems to come six hours before its edit."""
    store.commit([video(1)])
    clip = _clips(store)[0]["clip_id"]
    reject, undo = "20260101T120000000000-00000001", "20260101T060000000000-00000002"
    shared = {"name": "", "value": None, "who": "ann", "why": "x", "created_at": datetime.now(UTC)}
    rows = [
        {"edit_id": reject, "action": "reject", "subject": clip, **shared},
        {"edit_id": undo, "action": "undo", "subject": reject, **shared},
    ]
    store.db.open_table("edits").add(typed("edits", rows))
    assert store.count("clips") == 2
    assert [(row["edit_id"], row["in_force"]) for row in store.edits()] == [(undo, True), (reject, False)]
    # Edits of today come after all of them, and theirs keep their order.
    old = [
        {**rows[0], "edit_id": f"2026010{day}T000000000000-0000000{day}", "action": "label", "name": "age",
         "value": str(day)} for day in (3, 2)
    ]  # fmt: skip
    store.db.open_table("edits").add(typed("edits", old))
    assert _clips(store, f"clip_id = '{clip}'")[0]["age"] == "3"
    store.label([clip], "age", "4", **SIGNED)
    assert _clips(store, f"clip_id = '{clip}'")[0]["age"] == "4"


def test_edits_come_in_the_order_in_which_they_could_see_each_other(store):
    """Writers in turn, each of which has the store open since before; ids do not depend on any clock."""
    store.commit([video(1)])
    clip = _clips(store)[0]["clip_id"]
    writers = [Store.open(store.uri) for _ in range(3)]
    made = [writers[turn % 3].label([clip], "age", str(turn), **SIGNED)[0] for turn in range(9)]
    assert made == sorted(made) == [row["edit_id"] for row in store.edits()]
    assert _clips(store, f"clip_id = '{clip}'")[0]["age"] == "8"
    both = store.label([clip], "age", "a", **SIGNED) + store.reject(
        [row["clip_id"] for row in _clips(store)], **SIGNED
    )
    assert both == sorted(both)
