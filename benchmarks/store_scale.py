"""One store under the load of a large ingest, without the models and without Ray.

    python benchmarks/store_scale.py --store FOLDER --videos 1000000          # made-up videos, then a resume
    python benchmarks/store_scale.py --store FOLDER --rate 2e9 --writers 1,2,4   # media of real size
    python benchmarks/store_scale.py --store s3 --rate 1e9 --writers 1,2,4       # on S3 of moto, on loopback

Writer processes make rows of real size in bulk, five clips to a video with a face and a voice each, and write them as
the writers of an ingest do, 256 videos to a fragment. The driver's process does what that of an ingest does: it
receives fragments and rows without media, commits them and counts each video in the report. Then another process
finds all videos done. The memory of these two is their own peak, with the libraries that they load.

`--rate` writes so many bytes of media of real size with 1, 2 and 4 writers, beside the same bytes written to plain
files (or objects) by as many processes.
"""

import argparse
import json
import multiprocessing as mp
import os
import pickle
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

FACES, VOICES = {"dlib/resnet-v1-128/crop1": 128}, {"resemblyzer/ge2e-256": 256}
CLIPS, SET = 5, 256  # of a video, and videos of a fragment
SMALL, REAL = (1024, 1024), (9_500, 61_000)  # bytes of a face crop and of a speech segment
LOOK_EVERY_S = 1.0  # at least, between two commits of the driver, as in an ingest


def video_ids(first: int, count: int) -> list[str]:
    """Returns made-up content hashes."""
    return [f"{number * 0x9E3779B97F4A7C15 % 2**128:032x}" for number in range(first, first + count)]


def name_of(number: int) -> str:
    """Returns the name under which a video is ingested."""
    return f"s3://corpus/talking/part-{number % 1000:03d}/video-{number:08d}.mp4"


def made(template: Any, first: int, count: int, run: str, media: tuple[int, int]) -> tuple[dict[str, pa.Table], list]:
    """Returns the rows of `count` videos, and what their writer tells the driver; all from the rows of one video."""
    from pipelines.extraction.types import Extraction
    from pipelines.ingest.embed import Ingested
    from pipelines.ingest.sources.source import Source
    from stores import VideoRows

    ids, rng = video_ids(first, count), np.random.default_rng(first)
    clip_ids = [f"{video[:22]}{clip:02d}" for video in ids for clip in range(CLIPS)]
    rows = len(clip_ids)
    new = {
        "video_id": pa.array(np.repeat(ids, CLIPS).tolist()),
        "run_id": pa.array([run] * rows),
        "clip_id": pa.array(clip_ids),
        "face_id": pa.array([f"{clip}f"[-24:] for clip in clip_ids]),
        "voice_id": pa.array([f"{clip}v"[-24:] for clip in clip_ids]),
    }
    tables = {}
    for name, one in template.items():
        table = one.take(np.tile(np.arange(CLIPS), count))
        for at, field in enumerate(table.schema):
            column = new.get(field.name)
            if field.name in ("image", "audio"):
                size = media[field.name == "audio"]
                noise = _noise(field.name, lambda size=size: rng.bytes(size * SET * CLIPS))
                offsets = pa.py_buffer(np.arange(0, size * rows + 1, size, np.int64))
                column = pa.Array.from_buffers(pa.large_binary(), rows, [None, offsets, pa.py_buffer(noise)])
            elif field.name.startswith("vector_"):
                dim = field.type.list_size
                flat = _noise(field.name, lambda dim=dim: rng.standard_normal(SET * CLIPS * dim, np.float32))
                flat = flat[: rows * dim]
                column = pa.FixedSizeListArray.from_arrays(pa.array(flat), type=field.type)
            if column is not None:
                table = table.set_column(at, field, column)
        tables[name] = table
    done = []
    for number, video in enumerate(ids, first):
        source = Source((), name_of(number), 1000 + number, None, f"etag-{number}", {}, video, "c" * 16)
        light = {
            name: [{**row, "clip_id": clip} for row in template_rows[name]]
            for name in ("clips", "faces", "voices")
            for clip in ("",)
        }
        row = {"video_id": video, "uris": [source.ledger_entry], "state": "done", "reason": "", "run_id": run}
        row |= {"config_hash": "c" * 16, "duration_s": 60.0, "funnel": FUNNEL}
        extraction = Extraction("done", "", 60.0, (), FUNNEL, (), {"decode": 1.0, "faces": 9.0, "speech": 1.0})
        done.append(Ingested(source, VideoRows(row, light["clips"], light["faces"], light["voices"]), extraction))
    return tables, done


_made: dict[str, Any] = {}


def _noise(name: str, make: Any) -> Any:
    """Returns what was made for a column before: random numbers would take longer than the store."""
    if name not in _made:
        _made[name] = make()
    return _made[name]


FUNNEL = {"shots": 3, "tracks": 6, "speech_stretches": 9, "candidates": 11, "clips": CLIPS, "drop:not_speaking": 6}
template_rows: dict[str, list[dict]] = {}


