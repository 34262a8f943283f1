"""The overhead of the ingest job: bare decoding, the models alone, and the job on Ray on 1 and 2 CPUs.

    python benchmarks/ingest.py CLIPS --work FOLDER [--seconds 3600] [--rounds 1] [--memory] [--json FILE]

CLIPS are short videos of people talking. The benchmark composes them into different files of one to three minutes and
measures everything on these, each in a process of its own that is pinned to its CPUs. --memory measures instead the
memory of a worker on a short and on a long file.

The floor is the time of the models alone, on one thread. The job should take at most 1.2 times the floor on one CPU,
and 1.3 times half the floor on two; the start of Ray is reported separately. If other work runs on the machine,
compare CPU seconds rather than wall time.
"""

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

from ingest_corpus import chain, make_corpus
from ingest_floor import floor
from ingest_run import run

from pipelines.config import Config
from pipelines.extraction.video.ffmpeg import ffmpeg_binary
from pipelines.progress import say
from vclip.config import load

OFFLINE = Path(__file__).parents[1] / "configs" / "offline.yaml"
AIMS = {1: 1.2, 2: 1.3}  # CPUs -> the job's time over the floor's share
MEMORY_AIM = 1.2


def decode(files: list[Path]) -> dict[str, float]:
    """Returns the wall seconds and the CPU seconds that ffmpeg takes to decode all files on one thread."""
    start_s = time.perf_counter()
    for path in files:
        command = [ffmpeg_binary(), "-nostdin", "-v", "error", "-threads", "1", "-i", path, "-f", "null", "-"]
        subprocess.run(command, check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"all": time.perf_counter() - start_s, "cpu_s": used.ru_utime + used.ru_stime}


def on(cpus: int, measure, *arguments):
    """Returns what `measure` returns in a new process, pinned with its children to the given number of CPUs."""
    cores = sorted(os.sched_getaffinity(0))[:cpus]
    if len(cores) < cpus:
        raise SystemExit(f"{cpus} CPUs asked for, found {len(cores)}")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, os.sched_setaffinity, (0, cores)) as pool:
        return pool.submit(measure, *arguments).result()


def compare(files: list[Path], work: Path, cpus: list[int], config: Config) -> dict:
    """Measures everything once, one after the other."""
    result = {"load": os.getloadavg()[0], "decode": on(1, decode, files), "floor": on(1, floor, files, config)}
    say(f"decode {result['decode']['all']:.1f} s, floor {result['floor']['all']:.1f} s")
    result["job"] = {}
    for count in cpus:
        took = result["job"][count] = on(count, run, files, work / "job", count, config)
        took["over_floor"] = took["took_s"] / (result["floor"]["all"] / count)
        took["cpu_over_floor"] = took["cpu_s"] / result["floor"]["cpu_s"]
        say(f"job on {count} CPUs {took['took_s']:.1f} s, {took['over_floor']:.2f} of the floor's share")
    return result


def table(rounds: list[dict], video_s: float) -> None:
    """Prints the figures of the median round, per second of video where a column says so."""
    for name in ("decode", "floor"):
        for part in rounds[0][name]:
            print(f"{name:8s} {part:14s} {1000 * median(r[name][part] for r in rounds) / video_s:8.1f} ms a second")
    for count, took in rounds[0]["job"].items():
        for stage in took["stages_s"]:
            spent_s = median(r["job"][count]["stages_s"][stage] for r in rounds)
            print(f"job on {count} {stage:14s} {1000 * spent_s / video_s:8.1f} ms a second")
        for name in ("tasks_s", "tasks_cpu_s", "ffmpeg_cpu_s", "cpu_s", "took_s"):
            spent_s = median(r["job"][count][name] for r in rounds)
            print(f"job on {count} {name:14s} {1000 * spent_s / video_s:8.1f} ms a second")
        for name in ("ray_s", "first_s", "last_s"):
            print(f"job on {count} {name:14s} {median(r['job'][count][name] for r in rounds):8.1f} s")
    for count in rounds[0]["job"]:
        for name, of in (
            ("over_floor", f"the floor / {count} (at most {AIMS[count]})"),
            ("cpu_over_floor", "its CPU"),
        ):
            values = [r["job"][count][name] for r in rounds]
            spread = ", ".join(f"{value:.2f}" for value in values)
            print(f"job on {count} CPUs: {median(values):.2f} of {of}; rounds: {spread}")


def memory(files: list[Path], work: Path, lengths_s: list[float], config: Config) -> dict:
    """Measures the memory of a worker on one file of each length."""
    result = {}
    for length_s in lengths_s:
        path = chain(files, work / f"{length_s:g}s.mp4", length_s)
        took = result[length_s] = on(1, run, [path], work / "job", 1, config)
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
    parser.add_argument("--rounds", type=int, default=1, help="how often all is measured, one after the other")
    parser.add_argument("--cpus", type=int, nargs="+", default=[1, 2], help="CPUs of the job")
    parser.add_argument("--memory", action="store_true", help="measure a worker's memory instead")
    parser.add_argument("--lengths", type=float, nargs="+", default=[300, 7200], help="of the files for it, seconds")
    parser.add_argument("--set", action="append", default=[], help="a key of the configuration")
    parser.add_argument("--json", type=Path, help="all figures")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    config = load(Config, OFFLINE, given.set)
    files = make_corpus(given.clips, given.work / "files", given.seconds)
    if given.memory:
        result = memory(files, given.work, given.lengths, config)
    else:
        result = [compare(files, given.work, given.cpus, config) for _ in range(given.rounds)]
        table(result, given.seconds)
    if given.json:
        given.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
