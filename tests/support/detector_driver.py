"""Tasks that share a face detector on a GPU which is not there, though Ray is told of it; prints what they found."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import ray

from pipelines.config import Config
from pipelines.ingest.detection import end_detectors, task_detector
from vclip.config import load
from vclip.errors import InputError

FOLDER, PHOTO = Path(sys.argv[1]), np.load(sys.argv[2])


def on_gpu(folder: Path) -> list[int]:
    """Returns the sizes of the batches that were computed on a GPU."""
    return [int(size) for path in folder.glob("cuda-*") for size in path.read_text().split()]


# Case -> whether what it is about has happened.
ENOUGH = {
    "plain": lambda folder: max(on_gpu(folder), default=0) > 2,  # images of several tasks were one batch
    "few": lambda folder: on_gpu(folder) and (folder / "raised").exists(),
    "breaks": lambda folder: on_gpu(folder) and (folder / "raised").exists(),
}


def found(case: str, spec: str, folder: Path) -> list:
    """Returns the boxes that each of three tasks found in two images, until there are enough of them."""
    config = load(
        Config, None, [f"extraction.tracks.detector={spec}", "ingest.detect_gpus=0.5", "ingest.embed_gpus=0.5"]
    )
    is_enough = ENOUGH.get(case, on_gpu)

    @ray.remote(num_cpus=1)
    def task() -> list:
        detector, boxes, until_s = task_detector(config, case), [], time.monotonic() + 60
        while len(boxes) < 12 or (not is_enough(folder) and time.monotonic() < until_s):
            boxes.append([[face.box for face in faces] for faces in detector([PHOTO, PHOTO[:, ::-1]])])
            if not on_gpu(folder):
                time.sleep(1)  # leaves the CPUs to the detector that opens
        return boxes

    try:
        return ray.get([task.remote() for _ in range(3)])
    finally:
        end_detectors(case)


ray.init(num_cpus=3, num_gpus=1, include_dashboard=False, log_to_driver=False)
for case in ENOUGH:
    folder = FOLDER / case
    folder.mkdir()
    (folder / case).touch()
    boxes = found(case, f"python:tests.support.marked_detector:MarkedDetector:{folder}", folder)
    batches = {path.name: [int(line) for line in path.read_text().split()] for path in folder.glob("c*-*")}
    print(json.dumps({"case": case, "boxes": boxes, "batches": batches, "raised": (folder / "raised").exists()}))
for case, spec in {"cpu only": "python:tests.support.marked_detector:CPUDetector", "no cuda": "centerface"}.items():
    try:
        found(case, spec, FOLDER)
    except (InputError, ray.exceptions.RayTaskError) as error:
        print(json.dumps({"case": case, "said": str(getattr(error, "cause", error))}))
