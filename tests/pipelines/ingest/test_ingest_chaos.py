"""Jobs on a cluster of two nodes: two at once into one store, and one whose processes are killed at random moments.

VCLIP_CHAOS_KILLS sets how often; the form that is meant to convince kills 100 times.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stores import Store
from stores.maintenance.compact import sweep
from tests.support import ROOT
from tests.support.ingest_world import assert_same, contents, ingest_here, write_files

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("VCLIP_CHAOS_KILLS", "3"))
SEED = int(os.environ.get("VCLIP_CHAOS_SEED", "0"))
VICTIMS = ("driver", "worker", "raylet")
LATEST_S = 6.0  # after the last kill, or after the driver has begun
FILES = 24  # at first, and again when all are done before all kills are
LIMIT_S = 600  # of one run, on a machine that does other work too


class Nodes:
    """A head and a second node of one CPU each; the second can be killed and comes back."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._node = {"num_cpus": 1, "object_store_memory": 100_000_000}
        self._cluster = Cluster(initialize_head=True, head_node_args={**self._node, "include_dashboard": False})
        self._second = self._cluster.add_node(**self._node)

    @property
    def address(self) -> str:
        return self._cluster.address

    def kill_raylet(self) -> None:
        """SIGKILLs the second node's raylet, with which its workers and its objects go, and starts another node."""
        self._raylet(self._second).send_signal(signal.SIGKILL)
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = self._cluster.add_node(**self._node)

    def kill_worker(self, chance: random.Random) -> bool:
        """SIGKILLs one of the processes that extract, embed or write; returns whether there was one."""
        raylets = [self._raylet(node) for node in self._cluster.list_all_nodes()]
        workers = [child for raylet in raylets for child in raylet.children() if _busy(child)]
        if workers:
            chance.choice(sorted(workers, key=lambda worker: worker.pid)).send_signal(signal.SIGKILL)
        return bool(workers)

    def shutdown(self) -> None:
        self._cluster.shutdown()

    def _raylet(self, node: object) -> psutil.Process:
        return psutil.Process(node.all_processes["raylet"][0].process.pid)


def _busy(process: psutil.Process) -> bool:
    try:
        title = process.cmdline()[0]
    except (psutil.Error, IndexError):
        return False
    return title.startswith(
        ("ray::extract", "ray::StageActor", "ray::Writer")
    )  # not Ray's agents: a node dies with them, and the head node with its driver


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    nodes = Nodes()
    yield nodes
    nodes.shutdown()


@pytest.fixture
def start(nodes, tmp_path) -> Iterator:
    """Starts a job in a process of its own; what still runs is killed afterwards."""
    started = []

    def start(store: str, *folders: Path) -> subprocess.Popen:
        log = tmp_path / f"driver{len(started)}.log"
        # By turns the tasks embed, and an actor does.
        actors = f"--embed-actors={len(started) % 2}"
        command = [
            sys.executable,
            "-m",
            "tests.support.ingest_driver",
            store,
            *map(str, folders),
            "--retry-failed",
            actors,
        ]
        env = os.environ | {"RAY_ADDRESS": nodes.address, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        with open(log, "w") as out:
            started.append(subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out))
        started[-1].log = log
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def _finished(process: subprocess.Popen) -> str:
    assert process.wait(LIMIT_S) == 0, process.log.read_text()[-3000:]
    return process.log.read_text()


def _nothing_is_left_over(store: str) -> None:
    """What runs that are over have left goes; then the tables hold what readers see, and no more."""
    opened = Store.open(store)
    sweep(opened, older_than_s=0)
    for table in ("clips", "faces", "voices"):
        assert opened.db.open_table(table).count_rows() == opened.count(table), table


def test_two_jobs_at_once_lose_and_double_nothing(start, tmp_path):
    common = write_files(tmp_path / "common", 10)
    mine, yours = write_files(tmp_path / "mine", 10, first=100), write_files(tmp_path / "yours", 10, first=200)
    store = str(tmp_path / "store")
    one, other = start(store, common, mine), start(store, common, yours)
    answer = [_finished(one), _finished(other)]
    alone = str(tmp_path / "alone")
    ingest_here(alone, common, mine, yours)
    assert_same(contents(store), contents(alone))
    assert len(contents(store)["videos"]) == 30, answer
    _nothing_is_left_over(store)


def test_killing_driver_workers_and_a_node_changes_nothing(nodes, start, tmp_path):
    chance, killed, victims = random.Random(SEED), Counter(), []
    folder, files, store = write_files(tmp_path / "videos", FILES, takes_s=0.3), FILES, str(tmp_path / "store")
    driver, again_s = start(store, folder), None
    while killed.total() < KILLS:
        if driver.poll() is not None:
            if driver.returncode != -signal.SIGKILL:
                _finished(driver)
                write_files(folder, FILES, first=files, takes_s=0.3)
                files += FILES
            driver, again_s = start(store, folder), None
        if "to do; run" not in driver.log.read_text():
            time.sleep(0.2)
        elif again_s is None or time.monotonic() < again_s:
            again_s = again_s or time.monotonic() + chance.uniform(0, LATEST_S)
            time.sleep(0.05)
        else:
            victims, again_s = victims or chance.sample(VICTIMS, len(VICTIMS)), None
            victim = victims[-1]
            if victim == "driver":
                driver.kill()
                driver.wait()
            elif victim == "raylet":
                nodes.kill_raylet()
            elif not nodes.kill_worker(chance):
                continue
            killed[victims.pop()] += 1
    if driver.wait(LIMIT_S) != -signal.SIGKILL:
        _finished(driver)
    _finished(start(store, folder))
    undisturbed = str(tmp_path / "undisturbed")
    ingest_here(undisturbed, folder)
    assert_same(contents(store), contents(undisturbed))
    print(f"killed {dict(killed)} over {files} files")
