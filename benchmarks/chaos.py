"""Kill the processes of ingests again and again: the store must end as one that nobody disturbed.

    python benchmarks/chaos.py [--kills 100] [--jobs 2] [--s3] [--seed 0]

Stand-in files (`tests/support/ingest_world.py`) are ingested on two nodes of Ray, processes in place of machines.
A driver, a worker, a writer and a node are killed (SIGKILL) in turn, at random moments while all jobs work. With two
jobs, both write to one store and half of their files are the same. When a job is through, it gets more files. In the
end all rows are compared, media and vectors included, and so is what a sweep leaves.
"""

import argparse
import os
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")

FILES = 24


def run(made: Path, kills: int, jobs: int, store: str, seed: int) -> None:
    """Kills so often, and compares."""
    from stores import Store
    from stores.maintenance.compact import sweep
    from tests.support.chaos import Job, Nodes, kill
    from tests.support.ingest_world import assert_same, contents, ingest_here, write_files

    began_s, nodes = time.monotonic(), Nodes()
    common = write_files(made / "common", FILES, takes_s=0.3)
    own = [write_files(made / f"own{n}", FILES, first=100 * n + 100, takes_s=0.3) for n in range(jobs)]
    started = {folder: Job(nodes.address, store, [common, folder], made / f"{folder.name}.log") for folder in own}
    try:
        killed = kill(nodes, started, kills, seed, FILES)
    finally:
        for job in started.values():
            job.kill()
        nodes.shutdown()
    alone = str(made / "alone")
    ingest_here(alone, common, *own)
    rows = contents(store)
    assert_same(rows, contents(alone))
    opened = Store.open(store)
    sweep(opened, older_than_s=0)
    for table in ("clips", "faces", "voices"):
        assert opened.db.open_table(table).count_rows() == opened.count(table), f"{table}: rows that no reader sees"
    took_s = time.monotonic() - began_s
    print(f"held: {dict(killed)} killed over {len(rows['videos'])} videos, {jobs} jobs, {store}, {took_s:.0f} s")


def main() -> None:
    """Runs it, in a folder of its own or in S3 of moto."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--s3", action="store_true", help="a store in S3 of moto, on loopback")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    from tests.support.loopback import bucket_service

    with tempfile.TemporaryDirectory() as made, bucket_service() if given.s3 else nullcontext() as service:
        os.environ["RAY_TMPDIR"] = made  # so that no other job of this machine joins the cluster
        if service:
            import boto3

            os.environ |= service[0]
            boto3.client("s3").create_bucket(Bucket="chaos")
        store = "s3://chaos/store" if given.s3 else f"{made}/store"
        run(Path(made), given.kills, given.jobs, store, given.seed)


if __name__ == "__main__":
    main()
