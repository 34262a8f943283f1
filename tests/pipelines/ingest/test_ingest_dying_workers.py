"""Workers that die: their videos end as rows, and the job goes on."""

import re
from pathlib import Path

import pytest

from pipelines.ingest.job import ingest
from stores import Store
from tests.support import ingest_world
from tests.support.ingest_world import extract, offline, sources_in, write_files

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """One run over good files, one that kills whoever reads it, some that do so once, and one that raises."""
    import ray.cloudpickle

    ray.cloudpickle.register_pickle_by_value(ingest_world)
    folder = tmp_path_factory.mktemp("dying")
    write_files(folder / "videos", 6)
    write_files(folder / "videos", 1, 90, does="dies")
    write_files(folder / "videos", 1, 91, does=f"dies-once {folder / 'mark'}")
    write_files(folder / "videos", 1, 92, does="raises")
    write_files(folder / "videos", 1, 93, clips=40, does=f"dies-between-parts-once {folder / 'between'}")
    seen = []
    store, sources = str(folder / "store"), sources_in(folder / "videos")
    summary = ingest(sources, store, offline(), extract, observe=lambda *args: seen.append(args))
    assert (folder / "between").exists(), "nobody died between two parts"
    assert summary.run_id
    return summary, {row["uris"][0]["uri"][-8:-4]: row for row in Store.open(store).query("videos").to_pylist()}, seen


def test_a_file_that_kills_its_worker_is_a_failed_row_with_its_reason(outcome):
    summary, rows, _ = outcome
    assert rows["0090"]["state"] == "failed"
    assert "the worker died three times" in rows["0090"]["reason"]
    assert summary.videos == {"done": 6, "empty": 2, "failed": 2}


def test_a_defect_in_one_file_is_a_failed_row_that_says_where_its_traceback_is(outcome):
    summary, rows, _ = outcome
    found = re.fullmatch(
        r"internal error: IndexError: out of range \(see (errors/\w+\.txt)\)", rows["0092"]["reason"]
    )
    assert found, rows["0092"]["reason"]
    traceback = (Path(f"{summary.store}.runs") / summary.run_id / found[1]).read_text()
    assert "in _do" in traceback
    assert 'raise IndexError("out of range")' in traceback
    assert "0092.mp4" in traceback


def test_the_others_are_done_and_so_is_one_whose_worker_died_by_chance(outcome):
    _, rows, _ = outcome
    states = {name: row["state"] for name, row in rows.items()}
    assert states["0091"] == "done"
    assert [states[f"{number:04d}"] for number in range(6)] == ["empty", *["done"] * 4, "empty"]


def test_a_long_video_comes_whole_though_its_worker_died_between_its_parts(outcome):
    _, rows, _ = outcome
    assert (rows["0093"]["state"], rows["0093"]["n_clips"], rows["0093"]["n_faces"]) == ("done", 40, 40)


def test_each_video_is_observed_once(outcome):
    summary, rows, seen = outcome
    assert sorted(stored.video["uris"][0]["uri"][-8:-4] for stored, _, _ in seen) == sorted(rows)
    extraction = next(extraction for stored, extraction, _ in seen if stored.video["state"] == "done")
    assert (extraction.candidates[0].outcome, extraction.seconds["decode"]) == ("silent", 0.5)
    assert all(so_far is summary for _, _, so_far in seen)