def template_of() -> dict[str, pa.Table]:
    """Returns the rows of one video, and keeps them without media for `made`."""
    from stores import VideoRows
    from stores.rows import tables_of

    box = (0.25, 0.25, 0.75, 0.75)
    clips = [
        {"clip_id": f"c{n}", "video_uri": name_of(n), "start_s": 10.0 * n, "end_s": 10.0 * n + 4, "box": box}
        | {"speaking_score": 0.9, "identity": None, "labels": {"language": "en", "channel": "news"}}
        for n in range(CLIPS)
    ]
    face = {"time_s": 1.0, "box": box, "size_px": 120.0, "sharpness": 0.6, "frontality": 0.7, "exposure": 0.8}
    faces = [face | {"face_id": f"f{n}", "clip_id": f"c{n}", "quality": 0.6} for n in range(CLIPS)]
    voices = [
        {"voice_id": f"v{n}", "clip_id": f"c{n}", "start_s": 1.0, "end_s": 5.0, "speech_ratio": 0.9, "snr_db": 21.0}
        for n in range(CLIPS)
    ]
    template_rows.update(clips=clips, faces=faces, voices=voices)

    def whole(rows: list[dict], media: str, space: dict[str, int]) -> list[dict]:
        vectors = {name: np.zeros(dim, np.float32) for name, dim in space.items()}
        return [row | {media: b"", "vectors": vectors} for row in rows]

    video = {"video_id": "v", "uris": [], "state": "done", "config_hash": "c", "run_id": RUN_ID, "duration_s": 60.0}
    rows = VideoRows(video, clips, whole(faces, "image", FACES), whole(voices, "audio", VOICES))
    tables = tables_of([rows], {"faces": FACES, "voices": VOICES})
    return {name: tables[name] for name in ("clips", "faces", "voices")}


RUN_ID = "20260101T000000000000-00000000"


def writer(uri: str, run: str, shares: list[tuple[int, int]], media: tuple[int, int], out: Any, gate: Any) -> None:
    """A writer process: writes its shares of the videos, and sends what an ingest's writer would."""
    from stores import Store, fragments
    from stores.fragments import Written
    from stores.rows import VideoRows, tables_of

    store, template = Store.open(uri), template_of()
    made(template, 0, SET, run, media)  # libraries and random numbers
    gate.wait()
    for first, count in shares:
        tables, done = made(template, first, count, run, media)
        ledger = [VideoRows({**one.rows.video, "state": "empty"}) for one in done]
        counts = {"state": "done", "n_clips": CLIPS, "n_faces": CLIPS, "n_voices": CLIPS}
        rows = [row | counts for row in tables_of(ledger, {})["videos"].to_pylist()]
        out.put(pickle.dumps((Written(rows, fragments.write(store.db, run, tables)), done)))
    out.put(b"")


def ingest(uri: str, videos: int, writers: int, media: tuple[int, int]) -> dict[str, Any]:
    """Commits so many made-up videos; returns what was measured in the driver's process."""
    from pipelines.config import Config
    from pipelines.ingest.driver import _Job
    from pipelines.ingest.job import Summary
    from pipelines.ingest.report import RunReport
    from pipelines.ingest.writers import pause_s
    from stores import Store

    store = Store.create(uri, FACES, VOICES, exist_ok=True)
    report, summary = RunReport(Config()), Summary(uri)
    context = mp.get_context("spawn")
    shares = [(first, min(SET, videos - first)) for first in range(0, videos, SET)]
    out, gate = context.Queue(8), context.Barrier(writers + 1)
    seconds, received, tenths = 0.0, 0, []
    with store.run({"job": "ingest"}, {}) as run:
        job = _Job(store, run.run_id)
        processes = [
            context.Process(target=writer, args=(uri, run.run_id, shares[n::writers], media, out, gate))
            for n in range(writers)
        ]
        for process in processes:
            process.start()
        gate.wait()
        began_s = marked_s = committed_s = time.monotonic()
        open_writers, found, done, counting_s, marks = writers, [], 0, 0.0, 0.0
        wait_s, commits = LOOK_EVERY_S, 0
        while open_writers or found:
            if open_writers:
                message = out.get()
                received += len(message)
                if message:
                    found.append(pickle.loads(message))
                    job.under_way |= {one.source.video_id: one.source for one in found[-1][1]}
                else:
                    open_writers -= 1
            if found and (not open_writers or time.monotonic() - committed_s >= wait_s):
                start_s, began_commit_s = time.process_time(), time.monotonic()
                committed = list(job.commit(found))
                seconds += time.process_time() - start_s
                assert all(held for _, held in committed)
                start_s = time.process_time()
                for one, _ in committed:
                    summary.count(one.rows)
                    report.add(one.rows, one.extraction)
                counting_s += time.process_time() - start_s
                done, found, committed_s = done + len(committed), [], time.monotonic()
                wait_s = pause_s(LOOK_EVERY_S, committed_s - began_commit_s)
                commits += 1
                while done >= (len(tenths) + 1) * videos / 10:
                    tenths.append({"videos": done, "s": committed_s - marked_s, "commit_cpu_s": seconds - marks})
                    tenths[-1] |= {"cpu_s": time.process_time(), "mb": _memory_mb()}
                    marked_s, marks = committed_s, seconds
                    print(json.dumps(tenths[-1]), flush=True)
        took_s = time.monotonic() - began_s
        for process in processes:
            process.join()
    return {
        "videos": videos,
        "took_s": took_s,
        "commits": commits,
        "commit_cpu_s": seconds,
        "count_cpu_s": counting_s,
        "received_mb": received / 1e6,
        "driver_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "media_mb": videos * CLIPS * sum(media) / 1e6,
        "fragments": {name: store.db.open_table(name).stats()["fragment_stats"]["num_fragments"] for name in TABLES},
        "tenths": tenths,
    }


