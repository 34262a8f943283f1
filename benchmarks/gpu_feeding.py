"""The CPU time of an embedding actor beside its GPU, measured without one: `python benchmarks/gpu_feeding.py`.

The actor runs on the tests' stand-in for a GPU, in one thread. The time inside the stand-in is left out; so is what
CUDA's driver takes to start a kernel, and the number of kernels is printed instead. Weights are random. The rows are
packed for the writer of the node too, but not sent.

The stand-in's memory is the CPU's. So that its return to the system does not count as the actor's work, malloc keeps
it.
"""

import argparse
import io
import json
import os
import pickle
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import open_clip
import soundfile
import torch

from pipelines.config import EncodersConfig
from pipelines.extraction.types import Clip, Extraction, FaceCrop, SpeechSegment
from pipelines.ingest.embed import Embedder, Preparation, SourceResult
from pipelines.ingest.sources.source import Source
from pipelines.ingest.writers import sent
from stores import run_id
from tests.support.cuda_double import cuda_double

MODEL, SPEECH_S = "ViT-S-32-alt", 4.0
BOX = (0.0, 0.0, 1.0, 1.0)


def extracted(clips: int, crops: int) -> SourceResult:
    """Returns a source whose clips have so many crops and one segment of SPEECH_S each."""
    rng = np.random.default_rng(0)
    pixels = cv2.GaussianBlur(rng.integers(0, 256, (200, 200, 3), np.uint8), (15, 15), 0)
    image = cv2.imencode(".jpg", pixels)[1].tobytes()
    audio = io.BytesIO()
    soundfile.write(audio, 0.1 * rng.standard_normal(int(16_000 * SPEECH_S)), 16_000, format="FLAC")
    faces = tuple(FaceCrop(0.1 * n, BOX, 75.0, 0.5, 0.5, 0.5, 0.5, image) for n in range(crops))
    segment = SpeechSegment(0.0, SPEECH_S, 1, 20, audio.getvalue())
    clip = Clip(0.0, SPEECH_S, BOX, 0.9, faces, (segment,))
    source = Source(("/v.mp4",), "/v.mp4", 1, 0.0, video_id="v", config_hash="c")
    talking = tuple(replace(clip, start_s=SPEECH_S * n) for n in range(clips))
    return SourceResult(source, run_id(), Extraction("done", "", SPEECH_S * clips, talking))


def measured(config: EncodersConfig, tables: tuple[str, ...], item: SourceResult, calls: int) -> tuple[float, float]:
    """Returns the CPU seconds of the actor for an item, without the GPU, and those of the task that prepares it."""
    preparation = Preparation(Embedder(config, "cpu", tables=tables).encoders)
    begun_s = time.process_time()
    given = pickle.dumps(preparation(item), protocol=5)
    prepared_s = time.process_time() - begun_s
    with cuda_double() as counts:
        embedder = Embedder(config, "cuda", tables=tables)
        embedder.embed([pickle.loads(given)])
        spaces = {table: {encoder.space: encoder.dim} for table, encoder in embedder.encoders.items()}
        spaces = {"faces": {}, "voices": {}} | spaces
        before = counts.gpu_s, counts.to_gpu, counts.to_gpu_waiting, counts.calls
        begun_s = time.process_time()
        for _ in range(calls):
            (done,) = embedder.embed([pickle.loads(given)])
            list(sent([done], spaces))
        spent_s = time.process_time() - begun_s - (counts.gpu_s - before[0])
    copies, waited, kernels = (
        (now - then) / calls
        for now, then in zip((counts.to_gpu, counts.to_gpu_waiting, counts.calls), before[1:], strict=True)
    )
    print(f"{tables[0]}: in a call {copies:g} copies to the GPU, {waited:g} waited for, {kernels:g} kernels")
    return spent_s / calls, prepared_s


BIG = str(1 << 34)
KEPT = {"MALLOC_MMAP_THRESHOLD_": BIG, "MALLOC_TRIM_THRESHOLD_": BIG, "OMP_NUM_THREADS": "1"}


def main() -> None:
    if not KEPT.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEPT)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=3)
    calls = parser.parse_args().calls
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "RANDOM.pt"
        torch.save(open_clip.create_model(MODEL).state_dict(), path)
        config = EncodersConfig(face=f"open_clip:{MODEL}/{path}")
        faces, in_tasks = measured(config, ("faces",), extracted(16, 16), calls)
        voices, of_speech = measured(config, ("voices",), extracted(64, 0), calls)
    print(f"a crop has {len(extracted(1, 1).extraction.clips[0].faces[0].image) / 1e3:.1f} KB")
    print(json.dumps({
        "actor_ms_per_crop": round(1e3 * faces / 256, 3),
        "task_ms_per_crop": round(1e3 * in_tasks / 256, 3),
        "actor_ms_per_s_of_speech": round(1e3 * voices / (64 * SPEECH_S), 3),
        "task_ms_per_s_of_speech": round(1e3 * of_speech / (64 * SPEECH_S), 3),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
