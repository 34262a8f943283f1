"""Kill `vclip embed --column` again and again: the columns must be those of a run that nobody disturbed.

    python benchmarks/backfill.py [--videos 40] [--kills 5] [--seed 0] [--model FOLDER]

The job, on Ray, is killed (SIGKILL) with all its processes at random moments after its first values were written.
Then readers must see no column yet. Without `--model` a stand-in for a recogniser computes two columns of the made-up
speech: it pauses as long as one would, and fails on some rows. With `--model`, a folder in CTranslate2's format,
Whisper transcribes the speech in the folder that VCLIP_SHARED points at.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
os.environ.setdefault("OMP_NUM_THREADS", "1")

STAND_IN = "python:benchmarks.backfill:StandIn"
LATEST_S = 2.0  # after the first values that a run has written
JOB = (
    "import sys; from pipelines.config import Config; from pipelines.maintenance import backfill, columns;"
    "from vclip.config import load; backfill.WRITE_EVERY_S = 0.2;"
    "columns.fill(sys.argv[1], sys.argv[2], load(Config, None, sys.argv[3:]), task_rows=2)"
)


class StandIn:
    """The level of the speech, and a word for it."""

    table, version = "voices", "1"
    columns: ClassVar = {"level_db": float, "word": str}

    def __call__(self, media: list[np.ndarray]) -> dict[str, list[Any]]:
        """Returns both after a pause; raises on every fourth row or so."""
        time.sleep(0.5)
        levels = [float(10 * np.log10(np.mean(one**2))) for one in media]
        if any(one[0] > 0.07 for one in media):
            raise ZeroDivisionError("too loud")
        return {"level_db": levels, "word": [f"word {level:.3f}" for level in levels]}


def collected(uri: str) -> int:
    """Returns how many rows have values that are no column yet."""
    from stores import Store
    from stores.maintenance.backfill import SCRATCH

    db = Store.open(uri).db
    names = [name for name in db.list_tables(limit=1000).tables if name.startswith(SCRATCH)]
    try:
        return sum(db.open_table(name).count_rows() for name in names)
    except (ValueError, RuntimeError, OSError):  # it is being made or removed
        return 0


def make(uri: str, videos: int, speech: list[Path]) -> None:
    """Makes a store with two voices a video, of made-up speech or from files."""
    from stores import Store
    from tests.support.backfill_world import decodable
    from tests.support.store_world import FACES, VOICES

    store, files = Store.create(uri, FACES, VOICES), iter(speech)
    for number in range(videos):
        rows = decodable(number)
        voices = [voice | {"audio": next(files).read_bytes()} if speech else voice for voice in rows.voices]
        store.commit([replace(rows, voices=voices)])


def run(made: Path, videos: int, kills: int, seed: int, model: str) -> None:
    """Kills so often, and compares."""
    from stores import Store

    speech = sorted(Path(os.environ["VCLIP_SHARED"], "data", "speech").glob("*.ogg")) if model else []
    names, spec = ("level_db", "word"), STAND_IN
    if model:
        names, spec = ("transcript", "spoken_language"), "transcript"
    stores = [str(made / name) for name in ("undisturbed", "killed")]
    for uri in stores:
        make(uri, videos, speech)
    job = [sys.executable, "-c", JOB]
    tail = [spec, *([f"transcript.model={model}"] if model else [])]
    chance, done, at = random.Random(seed), 0, list[int]()

    def values(uri: str) -> list[dict[str, Any]]:
        return Store.open(uri).query("voices", ["voice_id", *names], order="voice_id").to_pylist()

    began_s = time.monotonic()
    subprocess.run([*job, stores[0], *tail], check=True)
    whole_s = time.monotonic() - began_s
    while len(at) < kills:
        process = subprocess.Popen([*job, stores[1], *tail], start_new_session=True)
        while process.poll() is None and collected(stores[1]) <= done:
            time.sleep(0.1)
        time.sleep(chance.uniform(0, LATEST_S))
        if process.poll() is not None:
            raise SystemExit(f"through after {len(at)} kills: give more --videos")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        done = collected(stores[1])
        at.append(done)
        if set(names) & set(Store.open(stores[1]).snapshot().schema("voices").names):
            assert values(stores[1]) == values(stores[0]), "a part is visible"
            raise SystemExit(f"through after {len(at)} kills: give more --videos")
    subprocess.run([*job, stores[1], *tail], check=True)
    found, expected = values(stores[1]), values(stores[0])
    assert found == expected, "the values differ"
    null = sum(row[names[0]] is None for row in expected)
    killed = ", ".join(map(str, at))
    print(f"held: killed at {killed} of {len(expected)} rows ({null} null); undisturbed {whole_s:.0f} s")


def main() -> None:
    """Runs it, in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=40)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        run(Path(made), given.videos, given.kills, given.seed, given.model)


if __name__ == "__main__":
    main()
