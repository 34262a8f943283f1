"""`vclip embed --column dubbed`: the probability of dubbing by all evidence, beside that of the lips."""

import json

import numpy as np
import pyarrow as pa
import pytest

from pipelines.config import Config
from pipelines.maintenance.dubbed import fill_dubbed
from stores import Store, VideoRows
from stores.maintenance.backfill import KEY
from stores.maintenance.columns import REASON, ColumnFill
from stores.maintenance.merge import merge
from tests.support.analysis_world import near
from tests.support.store_world import FACES, VOICES, video
from vclip.association.hashes import hashes_of
from vclip.association.model import AssociationConfig, AssociationModel

PEOPLE = 24
DUBBED, ALONE, UNKNOWN = "video0003", "video0100", "video0101"  # under another's voice; of people in one video


def _video(number, person, voice=None, dubbed=0.1):
    """A video with one clip of a person."""
    rows, rng = video(number, clips=1), np.random.default_rng(number)
    voice = person if voice is None else voice
    return VideoRows(
        rows.video,
        [rows.clips[0] | {"identity": f"person{person}", "dubbed": dubbed}],
        [{**face, "vectors": {of: near(person, dim, rng) for of, dim in FACES.items()}} for face in rows.faces],
        [{**one, "vectors": {of: near(100 + voice, dim, rng) for of, dim in VOICES.items()}} for one in rows.voices],
    )


@pytest.fixture
def store(new_uri):
    """People in two videos each, one of them under the voice of another person; and two people in one video."""
    store = Store.create(new_uri(), FACES, VOICES)
    videos = [_video(number, number % PEOPLE, dubbed=0.02) for number in range(2 * PEOPLE) if number != 3]
    alone = [_video(100, 100, dubbed=0.3), _video(101, 101, dubbed=None)]
    store.commit([*videos, _video(3, 3, voice=9, dubbed=0.4), *alone])
    return store


def _values(store):
    rows = store.query("clips", ["video_id", "dubbed", "dubbed_combined"]).to_pylist()
    return {row["video_id"]: (row["dubbed"], row["dubbed_combined"]) for row in rows}


def test_the_voices_of_other_videos_decide_and_a_second_run_changes_nothing(store):
    result = fill_dubbed(store.uri, Config())
    values = _values(store)
    assert values[DUBBED][0] == pytest.approx(0.4)
    assert values[DUBBED][1] > 0.8
    assert [name for name, (_, combined) in values.items() if combined and combined > 0.5] == [DUBBED]
    assert values[ALONE] == (pytest.approx(0.3), pytest.approx(0.3))
    assert values[UNKNOWN] == (None, None)
    assert (result.clips, result.with_lips, result.with_other_videos) == (50, 49, 48)
    assert (result.with_association, result.probably_dubbed) == (0, 1)
    fill_dubbed(store.uri, Config())
    assert _values(store) == values


def test_rows_of_later_ingests_and_rejected_clips_are_null(store):
    fill_dubbed(store.uri, Config())
    store.commit([_video(200, 5, dubbed=0.02)])
    assert _values(store)["video0200"][1] is None
    (clip,) = store.query("clips", ["clip_id"], f"video_id = '{DUBBED}'")["clip_id"].to_pylist()
    (edit,) = store.reject([clip], "me", "dubbed")
    assert fill_dubbed(store.uri, Config()).clips == 50
    assert _values(store)["video0200"][1] < 0.02
    store.undo(edit, "me", "not dubbed")
    assert _values(store)[DUBBED][1] is None


def test_a_merge_leaves_the_values_of_another_store_and_names_the_column(store, new_uri):
    other = Store.create(new_uri(), FACES, VOICES)
    other.commit([_video(300, 5)])
    for one in (store, other):
        fill_dubbed(one.uri, Config())
    before = _values(store)
    with store.run({}, {}) as run:
        done = merge(store, other, run.run_id)
    assert done.null == done.left == ["clips.dubbed_combined"]
    assert _values(store) == before | {"video0300": (pytest.approx(0.1), None)}


def test_what_a_killed_run_left_is_not_used(store):
    fill = ColumnFill(store, "clips", {"dubbed_combined": float}, "dubbed", "no model")
    keys = fill.todo().keys[:20]
    fill.add_rows(pa.table({KEY: keys, "dubbed_combined": pa.array([0.5] * 20, pa.float32()), REASON: pa.nulls(20)}))
    fill_dubbed(store.uri, Config())
    assert 0.5 not in {combined for _, combined in _values(store).values()}
    assert set(store.db.list_tables().tables) == set(store.info()["rows"])


def test_the_command_fills_what_a_query_filters_by(store, vclip):
    answer = vclip("embed", "--store", store.uri, "--column", "dubbed", "--json")
    assert json.loads(answer.out)["column"] == "clips.dubbed_combined"
    answer = vclip("query", "--store", store.uri, "--where", "dubbed_combined > 0.5", "--format", "jsonl")
    assert [row["video_id"] for row in map(json.loads, answer.out.splitlines())] == [DUBBED]
    answer = vclip("embed", "--store", store.uri, "--column", "dnsmos", "--model", "work/model")
    assert answer.code == 2
    assert "--model work/model: is for --column dubbed" in answer.err


def test_a_model_gives_evidence_of_people_whom_it_has_not_seen(store, vclip, tmp_path):
    (face_space, d_face), (voice_space, d_voice) = *FACES.items(), *VOICES.items()
    model = AssociationModel(face_space, voice_space, d_face, d_voice, AssociationConfig(hidden=8, coupling_hidden=8))
    people = np.unique(store.query("clips", ["identity"])["identity"].to_numpy().astype(str))
    model.seen = hashes_of("identity", people[:10])
    model.save(tmp_path / "model", {})
    answer = vclip("embed", "--store", store.uri, "--column", "dubbed", "--model", tmp_path / "model", "--json")
    result = json.loads(answer.out)
    seen = store.count("clips", f"identity IN ({', '.join(map(repr, people[:10].tolist()))})")
    assert result["seen_in_training"] == seen > 0
    assert result["with_association"] in (0, result["clips"] - seen)  # random weights may tell nothing
    assert f"trained on the people of {seen} of 50 clips: it says nothing about these" in answer.err
    assert result["version"].startswith("model ")
