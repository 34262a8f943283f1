"""Time and memory of maintenance on a large store: store, check, optimize, delete.

    python benchmarks/maintenance.py --faces 1000000 --folder work/maintenance

The data is synthetic: videos of 10 clips, 40 faces and 20 voices; vectors of 128 and 256 normal floats of unit norm;
media of random bytes, 1 % as long as real ones (140 B, 900 B), so that 1M faces fit on a disk. The check therefore
does not decode media; decoding would add a few batches of 256 rows in memory. Each step is a process of its own and
reports its peak memory.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import stores
from stores import Store, VideoRows
from stores.maintenance.check import check as check_rows
from stores.maintenance.compact import compact
from stores.maintenance.delete import delete as delete_rows
from stores.maintenance.deletion_plan import plan_deletion

FACES, VOICES = {"made/up-128": 128}, {"made/up-256": 256}
CLIPS, FACES_OF, VOICES_OF = 10, 4, 2
COMMIT = 128  # videos
BOX = (0.1, 0.2, 0.5, 0.75)


def video(number: int, run: str, rng: np.random.Generator) -> VideoRows:
    """One video; its person is one of as many as there are videos."""
    key = f"{number:032x}"
    faces = _unit(rng, CLIPS * FACES_OF, 128)
    voices = _unit(rng, CLIPS * VOICES_OF, 256)
    rows: dict[str, list] = {"clips": [], "faces": [], "voices": []}
    for index in range(CLIPS):
        start = 10.0 * index
        clip = stores.clip_id(key, start, BOX)
        place = {"start_s": start, "end_s": start + 4, "box": BOX, "speaking_score": 0.5}
        labels = {"identity": f"person {number:09d}", "split": "train", "video_uri": f"/data/{key}.mp4"}
        rows["clips"].append({"clip_id": clip, **place, **labels})
        for n in range(FACES_OF):
            seen = dict.fromkeys(("sharpness", "frontality", "exposure", "quality"), 0.5) | {"size_px": 100.0}
            own = {"face_id": stores.face_id(clip, start + n), "clip_id": clip, "time_s": start + n, "box": BOX}
            vectors = {"made/up-128": faces[index * FACES_OF + n]}
            rows["faces"].append({**own, **seen, "image": rng.bytes(140), "vectors": vectors})
        for n in range(VOICES_OF):
            own = {"voice_id": stores.voice_id(clip, start + n, start + n + 1), "clip_id": clip}
            heard = {"start_s": start + n, "end_s": start + n + 1, "speech_ratio": 0.9, "snr_db": 20.0}
            vectors = {"made/up-256": voices[index * VOICES_OF + n]}
            rows["voices"].append({**own, **heard, "audio": rng.bytes(900), "vectors": vectors})
    row = {"video_id": key, "uris": [f"/data/{key}.mp4"], "state": "done", "run_id": run, "config_hash": "a"}
    return VideoRows(row | {"duration_s": 100.0, "funnel": {}}, **rows)


def store_rows(uri: str, faces: int) -> None:
    """Commits the videos, as a job would."""
    rng, store = np.random.default_rng(0), Store.create(uri, FACES, VOICES)
    with store.run({"job": "benchmark"}, {}) as run:
        for first in range(0, faces // (CLIPS * FACES_OF), COMMIT):
            last = min(first + COMMIT, faces // (CLIPS * FACES_OF))
            store.commit([video(number, run.run_id, rng) for number in range(first, last)])


def check(uri: str, faces: int) -> None:
    """Checks the store, which must have no problem."""
    report = check_rows(Store.open(uri), {})
    assert not report.problems, report.problems[0]


def optimize(uri: str, faces: int) -> None:
    """Compacts and prunes the store."""
    compact(Store.open(uri), keep_versions_s=0)


def delete(uri: str, faces: int) -> None:
    """Deletes one person, with a proof on the files that may have held the rows."""
    _delete(uri, 3 + faces // 80, full_scan=False)


def delete_with_full_scan(uri: str, faces: int) -> None:
    """Deletes another person, with a proof on all files, before and after."""
    _delete(uri, 4, full_scan=True)


def _read_bytes() -> int:
    """The bytes that this process has read so far, from the disk or from the system's cache of it."""
    return int(Path("/proc/self/io").read_text().split("rchar:")[1].split()[0])


def _delete(uri: str, person: int, full_scan: bool) -> None:
    size = sum(path.stat().st_size for path in Path(uri).rglob("*") if path.is_file())
    read = _read_bytes()
    store = Store.open(uri)
    plan = plan_deletion(store, people=[f"person {person:09d}"])
    planned = _read_bytes() - read
    done = delete_rows(store, plan, full_scan=full_scan)
    read = _read_bytes() - read
    print(
        f"read {read / 1e6:.0f} MB in all, {read / size:.1%} of the {size / 1e6:.0f} MB of the store "
        f"({planned / 1e6:.0f} MB of them to plan)"
    )
    assert done.rows["faces"] == CLIPS * FACES_OF
    assert done.after is not None
    assert done.after.found == {}
    if full_scan:
        assert done.before is not None
        assert done.before.found["vectors"]
    print(f"searched {done.after.searched_bytes / 1e6:.0f} MB, skipped {done.after.skipped_bytes / 1e6:.0f} MB")


STEPS = {
    "store": store_rows,
    "check": check,
    "optimize": optimize,
    "delete": delete,
    "delete_with_full_scan": delete_with_full_scan,
}


def main() -> None:
    """Runs the steps one after another, and prints a line of JSON of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--step", choices=STEPS, help="only this one, in this process")
    args = parser.parse_args()
    if args.step:
        started_s, cpu_s = time.perf_counter(), time.process_time()
        STEPS[args.step](str(args.folder / "store"), args.faces)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        took = {"took_s": round(time.perf_counter() - started_s, 1), "cpu_s": round(time.process_time() - cpu_s, 1)}
        print(json.dumps({"step": args.step, "faces": args.faces, **took, "peak_gib": round(peak, 2)}), flush=True)
        return
    shutil.rmtree(args.folder / "store", ignore_errors=True)
    for name in STEPS:
        command = [sys.executable, __file__, "--faces", str(args.faces), "--folder", str(args.folder), "--step", name]
        subprocess.run(command, check=True)
    size = sum(path.stat().st_size for path in (args.folder / "store").rglob("*") if path.is_file())
    print(json.dumps({"store_gb": round(size / 1e9, 2)}))


def _unit(rng: np.random.Generator, count: int, dim: int) -> np.ndarray:
    vectors = rng.normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
