"""Commits, searches and compaction at the same time from three processes: nothing is lost, doubled or failed."""

import json
import os
import subprocess
import sys

from stores import Store
from stores.maintenance.check import check
from tests.support import ROOT
from tests.support.store_world import FACES, VOICES, contents, video

SECONDS = float(os.environ.get("VCLIP_TOGETHER_S", "4"))  # 120 for the long run
WITHOUT = ("created_at", "revision", "run_id")


def test_ingest_search_and_optimize_at_once(store, tmp_path):
    command = [sys.executable, "-m", "tests.support.store_together", store.uri]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = {
        role: subprocess.Popen([*command, role, str(SECONDS)], cwd=ROOT, **pipes)
        for role in ("write", "search", "optimize")
    }
    for process in processes.values():
        assert process.stdout.readline() == "ready\n"
    for process in processes.values():  # only now, for they take seconds to load
        process.stdin.write("\n")
        process.stdin.flush()
    ended = {role: process.communicate(timeout=SECONDS + 300) for role, process in processes.items()}
    done = {}
    for role, (out, err) in ended.items():
        assert processes[role].returncode == 0, (role, err[-3000:])
        done[role] = json.loads(out.splitlines()[-1])
    print({"videos": len(done["write"]["videos"]), **done["search"], **done["optimize"]})
    assert done["search"]["queries"] >= 4
    assert done["optimize"]["rounds"] >= 1
    written = done["write"]["videos"]
    same = Store.create(str(tmp_path / "same"), FACES, VOICES)
    same.commit([video(int(key.removeprefix("video")), config=config) for key, config in written.items()])
    assert contents(store, WITHOUT) == contents(same, WITHOUT)
    assert {p.kind for p in check(store, {}).problems} <= {
        "unnamed"
    }  # of versions that Lance pruned (its issue 8942)
