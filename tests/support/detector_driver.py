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


def found(name: str, spec: str, folder: Path, together: int = 1) -> list:
    """Returns the boxes that each of four tasks found in two images, until a GPU got `together` images at once."""
    config = load(
        Config, None, [f"extraction.tracks.detector={spec}", "ingest.detect_gpus=0.5", "ingest.embed_gpus=0.5"]
    )

    def got() -> bool:
        return any(int(size) >= together for path in folder.glob("cuda-*") for size in path.read_text().split())

    @ray.remote(num_cpus=1)
    def task() -> list:
        detector, boxes, until_s = task_detector(config, name), [], time.monotonic() + 60
        while len(boxes) < 12 or (not got() and time.monotonic() < until_s):
            boxes.append([[face.box for face in faces] for faces in detector([PHOTO, PHOTO[:, ::-1]])])
        return boxes

    try:
        return ray.get([task.remote() for _ in range(4)])
    finally:
        end_detectors(name)


ray.init(num_cpus=4, num_gpus=1, include_dashboard=False, log_to_driver=False)
for case in ("plain", "few", "breaks"):
    folder = FOLDER / case
    folder.mkdir()
    if case != "plain":
        (folder / case).touch()
    boxes = found(
        case,
        f"python:tests.support.marked_detector:MarkedDetector:{folder}",
        folder,
        together=3 if case == "plain" else 1,
    )
    batches = {path.name: [int(line) for line in path.read_text().split()] for path in folder.glob("c*-*")}
    print(json.dumps({"case": case, "boxes": boxes, "batches": batches}))
for case, spec in {"cpu only": "python:tests.support.marked_detector:CPUDetector", "no cuda": "centerface"}.items():
    try:
        found(case, spec, FOLDER)
    except (InputError, ray.exceptions.RayTaskError) as error:
        print(json.dumps({"case": case, "said": str(getattr(error, "cause", error))}))
