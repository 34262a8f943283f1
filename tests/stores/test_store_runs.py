"""Runs: how a store says by whom it was made, and how the living are told from the dead."""

import json
import platform
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from stores import Store, StoreError, exclusion, leases, run_id, runs
from stores.maintenance.check import check
from stores.maintenance.compact import sweep
from stores.processes import Clock
from stores.rows import typed
from tests.support import ROOT
from tests.support.interposed import Interposed, killed
from tests.support.store_world import FACES, VOICES, contents, crashed_commit, video


def _run(store: Store, run_id: str) -> dict:
    (row,) = store.query("runs", where=f"run_id = '{run_id}'").to_pylist()
    return row


def _shift(store: Store, run_id: str, hours: float) -> None:
    """As if the clock of the machine that holds the run were wrong by so many hours."""
    moment = datetime.now(UTC) + timedelta(hours=hours)
    store.db.open_table("runs").update(where=f"run_id = '{run_id}'", values={"heartbeat_at": moment})


def _run_elsewhere(store: Store) -> str:
    """A run of a process on another machine, of which nothing is known here but its row."""
    run, now = run_id(), datetime.now(UTC)
    row = {"run_id": run, "command": {}, "config": {}, "summary": {"held_by": "boot/pid:[1]/7/7"}}
    row |= {"started_at": now, "heartbeat_at": now, "finished_at": None}
    store.db.open_table("runs").add(typed("runs", [row]))
    return run


class _Observer:
    """A machine that looks at runs, with a clock of its own."""

    def __init__(self, name: str = "observer"):
        self.passed_s = 5000.0
        self.clock = Clock(name, lambda: self.passed_s)


def test_a_store_says_how_it_was_made(store):
    with store.run({"job": "ingest", "inputs": ["videos/"]}, {"encoders": {"face": "dlib"}}) as run:
        assert _run(store, run.run_id)["finished_at"] is None
        store.commit([video(1, run.run_id)])
        run.summary = {"videos": {"done": 1}}
    row = _run(store, run.run_id)
    command = json.loads(row["command"])
    assert command.pop("who").endswith(platform.node())
    assert command == {"job": "ingest", "inputs": ["videos/"]}
    assert json.loads(row["config"]) == {"encoders": {"face": "dlib"}}
    assert json.loads(row["summary"]) == {"videos": {"done": 1}}
    assert row["started_at"] <= row["heartbeat_at"] <= row["finished_at"]


def test_a_run_that_fails_says_by_what(store):
    with pytest.raises(KeyboardInterrupt), store.run({}, {}) as run:
        raise KeyboardInterrupt("stopped by hand")
    assert json.loads(_run(store, run.run_id)["summary"])["ended_by"] == "KeyboardInterrupt: stopped by hand"


def test_the_lease_is_renewed_while_the_run_lasts(store):
    with runs.running(store.db, {}, {}, renew_s=0.05) as run:
        before = _run(store, run.run_id)["heartbeat_at"]
        for _ in range(200):
            if _run(store, run.run_id)["heartbeat_at"] != before:
                return
    pytest.fail("the lease was not renewed")


@pytest.mark.parametrize("hours", [-6, 0, 6])
def test_only_what_the_lost_left_behind_is_swept_whatever_their_clocks_say(store, hours):
    here = _Observer()
    living, dead = _run_elsewhere(store), _run_elsewhere(store)
    for number, run in enumerate((living, dead), start=1):
        _shift(store, run, hours)
        crashed_commit(store, [video(number, run)])
    assert sweep(store, 0, here.clock) == 0  # a first look
    here.passed_s += leases.LEASE_S + 1
    leases.renew(store.db, living)
    _shift(store, living, -hours)  # a clock that is set back makes another token too
    assert sweep(store, 0, _Observer("another").clock) == 0
    assert sweep(store, 0, here.clock) == 8
    assert store.commit([video(1, living)]) == {"video0001"}
    with pytest.raises(StoreError, match=r"is over \(lost: its lease ran out\), so it may not write"):
        store.commit([video(2, dead)])
    assert set(store.ledger()) == {"video0001"}
    assert json.loads(_run(store, dead)["summary"]) == {"ended_by": leases.LOST}


