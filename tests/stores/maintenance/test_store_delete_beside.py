"""A deletion beside other jobs, and on a full disk: one line each, and running again ends it."""

import pytest

from stores import Store, StoreError, StoreUnavailable
from stores.maintenance.check import check
from stores.maintenance.compact import compact, sweep
from stores.maintenance.delete import delete, is_deletion_unfinished
from stores.maintenance.deletion_plan import DeletionPlan, plan_deletion
from tests.support.dying import Dying
from tests.support.interposed import Interposed
from tests.support.store_world import video

VIDEO = "video0001"
RUNNING = "a deletion is running in this store"


def _jobs(store: Store):
    """Name -> what another job does to the store."""
    clip = store.query("clips", ["clip_id"], "video_id = 'video0002'")["clip_id"][0].as_py()
    other = store.query("clips", ["clip_id"], "video_id = 'video0004'")["clip_id"][0].as_py()
    edit = store.reject([clip], "me", "blurred")[0]
    made = {"run_id": "r", "face": "f", "text": "t", "tts": "m", "space": "s", "speaker_vector": [0.5]}
    speaker = {"speaker_id": "m/a", "run_id": "r", "tts": "m", "space": "s", "vector": [0.5]}

    def ingest(store: Store) -> None:
        with store.run({"job": "ingest"}, {}):
            pass

    return {
        "run": ingest,
        "commit": lambda store: store.commit([video(7)]),
        "names": lambda store: store.add_uris({"video0002": ["/data/again.mp4"]}),
        "delete_video": lambda store: store.delete_video("video0002"),
        "reject": lambda store: store.reject([other], "me", "blurred"),
        "undo": lambda store: store.undo(edit, "me", "sharp"),
        "speakers": lambda store: store.add_speakers([speaker]),
        "remove speakers": lambda store: store.remove_speakers(["m/b"]),
        "generations": lambda store: store.add_generations(
            [made | {"generation_id": "g", "audio_uri": "/out/g.wav", "models": {}}]
        ),
        "tag": lambda store: store.tag("now"),
        "sweep": sweep,
        "optimize": compact,
        "delete": lambda store: delete(store, plan_deletion(store, videos=["video0003"])),
    }


def test_whoever_starts_while_a_deletion_runs_is_told_in_one_line(store):
    store.commit([video(number) for number in range(1, 5)])
    jobs, told = _jobs(store), {}

    def try_all() -> None:
        for name, job in jobs.items():
            with pytest.raises(StoreError) as raised:
                job(Store.open(store.uri))
            told[name] = str(raised.value)

    plan = plan_deletion(store, videos=[VIDEO])
    done = delete(store, plan, beside=lambda plan: try_all())
    assert done.after.found == {}
    assert told.keys() == jobs.keys()
    assert all(RUNNING in line or "may be writing" in line for line in told.values()), told
    assert all("\n" not in line for line in told.values())
    assert set(store.tags()) == set()
    assert check(store, {}).problems == []
    for name, job in jobs.items():
        if name != "undo":  # its video is deleted by then
            job(store)


def test_of_a_deletion_and_a_job_that_start_at_once_the_job_goes_on(store):
    """The job starts after the deletion has looked for others, when its row is just being written."""
    store.commit([video(number) for number in range(1, 4)])
    running = []

    def start() -> None:
        job = Store.open(store.uri).run({"job": "ingest"}, {})
        running.append((job, job.__enter__()))

    db = Interposed(store.db).before("runs", "merge_insert", start)
    plan = plan_deletion(store, videos=[VIDEO])
    with pytest.raises(StoreError, match=r"delete: run .* may be writing"):
        delete(Store(store.uri, db), plan)
    assert store.count("clips") == 6
    assert not is_deletion_unfinished(store)
    running[0][0].__exit__(None, None, None)
    assert delete(store, plan_deletion(store, videos=[VIDEO])).after.found == {}


def test_an_edit_whose_file_a_deletion_removed_is_one_line(store):
    """The deletion takes place between the edit's look for one and its writing."""
    store.commit([video(number) for number in range(1, 4)])
    clip = store.query("clips", ["clip_id"], "video_id = 'video0002'")["clip_id"][0].as_py()

    def meanwhile() -> None:
        delete(Store.open(store.uri), plan_deletion(store, videos=[VIDEO]))
        raise RuntimeError("lance error: Not found: edits.lance/data/1.lance")

    db = Interposed(store.db).before("edits", "merge_insert", meanwhile)
    with pytest.raises(StoreError, match="edits: a deletion started in this store meanwhile"):
        Store(store.uri, db).reject([clip], "me", "blurred")
    store.reject([clip], "me", "blurred")


def _line_of(store: Store, plan: DeletionPlan) -> str:
    """What a deletion says when it cannot write; "" if it can."""
    try:
        delete(store, plan)
    except StoreUnavailable as error:
        return str(error)
    return ""


@pytest.mark.slow
def test_a_full_disk_at_any_changing_call_is_one_line_and_run_again_ends_it(store, new_uri):
    calls = 1
    while True:
        other = Store.create(new_uri(), store.spaces("faces"), store.spaces("voices"))
        other.commit([video(number) for number in range(1, 4)])
        other.tag("theirs")
        plan = plan_deletion(other, videos=[VIDEO])
        full = RuntimeError("lance error: LanceError(IO): No space left on device (os error 28), src/io.rs:1")
        with Dying(calls, full) as disk:
            line = _line_of(other, plan)
        if not line:
            assert disk.count < calls
            break
        assert "no space left on the store's device" in line
        assert "\n" not in line
        again = Store.open(other.uri)
        assert delete(again, plan_deletion(again, videos=[VIDEO])).after.found == {}, calls
        assert again.query("videos", ["video_id"], "state = 'done'").num_rows == 2, calls
        assert not again.tags()
        assert check(again, {}).problems == []
        assert not is_deletion_unfinished(again), calls
        calls += 1
    assert calls > 30
