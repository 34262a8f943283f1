"""An ingest job in a process of its own, of the files of `ingest_world`: STORE FOLDER... [--retry-failed]."""

import sys
from pathlib import Path

from pipelines.ingest.job import ingest
from tests.support import ingest_world

if __name__ == "__main__":
    # Shipped by value: the workers of a cluster do not look beside the tests.
    import ray.cloudpickle

    ray.cloudpickle.register_pickle_by_value(ingest_world)
    store, *folders = [arg for arg in sys.argv[1:] if not arg.startswith("--")]
    sources = ingest_world.sources_in(*map(Path, folders))
    actors = next(arg.removeprefix("--embed-actors=") for arg in sys.argv if arg.startswith("--embed-actors="))
    config = ingest_world.offline("ingest.commit_every=4", "ingest.embed_batch=2", f"ingest.embed_actors={actors}")
    summary = ingest(sources, store, config, ingest_world.extract, retry_failed="--retry-failed" in sys.argv)
    print(dict(summary.videos), "known", summary.known, "elsewhere", summary.elsewhere)
