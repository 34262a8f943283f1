"""A batch generation in a process of its own, by the TTS of `generation_world`:
MANIFEST MODEL SPEAKERS OUT JOURNAL TAKES_S [STORE]"""

import sys
from pathlib import Path

from pipelines.config import Config
from pipelines.generation.batch import generate_batch
from tests.support import generation_world
from vclip.config import load

if __name__ == "__main__":
    # Shipped by value: the workers of a cluster do not look beside the tests.
    import ray.cloudpickle

    ray.cloudpickle.register_pickle_by_value(generation_world)
    manifest, model, speakers, out, journal, takes_s, *store = sys.argv[1:]
    summary = generate_batch(
        manifest,
        Path(model),
        Path(speakers),
        out,
        load(Config, None, ["generate.candidates=200", "batch.record_every=5"]),
        voices=1,
        store_uri=store[0] if store else None,
        open_tts=generation_world.beeper(journal, float(takes_s)),
    )
    print(summary.to_json())
