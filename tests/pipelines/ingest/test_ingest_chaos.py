"""Jobs on a cluster of two nodes: two at once into one store, and one whose processes are killed at random moments.

`benchmarks/chaos.py` kills more often, two jobs at once, and in a bucket.
"""

from collections.abc import Iterator

import pytest

from stores import Store
from stores.maintenance.compact import sweep
from tests.support.chaos import Job, Nodes, kill
from tests.support.ingest_world import assert_same, contents, ingest_here, write_files

pytestmark = pytest.mark.slow

FILES = 24  # at first, and again when all are done before all kills are


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    nodes = Nodes()
    yield nodes
    nodes.shutdown()


@pytest.fixture
def start(nodes, tmp_path) -> Iterator:
    """Starts a job; what still runs is killed afterwards."""
    started = []

    def start(store, *folders) -> Job:
        started.append(Job(nodes.address, store, folders, tmp_path / f"driver{len(started)}.log"))
        return started[-1]

    yield start
    for job in started:
        job.kill()


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
    answer = [one.finished(), other.finished()]
    alone = str(tmp_path / "alone")
    ingest_here(alone, common, mine, yours)
    assert_same(contents(store), contents(alone))
    assert len(contents(store)["videos"]) == 30, answer
    _nothing_is_left_over(store)


def test_killing_driver_workers_and_a_node_changes_nothing(nodes, start, tmp_path):
    folder, store = write_files(tmp_path / "videos", FILES, takes_s=0.3), str(tmp_path / "store")
    kill(nodes, {folder: start(store, folder)}, kills=4, seed=0, files=FILES)
    undisturbed = str(tmp_path / "undisturbed")
    ingest_here(undisturbed, folder)
    assert_same(contents(store), contents(undisturbed))