def test_looks_are_kept_for_later_commands_and_forgotten_with_their_run(store):
    here, run = _Observer(), _run_elsewhere(store)
    assert set(leases.alive(store.db, here.clock)) == {run}
    here.passed_s += leases.LEASE_S / 2
    with pytest.raises(StoreError, match=rf"delete: run {run} may be writing; .* try again in 8 min"):
        exclusion.check_alone(Store.open(store.uri).db, "delete", here.clock)
    here.passed_s += leases.LEASE_S / 2
    exclusion.check_alone(Store.open(store.uri).db, "delete", here.clock)
    assert not [key for key in store.db.open_table("runs").to_lance().config() if run in key]


CHILD = """
import sys, time
from stores import Store
from tests.support.store_world import crashed_commit, video
store = Store.open(sys.argv[1])
with store.run({"job": "ingest"}, {}) as run:
    crashed_commit(store, [video(1, run.run_id)])
    print(run.run_id, flush=True)
    time.sleep(600)
"""


def test_a_killed_process_of_this_machine_is_known_to_be_lost_at_once(tmp_path):
    store = Store.create(str(tmp_path / "store"), FACES, VOICES)
    process = subprocess.Popen([sys.executable, "-c", CHILD, store.uri], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    run = process.stdout.readline().strip()
    assert sweep(store) == 0
    with pytest.raises(StoreError, match=f"run {run} may be writing"):
        exclusion.check_alone(store.db, "delete")
    process.kill()
    process.wait()
    assert sweep(store) == 8
    exclusion.check_alone(store.db, "delete")


def test_a_run_that_is_over_has_its_leftovers_swept_at_once(store):
    with store.run({}, {}) as run:
        crashed_commit(store, [video(1, run.run_id)])
    assert sweep(store) == 8


def _lose(store: Store, run: str) -> None:
    """Another machine takes the run for lost and sweeps."""
    other, here = Store.open(store.uri), _Observer()
    leases.alive(other.db, here.clock)
    here.passed_s += leases.LEASE_S + 1
    exclusion.check_alone(other.db, "delete", here.clock)
    sweep(other, 0, here.clock)


# Before the faces are named, just before the ledger is swapped, and after: deletions are looked for, then the run's
# row is read, renewed, read and read again.
@pytest.mark.parametrize(
    "moment",
    [("faces", "to_lance", 2), ("videos", "merge_insert"), ("runs", "open_table", 5)],
    ids=["data", "swap", "after"],
)
@pytest.mark.parametrize("replaced", [False, True])
def test_a_commit_whose_run_is_taken_for_lost_meanwhile_fails_and_the_ledger_names_no_swept_rows(
    store, moment, replaced
):
    """The run lives, but its machine slept, and another machine swept: at any moment of its commit."""
    if replaced:
        store.commit([video(1, config="old", clips=3)])
    before, before_ids = contents(store), store.ledger()
    run = _run_elsewhere(store)
    db = Interposed(store.db).before(moment[0], moment[1], lambda: _lose(store, run), *moment[2:])
    with pytest.raises(StoreError, match=f"run {run}: is over"):
        Store(store.uri, db).commit([video(1, run), video(2, run)])
    if moment[0] == "faces":
        assert contents(store) == before
    # Whole as committed, where the sweep came after the swap, or not in the ledger.
    assert (
        set(store.ledger())
        == {"faces": set(before_ids), "videos": set(), "runs": {"video0001", "video0002"}}[moment[0]]
    )
    sweep(store, 0)
    assert [p.kind for p in check(store, {}).problems] == []
    again = run_id()
    store.commit([video(1, again), video(2, again)])
    assert {key: row["state"] for key, row in store.ledger().items()} == {"video0001": "done", "video0002": "done"}


def test_a_ledger_row_of_a_lost_run_that_names_swept_rows_is_taken_back_by_the_next_sweep(store):
    """The commit was killed just after its swap, before which a whole sweep had taken place."""
    run = _run_elsewhere(store)
    db = Interposed(store.db).before("videos", "merge_insert", lambda: _lose(store, run))
    db.before("runs", "search", killed, calls=3)  # the run's row is read before the data, before the swap, after it
    with pytest.raises(KeyboardInterrupt):
        Store(store.uri, db).commit([video(1, run)])
    assert set(store.ledger()) == {"video0001"}
    sweep(store)
    assert store.ledger() == {}
    assert check(store, {}).problems == []
