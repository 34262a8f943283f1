"""What is broken by hand is found, each thing once; repair mends it, and takes nothing else."""

import numpy as np
import pyarrow as pa
import pytest

from stores import Store, StoreError
from stores.maintenance.check import check, repair
from stores.maintenance.compact import compact
from tests.support.dying import Dying
from tests.support.store_world import FACE_COLUMN, FACES, VOICES, contents, crashed_commit, video

GOOD = {"faces": lambda data: "" if len(data) == 200 else "short", "voices": lambda data: ""}


@pytest.fixture
def whole(store) -> Store:
    """Thirty videos."""
    store.commit([video(number) for number in range(30)])
    return store


def _found(store: Store) -> dict[tuple[str, str], int]:
    return {(problem.kind, problem.table): problem.count for problem in check(store, GOOD).problems}


def _raw(store: Store, table: str) -> pa.Table:
    return store.db.open_table(table).to_arrow()


def _again(store: Store, table: str, where, **changes) -> None:
    """Replaces the rows of a table at some places, as no code of the house would."""
    rows = _raw(store, table)
    key = rows.column_names[0]
    taken = rows.take(where).to_pylist()
    quoted = ", ".join(f"'{row[key]}'" for row in taken)
    store.db.open_table(table).delete(f"{key} IN ({quoted})")
    # By Lance itself, for LanceDB would refuse a NaN.
    store.db.open_table(table).to_lance().insert(
        pa.Table.from_pylist([row | changes for row in taken], schema=rows.schema)
    )


def test_a_sound_store_has_nothing_wrong(whole):
    assert _found(whole) == {}
    assert repair(whole, check(whole, GOOD)) == {}


def test_doubled_rows_are_found_and_one_of_each_stays(whole):
    before = contents(whole)
    for table in ("faces", "clips"):
        whole.db.open_table(table).add(_raw(whole, table).take([3, 7]))
    assert _found(whole) == {("doubled", "faces"): 2, ("doubled", "clips"): 2, ("miscounted", "videos"): 3}
    repair(whole, check(whole, GOOD))
    assert _found(whole) == {}
    assert contents(whole) == before


def test_a_clip_that_is_gone_leaves_orphans(whole):
    clip = whole.query("clips", ["clip_id"], "video_id = 'video0004'")["clip_id"][0].as_py()
    whole.db.open_table("clips").delete(f"clip_id = '{clip}'")
    assert _found(whole) == {("orphaned", "faces"): 2, ("orphaned", "voices"): 1, ("miscounted", "videos"): 1}
    repair(whole, check(whole, GOOD))
    assert _found(whole) == {}
    row = whole.query("videos", ["n_clips", "n_faces", "n_voices"], "video_id = 'video0004'").to_pylist()
    assert row == [{"n_clips": 1, "n_faces": 2, "n_voices": 1}]
    assert whole.count("clips") == 59


def test_a_video_without_rows_is_done_again(whole):
    for table in ("clips", "faces", "voices"):
        whole.db.open_table(table).delete("video_id = 'video0004'")
    assert _found(whole) == {("miscounted", "videos"): 1}
    repair(whole, check(whole, GOOD))
    assert "video0004" not in whole.ledger()
    assert whole.commit([video(4)]) == {"video0004"}
    assert _found(whole) == {}


def test_vectors_and_media_are_looked_at(whole):
    dim = next(iter(FACES.values()))
    _again(whole, "faces", [5, 50], **{FACE_COLUMN: [float("nan")] * dim})
    _again(whole, "faces", [20], **{FACE_COLUMN: [2.0] * dim})
    _again(whole, "faces", [30, 40, 60], image=b"torn")
    _again(whole, "voices", [2], audio=b"")
    assert _found(whole) == {
        ("not_finite", "faces"): 2, ("not_unit", "faces"): 1, ("unreadable", "faces"): 3, ("no_media", "voices"): 1,
    }  # fmt: skip
    assert repair(whole, check(whole, GOOD))["faces"] == 5
    assert set(_found(whole)) == {("not_unit", "faces"), ("no_media", "voices")}
    assert whole.count("faces") == 115


def test_a_space_without_unit_norm_is_none_the_worse(tmp_path):
    store, rng = Store.create(str(tmp_path / "s"), {"f": 4}, {"v": 4}), np.random.default_rng(0)
    rows = video(1)
    for row in (*rows.faces, *rows.voices):
        row["vectors"] = {"f" if "face_id" in row else "v": 7 * rng.normal(size=4).astype(np.float32)}
    store.commit([rows])
    assert _found(store) == {}


def test_what_crashed_commits_left_is_told_and_swept(whole):
    before = contents(whole)
    crashed_commit(whole, [video(40)])
    found = _found(whole)
    assert found == {("uncommitted", table): 1 for table in ("clips", "faces", "voices")}
    repair(whole, check(whole, GOOD), sweep_older_than_s=0)
    assert _found(whole) == {}
    assert contents(whole) == before


def test_a_repair_mends_only_what_was_checked(whole):
    whole.db.open_table("faces").add(_raw(whole, "faces").take([3]))
    report = check(whole, GOOD)
    compact(whole)  # rows have other places now
    with pytest.raises(StoreError, match="has changed since it was checked"):
        repair(whole, report)


def test_a_full_disk_at_any_changing_call_of_a_repair_is_one_line_and_run_again_ends_it(new_uri):
    full = RuntimeError("lance error: LanceError(IO): No space left on device (os error 28), src/io.rs:1")
    calls = 1
    while True:
        broken = Store.create(new_uri(), FACES, VOICES)
        broken.commit([video(number) for number in range(1, 4)])
        broken.db.open_table("faces").add(_raw(broken, "faces").take([3]))
        broken.db.open_table("voices").delete("video_id = 'video0003'")
        for table in ("clips", "faces", "voices"):
            broken.db.open_table(table).delete("video_id = 'video0001'")
        with Dying(calls, full) as disk:
            try:
                repair(broken, check(broken, GOOD))
            except StoreError as error:
                line = str(error)
            else:
                assert disk.count < calls
                break
        assert "no space left on the store's device" in line, calls
        assert "\n" not in line
        again = Store.open(broken.uri)
        repair(again, check(again, GOOD))
        assert _found(again) == {}, calls
        calls += 1
    assert calls > 2