def _memory_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


TABLES = ("videos", "clips", "faces", "voices")


def resume(uri: str, videos: int) -> dict[str, Any]:
    """Finds all videos done, as an ingest does that is run again."""
    from pipelines.ingest.sources.resume import pending
    from pipelines.ingest.sources.source import Source
    from stores import Store

    def sources() -> Iterator[Source]:
        for number in range(videos):
            yield Source((), name_of(number), 1000 + number, None, f"etag-{number}")

    store = Store.open(uri)
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    windows = list(pending(sources(), store, "c" * 16))
    took = {"resume_s": time.monotonic() - start_s, "resume_cpu_s": time.process_time() - start_cpu_s}
    assert sum(len(window.todo) for window in windows) == 0
    assert sum(window.already_stored for window in windows) == videos
    return took | {"before_mb": before_mb, "resume_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def plain(where: str, number: int, size: int, gate: Any) -> None:
    """Writes so many bytes to plain files, or objects, of the size of a fragment's media."""
    one = SET * CLIPS * sum(REAL)
    content = np.random.default_rng(number).bytes(one)
    client = None
    if where.startswith("s3://"):
        import boto3

        client = boto3.client("s3")
    gate.wait()
    for part in range(max(1, size // one)):
        if client:
            client.put_object(Bucket="tested", Key=f"plain/{number}-{part}", Body=content)
            continue
        with open(f"{where}/{number}-{part}", "wb") as file:
            file.write(content)
            os.fsync(file.fileno())


def plain_rate(where: str, size: float, writers: int) -> float:
    """Returns the bytes a second of plain files."""
    context = mp.get_context("spawn")
    if not where.startswith("s3://"):
        os.makedirs(where)
    gate = context.Barrier(writers + 1)
    arguments = [(where, number, int(size) // writers, gate) for number in range(writers)]
    processes = [context.Process(target=plain, args=one) for one in arguments]
    for process in processes:
        process.start()
    gate.wait()
    start_s = time.monotonic()
    for process in processes:
        process.join()
    took_s = time.monotonic() - start_s
    one = SET * CLIPS * sum(REAL)
    return writers * max(1, int(size) // writers // one) * one / took_s


def rates(where: str, size: float, writers: list[int]) -> None:
    """Prints the bytes a second into the store and into plain files, with so many writers."""
    for count in writers:
        each = SET * CLIPS * sum(REAL)
        videos = SET * max(count, int(size) // each)
        for at in ("store", "plain"):
            if not where.startswith("s3://"):
                shutil.rmtree(f"{where}/{at}", ignore_errors=True)
        found = _in_process(ingest, f"{where}/store{count}", videos, count, REAL)
        bare = plain_rate(f"{where}/plain{count}", size, count)
        store_rate = found["media_mb"] / found["took_s"]
        print(json.dumps({"writers": count, "store_mb_s": store_rate, "plain_mb_s": bare / 1e6, **found}), flush=True)


def _in_process(work: Any, *args: Any) -> Any:
    """Returns the result of work in a process of its own, whose memory is its own."""
    context = mp.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_sent, args=(work, args, theirs))
    process.start()
    found = ours.recv()
    process.join()
    return found


def _sent(work: Any, args: Any, pipe: Any) -> None:
    pipe.send(work(*args))


def main() -> None:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, help="a folder that does not exist yet; s3: moto's, on loopback")
    parser.add_argument("--videos", type=int, default=100_000)
    parser.add_argument("--writers", default="2")
    parser.add_argument("--rate", type=float, help="bytes of media of real size")
    parser.add_argument("--resume-only", action="store_true", help="of a store that was made before")
    args = parser.parse_args()
    writers = [int(count) for count in args.writers.split(",")]
    if args.store == "s3":
        from benchmarks.reliability.faults import Control
        from benchmarks.reliability.s3_server import s3_server

        with s3_server(Control(Path(f"/tmp/store_scale.{os.getpid()}"))) as environment:
            os.environ.update(environment)
            run("s3://tested", args, writers)
    else:
        run(args.store, args, writers)


def run(where: str, args: argparse.Namespace, writers: list[int]) -> None:
    """Runs what is asked for in one place."""
    if args.rate:
        rates(where, args.rate, writers)
        return
    if not args.resume_only:
        print(json.dumps(_in_process(ingest, f"{where}/store", args.videos, writers[0], SMALL)), flush=True)
    print(json.dumps(_in_process(resume, f"{where}/store", args.videos)), flush=True)


if __name__ == "__main__":
    main()
