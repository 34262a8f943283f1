"""`vclip runs`: what a run did, what failed in it, and the tracebacks that it kept."""

import json
import multiprocessing
import os
import platform

from pipelines.cluster.failures import Failure, Tracebacks, run_folder
from pipelines.files.remote import RemoteConfig
from stores import Store, VideoRows


def _raised(error):
    try:
        raise error
    except Exception as raised:
        return raised


def test_a_run_shows_its_failed_items_and_the_tracebacks_of_both_kinds(tmp_path, vclip, monkeypatch):
    uri = str(tmp_path / "store")
    store = Store.create(uri, {"face": 2}, {"voice": 2})
    monkeypatch.setenv("COLUMNS", "200")
    failures = {
        "/videos/[a].mp4": Failure.of_defect(_raised(IndexError("out of range"))),
        "/videos/b.mp4": Failure.of_input("cannot be read (no such file)", _raised(OSError("no such file"))),
        "/videos/c\ud800.mp4": Failure("found a lone surrogate"),
    }
    with store.run({"job": "ingest"}, {}) as run:
        kept = Tracebacks(f"{run_folder(uri)}/{run.run_id}", RemoteConfig())
        for number, (name, failure) in enumerate(failures.items()):
            row = {"video_id": f"{number:032}", "uris": [name], "state": "failed", "reason": failure.reason}
            row |= {"run_id": run.run_id, "config_hash": "x", "duration_s": 0.0}
            store.commit([VideoRows(row)])
            kept.keep(failure, name)
        run.summary = {
            "videos": {"done": 1220, "failed": 3},
            "rows": {"clips": 7},
            "known": 20,
            "size_bytes": 5,
            "took_s": 2.5,
        }

    (listed,) = json.loads(vclip("runs", "list", "--store", uri, "--json").out)
    assert (listed["run_id"], listed["job"], listed["state"]) == (run.run_id, "ingest", "finished")
    assert listed["who"].endswith(platform.node())
    assert (listed["counts"], listed["errors"]) == ({"done": 1220, "clips": 7, "known": 20}, 3)
    table = vclip("runs", "list", "--store", uri).out
    assert run.run_id in table
    assert vclip("runs", "--store", uri).out == table

    for words in ("1,220 done, 7 clips, 20 in the store already", " 3 ", "ingest", listed["who"]):
        assert words in table

    plain = vclip("runs", "show", run.run_id, "--store", uri)
    assert plain.code == 0
    assert "took" in plain.out
    assert "5 bytes" in plain.out  # of size_bytes
    assert "Traceback" not in plain.out
    full = vclip("runs", "show", run.run_id, "--store", uri, "--errors")
    assert full.code == 0, full.err
    for word in ("[a].mp4", "IndexError: out of range", "OSError: no such file", "2 tracebacks", "3 failed items"):
        assert word in full.out
    found = json.loads(vclip("runs", "show", run.run_id, "--store", uri, "--errors", "--json").out)
    assert {item["reason"] for item in found["failed"]} == {failure.reason for failure in failures.values()}
    assert len(found["tracebacks"]) == 2

    wrong = vclip("runs", "show", "20260101T000000000000-00000000", "--store", uri)
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "no such run" in wrong.err


def _die_within_a_run(uri):
    with Store.open(uri).run({"job": "ingest"}, {}):
        os._exit(9)


def test_a_killed_run_of_this_machine_is_told_from_one_that_lasts(tmp_path, vclip):
    uri = str(tmp_path / "store")
    store = Store.create(uri, {"face": 2}, {"voice": 2})
    process = multiprocessing.get_context("spawn").Process(target=_die_within_a_run, args=(uri,))
    process.start()
    process.join()
    with store.run({"job": "merge"}, {}):
        found = {run["job"]: run for run in json.loads(vclip("runs", "list", "--store", uri, "--json").out)}
    assert (found["ingest"]["state"], found["ingest"]["took_s"]) == ("killed", None)
    assert found["merge"]["state"] == "running, or killed"
