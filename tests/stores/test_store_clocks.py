"""Machines whose clocks are wrong by six hours, either way: nothing is lost, doubled or without effect."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from stores import Store
from stores.maintenance.check import check
from stores.maintenance.compact import sweep
from stores.maintenance.delete import delete, is_deletion_unfinished
from stores.maintenance.deletion_plan import DeletionPlan
from tests.support import ROOT
from tests.support.store_world import FACES, VOICES, contents, video

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler"
)
HOURS = [6, -6]
SECONDS = 4
EDITS = """
import sys, datetime
from stores import Store
signed = {"who": "me", "why": "x"}
for line in sys.stdin:
    store, (action, subject) = Store.open(sys.argv[1]), line.rstrip("\\n").split(maxsplit=1)
    if action == "undo":
        edit = store.undo(subject, **signed)
    elif action == "reject":
        edit = store.reject([subject], **signed)[0]
    else:
        edit = store.label([subject], "age", action, **signed)[0]
    print(edit, datetime.datetime.now(datetime.UTC).isoformat(), flush=True)
"""

KILLED_DELETION = """
import os, sys
from stores import Store
from stores.maintenance.delete import delete
from stores.maintenance.deletion_plan import plan_deletion
store = Store.open(sys.argv[1])
delete(store, plan_deletion(store, videos=["video0001"]), beside=lambda plan: os._exit(9))
"""


@pytest.fixture(scope="module")
def shifted(tmp_path_factory):
    """Returns the environment of a process whose clock is ahead by so many hours."""
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    source = ROOT / "tests" / "support" / "shifted_clock.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)

    def environment(hours: int) -> dict[str, str]:
        shift = {"LD_PRELOAD": str(library), "CLOCK_SHIFT_S": str(3600 * hours)}
        return os.environ | {"PYTHONPATH": str(ROOT)} | (shift if hours else {})

    return environment


@contextmanager
def _machine(store: Store, environment: dict[str, str]) -> Iterator[Callable[[str, str], list[str]]]:
    """Yields what edits the store on a machine with its own clock; it returns the edit and the time there."""
    command = [sys.executable, "-c", EDITS, store.uri]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:

        def edit(action: str, subject: str) -> list[str]:
            process.stdin.write(f"{action} {subject}\n")
            process.stdin.flush()
            return process.stdout.readline().split()

        yield edit
    assert process.returncode == 0


@pytest.mark.parametrize("hours", HOURS)
def test_the_later_of_two_edits_counts_whatever_the_clocks_of_their_machines_say(tmp_path, shifted, hours):
    store = Store.create(str(tmp_path / "store"), FACES, VOICES)
    store.commit([video(1)])
    first, second = sorted(store.query("clips", ["clip_id"])["clip_id"].to_pylist())
    with _machine(store, shifted(hours)) as mine, _machine(store, shifted(-hours)) as yours:
        rejected, ahead = mine("reject", first)
        undone, behind = yours("undo", rejected)
        assert (ahead > behind) == (hours > 0)  # the clocks are as far apart as they should be
        assert [(row["edit_id"], row["in_force"]) for row in store.edits()] == [(rejected, False), (undone, True)]
        assert store.count("clips") == 2
        for turn in range(4):
            (mine, yours)[turn % 2](f"age{turn}", second)
    (row,) = store.query("clips", where=f"clip_id = '{second}'").to_pylist()
    assert row["age"] == "age3"


@pytest.mark.parametrize("hours", HOURS)
def test_a_sweep_of_a_machine_with_another_clock_takes_nothing_from_one_that_writes(tmp_path, shifted, hours):
    """The chaos of `test_store_together`: one machine commits while the other sweeps, compacts and prunes."""
    store = Store.create(str(tmp_path / "store"), FACES, VOICES)
    command = [sys.executable, "-m", "tests.support.store_together", store.uri]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = {
        role: subprocess.Popen([*command, role, str(SECONDS)], cwd=ROOT, env=shifted(shift), **pipes)
        for role, shift in (("write", -hours), ("optimize", hours))
    }
    for process in processes.values():
        assert process.stdout.readline() == "ready\n"
    for process in processes.values():
        process.stdin.write("\n")
        process.stdin.flush()
    done = {}
    for role, process in processes.items():
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, (role, err[-3000:])
        done[role] = json.loads(out.splitlines()[-1])
    assert done["optimize"]["rounds"] >= 1
    same = Store.create(str(tmp_path / "same"), FACES, VOICES)
    same.commit(
        [video(int(key.removeprefix("video")), config=config) for key, config in done["write"]["videos"].items()]
    )
    without = ("created_at", "revision", "run_id")
    assert contents(store, without) == contents(same, without)
    sweep(store, older_than_s=0)
    assert contents(store, without) == contents(same, without)
    # Lance may leave files of versions that it prunes (its issue 8942).
    assert {problem.kind for problem in check(store, {}).problems} <= {"unnamed"}


def test_a_deletion_that_was_killed_on_a_machine_with_a_fast_clock_is_ended_by_the_next_one(tmp_path, shifted):
    store = Store.create(str(tmp_path / "store"), FACES, VOICES)
    store.commit([video(1), video(2)])
    command = [sys.executable, "-c", KILLED_DELETION, store.uri]
    assert subprocess.run(command, env=shifted(6)).returncode == 9
    assert is_deletion_unfinished(store)
    assert delete(store, DeletionPlan({}, [], [])).rows["videos"] == 1
    assert not is_deletion_unfinished(store)
    # Lance may leave files of versions that it prunes (its issue 8942).
    assert {problem.kind for problem in check(store, {}).problems} <= {"unnamed"}
