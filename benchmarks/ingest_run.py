"""The timed ingest job of `ingest.py`: a process of its own, with its own Ray and store, which prints JSON."""

import json
import os
import resource
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipelines.config import Config
from pipelines.extraction.types import Extraction
from pipelines.ingest.workers import extract_video
from vclip.config import load

SERVERS = ("raylet", "gcs_server", "/ray/dashboard/", "/ray/_private/", "ray::DashboardAgent", "RuntimeEnvAgent")
OFFLINE = "configs/offline.yaml"  # of the checkout that it runs in


def run(files: list[str], folder: str, cpus: int, settings: list[str]) -> dict:
    """Ingests files on `cpus` CPUs into a new store in `folder`; returns its seconds, sizes and counts."""
    import ray

    from pipelines.cluster.session import start_ray
    from pipelines.ingest.job import ingest
    from pipelines.ingest.sources.listing import list_videos

    config, room = load(Config, OFFLINE, settings), Path(folder)
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir(parents=True)
    stages: Counter[str] = Counter()
    start_s = time.monotonic()
    start_ray(cpus)
    ray_s, before = time.monotonic() - start_s, _cpu_s()
    first_s = time.time()
    summary = ingest(
        list_videos(files),
        str(room / "store"),
        config,
        noted(str(room / "tasks")),
        observe=lambda rows, extraction, summary: stages.update(extraction.seconds),
    )
    after, worker_mb = _cpu_s(), _workers_mb()
    ray.shutdown()
    tasks = [json.loads(line) for path in (room / "tasks").iterdir() for line in path.read_text().splitlines()]
    return {
        "ray_s": ray_s,
        "took_s": summary.took_s,
        "first_s": min(task["start_s"] for task in tasks) - first_s,  # until the first file was begun
        "last_s": summary.took_s - (max(task["end_s"] for task in tasks) - first_s),  # since the last was read
        "cpu_s": after[0] - before[0],  # of the driver, the workers and their children
        "ray_cpu_s": after[1] - before[1],  # of Ray's servers
        "tasks_s": sum(task["end_s"] - task["start_s"] for task in tasks),
        "tasks_cpu_s": sum(task["cpu_s"] for task in tasks),
        "ffmpeg_cpu_s": sum(task["ffmpeg_cpu_s"] for task in tasks),
        "stages_s": dict(stages),
        "worker_mb": worker_mb,
        "ffmpeg_mb": max(task["ffmpeg_mb"] for task in tasks),
        "video_s": summary.video_s,
        "videos": dict(summary.videos),
        "rows": dict(summary.rows),
        "reasons": dict(summary.reasons),
        "store_bytes": {path.name: _size(path) for path in (room / "store").iterdir() if path.is_dir()},
    }


def noted(folder: str):
    """Returns an `extract_video` that also logs its resources; a closure, so that Ray ships it with the task."""

    def extract(*given: Any) -> Extraction:  # a detector too, since it may be on a GPU
        own, ffmpeg, start_s = _used(resource.RUSAGE_SELF), _used(resource.RUSAGE_CHILDREN), time.time()
        with _watched_children() as child_mb:
            extraction = extract_video(*given)
        took = {
            "start_s": start_s,
            "end_s": time.time(),
            "cpu_s": _used(resource.RUSAGE_SELF) - own,
            "ffmpeg_cpu_s": _used(resource.RUSAGE_CHILDREN) - ffmpeg,
            "ffmpeg_mb": max(child_mb, default=0.0),
        }
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/{os.getpid()}.jsonl", "a") as file:
            print(json.dumps(took), file=file)
        return extraction

    return extract


@contextmanager
def _watched_children() -> Iterator[list[float]]:
    """Yields the peak memory of each child so far, in MB; growth between two looks is missed.

    What the system says of a child that has ended counts the memory of the worker that it was forked from.
    """
    seen: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            for children in Path("/proc/self/task").glob("*/children"):
                with suppress(OSError):
                    seen.extend(_most_mb(pid) for pid in children.read_text().split() if _is_itself(pid))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _is_itself(pid: str) -> bool:
    """Whether a child runs its own program yet; until then its memory is that of the process that forked it."""
    return os.readlink(f"/proc/{pid}/exe") != os.readlink("/proc/self/exe")


def _most_mb(pid: str) -> float:
    """The peak resident memory of a process in MB; 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


def _used(whose: int) -> float:
    usage = resource.getrusage(whose)
    return usage.ru_utime + usage.ru_stime


def _workers_mb() -> float:
    """The peak memory of a Ray worker; with one worker per CPU, none ends before the job."""
    return max(_most_mb(str(pid)) for pid in _family() if _name(pid).startswith(("ray::IDLE", "ray::extract")))


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""  # it has just ended


def _cpu_s() -> tuple[float, float]:
    """CPU seconds of this process and all its descendants but Ray's servers, and of these; of ended children too."""
    own = servers = 0.0
    for pid, fields in _family().items():
        used_s = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        if any(server in _name(pid) for server in SERVERS):
            servers += used_s
        else:
            own += used_s
    return own, servers


def _family() -> dict[int, list[str]]:
    """The `stat` entries, after the name, of this process and all its descendants."""
    stats = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stats[int(entry.name)] = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has just ended
    family, before = {os.getpid()}, set()
    while family != before:
        before = set(family)
        family |= {pid for pid, (_, parent, *_) in stats.items() if int(parent) in before}
    return {pid: stats[pid] for pid in family}


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    print(json.dumps(run(**json.loads(sys.argv[1]))))
