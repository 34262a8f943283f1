"""Runs: how a store says by whom it was made, and how the living are told from the dead."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from stores import Store, StoreError, runs
from stores.commit import commit
from stores.maintenance.compact import sweep
from tests.support.store_world import crashed_commit, video


def _run(store: Store, run_id: str) -> dict:
    (row,) = store.query("runs", where=f"run_id = '{run_id}'").to_pylist()
    return row


def _age(store: Store, run_id: str, seconds: float) -> None:
    """As if the run had been heard of so long ago."""
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    store.db.open_table("runs").update(where=f"run_id = '{run_id}'", values={"heartbeat_at": moment})


def test_a_store_says_how_it_was_made(store):
    with store.run({"job": "ingest", "inputs": ["videos/"]}, {"encoders": {"face": "dlib"}}) as run:
        assert _run(store, run.run_id)["finished_at"] is None
        store.commit([video(1, run.run_id)])
        run.summary = {"videos": {"done": 1}}
    row = _run(store, run.run_id)
    assert json.loads(row["command"]) == {"job": "ingest", "inputs": ["videos/"]}
    assert json.loads(row["config"]) == {"encoders": {"face": "dlib"}}
    assert json.loads(row["summary"]) == {"videos": {"done": 1}}
    assert row["started_at"] <= row["heartbeat_at"] <= row["finished_at"]


def test_a_run_that_fails_says_by_what(store):
    with pytest.raises(KeyboardInterrupt), store.run({}, {}) as run:
        raise KeyboardInterrupt("stopped by hand")
    assert json.loads(_run(store, run.run_id)["summary"])["ended_by"] == "KeyboardInterrupt: stopped by hand"


def test_the_lease_is_renewed_while_the_run_lasts(store):
    with runs.running(store.db, {}, {}, renew_s=0.05) as run:
        _age(store, run.run_id, 10 * runs.LEASE_S)
        for _ in range(200):
            if datetime.now(UTC) - _run(store, run.run_id)["heartbeat_at"] < timedelta(seconds=runs.LEASE_S):
                return
    pytest.fail("the lease was not renewed")


def test_only_what_the_dead_left_behind_is_swept(store):
    with store.run({}, {}) as living, store.run({}, {}) as dead:
        crashed_commit(store, [video(1, living.run_id)])
        crashed_commit(store, [video(2, dead.run_id)])
        _age(store, dead.run_id, runs.LEASE_S + 60)
        assert sweep(store, older_than_s=0) == 8
        assert store.commit([video(1, living.run_id)]) == {"video0001"}
        with pytest.raises(StoreError, match=r"is over \(lost: its lease ran out\), so it may not write"):
            store.commit([video(2, dead.run_id)])
    assert set(store.ledger()) == {"video0001"}
    assert json.loads(_run(store, dead.run_id)["summary"]) == {"ended_by": runs.LOST}


def test_a_run_that_is_over_has_its_leftovers_swept_at_once(store):
    with store.run({}, {}) as run:
        crashed_commit(store, [video(1, run.run_id)])
    assert sweep(store) == 8


def test_a_commit_that_outlasts_its_lease_starts_over(store):
    """A laptop that slept while it wrote: its rows may have been swept, so they are written again."""
    leases = []

    def overslept_once(db, run_ids) -> runs.Lease:
        leases.append(runs.lease(db, run_ids))
        return leases[-1] if len(leases) > 1 else runs.Lease(datetime.now(UTC) - timedelta(seconds=1))

    spaces = {table: store.spaces(table) for table in ("faces", "voices")}
    with store.run({}, {}) as run:
        assert commit(store.db, spaces, [video(1, run.run_id)], overslept_once) == {"video0001"}
    assert len(leases) == 2
    assert store.count("clips") == store.db.open_table("clips").count_rows() == 2
