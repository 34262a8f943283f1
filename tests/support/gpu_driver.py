"""Jobs on a Ray cluster of its own that is told of two GPUs which are not there; prints what each job gave as JSON.

Items are numbers; the whole work gives [number, "task"], and an actor [number, its device, its GPU, its process].
"""

import contextlib
import io
import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path

import ray

from pipelines.cluster import actors as actors_module
from pipelines.cluster.actors import Actors, gpu_actors
from pipelines.cluster.tasks import run_tasks
from vclip.errors import InputError

MARKS = Path(sys.argv[1])


def first_time(name):
    try:
        (MARKS / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def whole():
    return lambda item, again: [item, "task", os.environ.get("CUDA_VISIBLE_DEVICES")]


def half():
    return lambda item, again: item


def in_parts():
    """Opens the first half of work in parts; a part is [item, number]."""

    def work(item, again):
        for number in range(item):
            if number == 7:
                raise ValueError("seven")
            if (item, number) == (5, 2) and first_time("part"):
                os.kill(os.getpid(), signal.SIGKILL)
            yield [item, number]

    return work


def stage(fault=lambda item, gpu: None):
    def open_second(device):
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES")

        def work(items):
            for item in items:
                fault(item, gpu)
            return [[item, device, gpu, os.getpid()] for item in items]

        return work

    return open_second


def faults(item, gpu):
    """One actor dies, and another's CUDA context breaks for good."""
    broken = MARKS / f"broken-{os.getpid()}"
    if item == 3 and first_time("breaks"):
        broken.touch()
    if broken.exists():
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore lines")
    if item == 8 and first_time("dies"):
        os.kill(os.getpid(), signal.SIGKILL)


def broken_gpu(item, gpu):
    time.sleep(0.02)
    if gpu == "1":
        raise RuntimeError("CUDA error: uncorrectable ECC error encountered")


def job(open_second, numbers=12, count=lambda: 2, open_first=half, **options):
    actors = Actors(lambda: (open_first, open_second), count, gpus=1, at_once=2)
    batches = ([number] for number in (range(numbers) if isinstance(numbers, int) else numbers))
    options = {"size_every_s": 0.2, "threads": 2, "actors": actors} | options
    return [[item, plain(result)] for item, result in run_tasks(batches, whole, "work", 0.5, **options)]


def until_said(text):
    return itertools.takewhile(lambda _: text not in sys.stderr.getvalue(), range(2000))


def plain(result):
    return result if isinstance(result, list) else {"failure": result.reason}


def lacks_an_encoder(device):
    raise InputError("face encoder 'arcface': no weights")


def held():
    """All GPUs are another job's."""
    holder = ray.remote(num_gpus=2, num_cpus=0)(Holder).remote()
    ray.get(holder.hold.remote())
    actors_module.OPENING_S = 0.5
    try:
        return job(stage())
    finally:
        actors_module.OPENING_S = 120.0
        ray.kill(holder)


class Holder:
    """Holds GPUs."""

    def hold(self):
        return True


def late():
    """There is no GPU at first; then each of two has room for two actors."""
    begun_s, seen, done = time.monotonic(), set(), []
    actors = gpu_actors(
        lambda: (half, stage()), 2, share=0.5, gpus=lambda: 0 if time.monotonic() < begun_s + 0.5 else 2
    )
    batches = itertools.takewhile(lambda _: len(seen) < 4, ([number] for number in itertools.count()))
    for item, result in run_tasks(batches, whole, "work", 0.5, threads=2, actors=actors, size_every_s=0.2):
        done.append([item, result])
        if result[1] == "cuda":
            seen.add(result[-1])
        elif time.monotonic() > begun_s + 60:
            break
    return done


def leave():
    """The GPU and its actor are lost as soon as a first result of theirs has come; twenty more items follow."""
    left, more, begun_s, done = MARKS / "left", iter(range(20)), time.monotonic(), []

    def lost(item, gpu):
        if left.exists():
            os.kill(os.getpid(), signal.SIGKILL)

    actors = Actors(lambda: (half, stage(lost)), lambda: int(not left.exists()), gpus=1, at_once=2)
    going_on = itertools.takewhile(lambda _: not left.exists() or next(more, None) is not None, itertools.count())
    batches = ([number] for number in going_on)
    for item, result in run_tasks(batches, whole, "work", 0.5, threads=2, actors=actors, size_every_s=0.2):
        done.append([item, plain(result)])
        if done[-1][1][1] == "cuda" or time.monotonic() > begun_s + 60:
            left.touch()
    return done


JOBS = {
    "more than there are": lambda: job(stage(), count=lambda: 3),
    "late": late,
    "held": held,
    "leave": leave,
    "faults": lambda: job(stage(faults)),
    "broken": lambda: job(stage(broken_gpu), until_said("no more work")),
    "lacks": lambda: job(lacks_an_encoder, count=lambda: 1),
    "parts": lambda: job(stage(), (0, 1, 5, 9), count=lambda: 1, open_first=in_parts, in_parts=True),
}


if __name__ == "__main__":
    import ray.cloudpickle

    ray.cloudpickle.register_pickle_by_value(sys.modules["__main__"])
    ray.init(num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False)
    for name, run in JOBS.items():
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        said, begun_s = io.StringIO(), time.monotonic()
        with contextlib.redirect_stderr(said):
            try:
                done = run()
            except InputError as error:
                done = {"error": str(error)}
        took_s = round(time.monotonic() - begun_s, 1)
        print(json.dumps({"job": name, "done": done, "said": said.getvalue(), "took_s": took_s}), flush=True)
