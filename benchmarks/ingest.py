"""The CPU cost of ingest: what a second of video takes, beside decoding alone and beside another version.

    python benchmarks/ingest.py CLIPS --work FOLDER [--seconds 3600] [--base CHECKOUT] [--rounds 1] [--json FILE]
    python benchmarks/ingest.py CLIPS --work FOLDER --memory

CLIPS are short videos of people talking. The benchmark composes them into different files of one to three minutes and
ingests these on Ray, on a fixed number of CPUs, with the preset `offline`. It counts the CPU seconds of all processes
of the job but Ray's own servers. Decoding alone is `ffmpeg -f null`, on one thread. With --base, the code of another
checkout ingests the same files, in turn. --memory measures instead the memory of a worker on a short and on a long
file.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

from ingest_corpus import chain, make_corpus

from pipelines.extraction.video.ffmpeg import ffmpeg_binary
from pipelines.progress import say

HERE = Path(__file__).parent
MEMORY_AIM = 1.1  # of the longest file over the shortest


def decode(files: list[Path]) -> float:
    """Returns the CPU seconds that ffmpeg takes to decode all files on one thread."""
    before_s = _children_s()
    for path in files:
        command = [ffmpeg_binary(), "-nostdin", "-v", "error", "-threads", "1", "-i", path, "-f", "null", "-"]
        subprocess.run(command, check=True)
    return _children_s() - before_s


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ingest(files: list[Path], work: Path, cpus: int, settings: list[str], checkout: Path) -> dict:
    """Returns what `ingest_run.py` prints of an ingest of files by the code of a checkout, on some of the CPUs."""
    cores = sorted(os.sched_getaffinity(0))[:cpus]
    if len(cores) < cpus:
        raise SystemExit(f"{cpus} CPUs asked for, found {len(cores)}")
    given = {"files": list(map(str, files)), "folder": str(work / "job"), "cpus": cpus, "settings": settings}
    run = subprocess.run(
        [sys.executable, HERE / "ingest_run.py", json.dumps(given)],
        env=os.environ | {"PYTHONPATH": str(checkout.resolve())},
        cwd=checkout,
        preexec_fn=partial(os.sched_setaffinity, 0, cores),
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(run.stdout.splitlines()[-1])


def compare(
    files: list[Path], work: Path, cpus: int, settings: list[str], checkouts: dict[str, Path], video_s: float
) -> dict:
    """Measures everything once, one after the other."""
    result: dict = {"load": os.getloadavg()[0], "decode_cpu_s": decode(files)}
    for name, checkout in checkouts.items():
        took = result[name] = ingest(files, work, cpus, settings, checkout)
        say(f"{name}: {1000 * took['cpu_s'] / video_s:.0f} ms of CPU a second of video, {took['took_s']:.0f} s")
    return result


def table(rounds: list[dict], names: list[str], video_s: float) -> None:
    """Prints the figures of the median round, in milliseconds for each second of video."""

    def row(label: str, *values: list[float]) -> None:
        figures = [1000 * median(one) / video_s for one in values]
        ratio = f"{median([a / b for a, b in zip(*values, strict=True)]):.2f}" if len(values) == 2 else ""
        print(f"| {label} | " + " | ".join(f"{figure:.1f}" for figure in figures) + f" | {ratio} |")

    print(f"| ms of CPU for each second of video | {' | '.join(names)} | ratio |")
    print("|---" * (len(names) + 2) + "|")
    row("the job", *([one[name]["cpu_s"] for one in rounds] for name in names))
    row("decoding alone", *([one["decode_cpu_s"] for one in rounds] for _ in names))
    for part, key in (("extraction", "tasks_cpu_s"), ("its ffmpeg", "ffmpeg_cpu_s"), ("Ray's servers", "ray_cpu_s")):
        row(part, *([one[name][key] for one in rounds] for name in names))
    for stage in rounds[0][names[0]]["stages_s"]:
        row(f"{stage} (wall time)", *([one[name]["stages_s"].get(stage, 0) for one in rounds] for name in names))
    for name in names:
        print(f"{name}: {rounds[0][name]['videos']}, {rounds[0][name]['rows']}")


def memory(files: list[Path], work: Path, lengths_s: list[float], settings: list[str], checkout: Path) -> dict:
    """Measures the memory of a worker on one file of each length."""
    result = {}
    for length_s in lengths_s:
        path = chain(files, work / f"{length_s:g}s.mp4", length_s)
        took = result[length_s] = ingest([path], work, 1, settings, checkout)
        say(
            f"{length_s:g} s: worker {took['worker_mb']:.0f} MB, ffmpeg {took['ffmpeg_mb']:.0f} MB, {took['rows']}, "
            f"{took['took_s']:.0f} s"
        )
    mb = [took["worker_mb"] + took["ffmpeg_mb"] for took in result.values()]
    first, last = mb[0], mb[-1]
    print(f"worker and its ffmpeg: {first:.0f} -> {last:.0f} MB, {last / first:.2f} (at most {MEMORY_AIM})")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="folder of clips (mp4) of people talking")
    parser.add_argument("--work", type=Path, required=True, help="folder for files and stores; files serve again")
    parser.add_argument("--seconds", type=float, default=3600, help="of video")
    parser.add_argument("--base", type=Path, help="another checkout, to compare with")
    parser.add_argument("--rounds", type=int, default=1, help="how often all is measured, one after the other")
    parser.add_argument("--cpus", type=int, default=1, help="CPUs of the job")
    parser.add_argument("--memory", action="store_true", help="measure a worker's memory instead")
    parser.add_argument("--lengths", type=float, nargs="+", default=[300, 7200], help="of the files for it, seconds")
    parser.add_argument("--set", action="append", default=[], help="a key of the configuration")
    parser.add_argument("--json", type=Path, help="all figures")
    given = parser.parse_args()
    start_s = time.time()
    files = make_corpus(given.clips, given.work / "files", given.seconds)
    checkouts = {"now": HERE.parent} | ({"base": given.base} if given.base else {})
    if given.memory:
        result = memory(files, given.work, given.lengths, given.set, HERE.parent)
    else:
        rounds = range(given.rounds)
        result = [compare(files, given.work, given.cpus, given.set, checkouts, given.seconds) for _ in rounds]
        table(result, list(checkouts), given.seconds)
    say(f"measured in {time.time() - start_s:.0f} s")
    if given.json:
        given.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
