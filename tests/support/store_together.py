"""One of three processes at work on a store: URI ROLE SECONDS.

`write` commits made-up videos, some of them again under another configuration; `search` queries, joins and looks for
neighbours, and checks each answer; `optimize` compacts and prunes. Each prints what it has done as JSON.
"""

import json
import sys
import time

import numpy as np

import stores
from stores import Store
from stores.maintenance.compact import compact, sweep
from tests.support.store_world import video

BATCH = 4
KEEP_S = 30.0  # of old versions; a query may take as long


def write(store: Store, until_s: float) -> dict:
    """Commits until the time is up; every fifth batch replaces the one before the last."""
    done, number = {}, 0
    with store.run({"job": "write"}, {}) as run:
        while time.monotonic() < until_s or not number:
            for config, first in (
                ("a", number),
                *([("b", number - 2 * BATCH)] if number % (5 * BATCH) == 0 < number else []),
            ):
                batch = [video(n, run.run_id, config) for n in range(first, first + BATCH)]
                # One run writes a video once; what replaces it is of a run of its own.
                own = run.run_id if config == "a" else stores.run_id()
                batch = [
                    type(rows)(rows.video | {"run_id": own}, rows.clips, rows.faces, rows.voices) for rows in batch
                ]
                held = store.commit(batch)
                assert len(held) == BATCH, (first, held)
                done |= {rows.video["video_id"]: config for rows in batch}
            number += BATCH
    return {"videos": done}


def search(store: Store, until_s: float) -> dict:
    """Reads until the time is up; every answer must be of one consistent state."""
    queries, rng = 0, np.random.default_rng(0)
    while time.monotonic() < until_s:
        snapshot = store.snapshot()
        videos = len(snapshot.ledger)
        clips = snapshot.query("clips", ["clip_id"])["clip_id"].to_pylist()
        faces = snapshot.query("faces", ["face_id", "clip_id"])
        assert len(clips) == len(set(clips)) == 2 * videos, (len(clips), len(set(clips)), videos)
        assert faces.num_rows == len(set(faces["face_id"].to_pylist())) == 4 * videos
        assert set(faces["clip_id"].to_pylist()) == set(clips)
        found = store.nearest("faces", rng.normal(size=8), k=5, where="quality > 0.2").rows
        cosines = found["cosine"].to_pylist()
        assert cosines == sorted(cosines, reverse=True)
        assert len(cosines) == 5 or videos < 20
        queries += 2 + 2
    return {"queries": queries}


def optimize(store: Store, until_s: float) -> dict:
    """Sweeps, compacts and prunes until the time is up."""
    rounds, fragments = 0, 0
    while time.monotonic() < until_s:
        sweep(store)
        fragments += sum(done.fragments_removed for done in compact(store, KEEP_S).values())
        rounds += 1
        time.sleep(0.2)
    return {"rounds": rounds, "fragments": fragments}


if __name__ == "__main__":
    opened, role, seconds = Store.open(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    print("ready", flush=True)
    sys.stdin.readline()
    print(
        json.dumps({"write": write, "search": search, "optimize": optimize}[role](opened, time.monotonic() + seconds))
    )
