"""A job on a cluster that grows from 0 to 4 CPUs while it runs: the tasks under way follow.

    python benchmarks/growing_cluster.py [--files 80] [--seconds 0.5]

Ray's own processes stand in for machines (`ray.cluster_utils.Cluster`). First plain tasks of the engine that all jobs
use, then an ingest of stand-in files. A head without CPUs is joined by two nodes of two CPUs each, at 8 s
and at 20 s.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["PYTHONPATH"] = str(ROOT)
NODE = {"num_cpus": 2, "object_store_memory": 100_000_000}
JOINS_S = (8.0, 20.0)


def noted(folder: str, takes_s: float) -> Any:
    """Returns work that notes when and where it ran."""

    def work(item: int, again: bool) -> int:
        import ray

        note = {"node": ray.get_runtime_context().get_node_id(), "start_s": time.time()}
        time.sleep(takes_s)
        Path(folder, f"{item}-{time.time_ns()}").write_text(json.dumps(note | {"end_s": time.time()}))
        return item

    return work


def at_once(notes: list[dict[str, Any]], began_s: float, every_s: float = 2.0) -> dict[str, int]:
    """Returns the tasks under way, at moments after the beginning."""
    end_s = max(note["end_s"] for note in notes)
    moments = [began_s + every_s * n for n in range(int((end_s - began_s) / every_s) + 1)]
    return {
        f"{moment - began_s:.0f} s": sum(note["start_s"] <= moment < note["end_s"] for note in notes)
        for moment in moments
    }


def beside_growth(cluster: Any, job: Callable[[], None]) -> None:
    """Runs a job in a thread while the nodes join; they can only be started by the main thread."""
    with ThreadPoolExecutor(1) as pool:
        began_s, running = time.monotonic(), pool.submit(job)
        for moment_s in JOINS_S:
            time.sleep(max(0.0, began_s + moment_s - time.monotonic()))
            cluster.add_node(**NODE)
        running.result()


def shown(title: str, folder: Path, began_s: float) -> None:
    """Prints the tasks under way over time, and those of each node."""
    notes = [json.loads(path.read_text()) for path in folder.iterdir()]
    print(title, at_once(notes, began_s), "tasks per node", sorted(Counter(n["node"] for n in notes).values()))
    assert max(at_once(notes, began_s, 0.1).values()) == 4, "never as many tasks as CPUs"


def plain_tasks(made: str, files: int, seconds: float) -> None:
    """Runs tasks of the engine."""
    from pipelines.cluster.tasks import run_tasks

    work = noted(f"{made}/notes", seconds)
    done = dict(run_tasks(([n] for n in range(files)), lambda: work, "work", 1.0))
    assert done == {n: n for n in range(files)}


def stand_in_ingest(made: str, files: int, seconds: float) -> None:
    """Ingests stand-in files."""
    from pipelines.ingest.job import ingest
    from stores import Store
    from tests.support import ingest_world

    work = noted(f"{made}/notes", seconds)

    def extract(source: Any, config: Any, detector: Any) -> Any:
        work(int(Path(source.paths[0]).stem), False)
        return ingest_world.extract(source, config)

    ingest_world.write_files(Path(made, "videos"), files, takes_s=0.0)
    config = ingest_world.offline("ingest.commit_every=16", *ingest_world.TINY)
    summary = ingest(ingest_world.sources_in(Path(made, "videos")), f"{made}/store", config, extract)
    assert summary.videos.total() == files, summary.videos
    assert Store.open(f"{made}/store").count("clips") == summary.rows["clips"]


def main() -> None:
    """Runs both jobs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=80)
    parser.add_argument("--seconds", type=float, default=0.5)
    args = parser.parse_args()
    import ray
    import ray.cloudpickle
    from ray.cluster_utils import Cluster

    from tests.support import ingest_world

    ray.cloudpickle.register_pickle_by_value(ingest_world)
    for job in (plain_tasks, stand_in_ingest):
        cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0, "include_dashboard": False})
        ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
        try:
            with tempfile.TemporaryDirectory() as made:
                Path(made, "notes").mkdir()
                began_s = time.time()
                beside_growth(cluster, partial(job, made, args.files, args.seconds))
                shown(job.__name__, Path(made, "notes"), began_s)
        finally:
            ray.shutdown()
            cluster.shutdown()


if __name__ == "__main__":
    main()
