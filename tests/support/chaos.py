"""Ingests on a cluster of two nodes whose processes are killed (SIGKILL): drivers, workers, writers and a node."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.support import ROOT
from tests.support.ingest_world import write_files

VICTIMS = ("driver", "worker", "writer", "node")
LATEST_S = 6.0  # after the last kill
LIMIT_S = 900.0  # of one run, on a machine that does other work too


class Nodes:
    """A head and a second node of one CPU each; the second can be killed and comes back."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100_000_000}
        self._cluster = Cluster(initialize_head=True, head_node_args={**self._node, "include_dashboard": False})
        self._second = self._cluster.add_node(**self._node)

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def kill_node(self) -> None:
        """SIGKILLs the second node's raylet, with which its workers and its objects go, and starts another node."""
        self._raylet(self._second).send_signal(signal.SIGKILL)
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = self._cluster.add_node(**self._node)

    def kill_one(self, titles: str, chance: random.Random) -> bool:
        """SIGKILLs one of the processes with this title, if there is any; returns whether there was."""
        raylets = [self._raylet(node) for node in self._cluster.list_all_nodes()]
        found = [child for raylet in raylets for child in raylet.children() if _title(child).startswith(titles)]
        if found:
            chance.choice(sorted(found, key=lambda process: process.pid)).send_signal(signal.SIGKILL)
        return bool(found)

    def shutdown(self) -> None:
        self._cluster.shutdown()

    def _raylet(self, node: Any) -> psutil.Process:
        return psutil.Process(node.all_processes["raylet"][0].process.pid)


def _title(process: psutil.Process) -> str:
    try:
        return process.cmdline()[0]
    except (psutil.Error, IndexError):
        return ""


class Job:
    """An ingest of folders of stand-in files into a store, in a process of its own that can be started again.

    Args:
        address: of the cluster.
        store: the store.
        folders: with files of `ingest_world`.
        log: what the processes print.
        env: further variables of the process.
    """

    def __init__(self, address: str, store: str, folders: Sequence[Path], log: Path, env: Mapping[str, str] = {}):
        command = [sys.executable, "-m", "tests.support.ingest_driver", store, *map(str, folders), "--retry-failed"]
        self._command, self.log = [*command, "--embed-actors=0"], log
        self._env = {**os.environ, "RAY_ADDRESS": address, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **env}
        self.start()

    def start(self) -> None:
        with open(self.log, "w") as out:
            self._process = subprocess.Popen(self._command, cwd=ROOT, env=self._env, stdout=out, stderr=out)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def works(self) -> bool:
        """Whether its files are being read."""
        return self._process.poll() is None and "to do; run" in self.log.read_text()

    @property
    def was_killed(self) -> bool:
        return self._process.poll() == -signal.SIGKILL

    @property
    def is_over(self) -> bool:
        """Whether it has ended by itself; raises AssertionError if it failed."""
        if self._process.poll() is None or self.was_killed:
            return False
        return bool(self.finished())

    def finished(self) -> str:
        """Waits until it has ended, and returns what it printed; raises AssertionError if it failed."""
        assert self._process.wait(LIMIT_S) == 0, self.log.read_text()[-3000:]
        return self.log.read_text()


def kill(nodes: Nodes, jobs: Mapping[Path, Job], kills: int, seed: int, files: int) -> Counter[str]:
    """Kills so many processes, each kind of VICTIMS in turn, while jobs work; then lets the jobs finish.

    Args:
        nodes: the cluster.
        jobs: the jobs, by the folder that is given further files when a job is through.
        kills: in all.
        seed: of the moments and the victims.
        files: that a folder is given at once.

    Returns:
        What was killed, and how often.
    """
    chance, killed, turns, first = random.Random(seed), Counter[str](), list[str](), 1000
    while killed.total() < kills:
        for folder, job in jobs.items():
            if job.is_over:
                write_files(folder, files, first=first, takes_s=0.3)
                first += files
                job.start()
            elif job.was_killed:
                job.start()
        if not all(job.works for job in jobs.values()):
            time.sleep(0.2)
            continue
        time.sleep(chance.uniform(0, LATEST_S))
        turns = turns or chance.sample(VICTIMS, len(VICTIMS))
        if turns[-1] == "driver":
            chance.choice(list(jobs.values())).kill()
        elif turns[-1] == "node":
            nodes.kill_node()
        elif not nodes.kill_one({"worker": "ray::extract", "writer": "ray::NodeWriter"}[turns[-1]], chance):
            continue
        killed[turns.pop()] += 1
    for job in jobs.values():
        if job.was_killed:
            job.start()
    for job in jobs.values():
        job.finished()
        job.start()  # what was lost at last is done, or known to be done
        job.finished()
    return killed
