"""Face detection on GPUs: on each node that has some, detectors, which all tasks of the node share.

    task -> images in the detector's size -> detector of its node -> faces

While a detector computes one batch, the images of all tasks that wait for it collect for the next. Images do not
leave their node: those of one second of video are 0.9 MB. Until a detector has opened, and where it has died, a task
finds the faces on its own CPU.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from pipelines.cluster.actors import FAULTS, is_lasting
from pipelines.cluster.node_actors import end_actors, node_actor
from pipelines.cluster.session import own_errors, worker_deaths
from pipelines.config import Config
from pipelines.extraction.faces.detectors import DetectedFace, FaceDetector, gains_from_gpu, open_detector, shrink
from pipelines.progress import warn
from vclip.errors import InputError

IMAGES = 64  # of one batch, at most
CALLS = 256  # tasks that wait for one detector, at most
IDLE_S = 60.0  # after which a detector ends, so that the cluster may take the node back


def task_detector(config: Config, run_id: str) -> FaceDetector:
    """Returns the face detector of a task: that of a GPU of its node if the configuration asks for it, or its own.

    Args:
        config: `ingest.detect_gpus`, `ingest.embed_gpus` and `extraction.tracks.detector` are read.
        run_id: of the job.

    Raises:
        InputError: the detector cannot be opened, or gains nothing from a GPU.
    """
    spec, share = config.extraction.tracks.detector, config.ingest.detect_gpus
    own = open_detector(spec)
    if not share:
        return own
    if not gains_from_gpu(spec):
        raise InputError(f"ingest.detect_gpus = {share:g}: the face detector '{spec}' runs on CPUs only; set it to 0")
    detectors = _gpus_of_this_node() * int((1 - config.ingest.embed_gpus) / share + 1e-9)
    if not detectors:
        return own
    suffix = f"-{os.getpid() % detectors}"
    start = partial(node_actor, NodeDetector, _namespace(run_id), spec, suffix=suffix, gpus=share, calls=CALLS)
    return SharedDetector(own, start)


def end_detectors(run_id: str) -> None:
    """Ends the detectors of a job."""
    end_actors(_namespace(run_id))


def _namespace(run_id: str) -> str:
    return f"vclip-detectors-{run_id}"


def _gpus_of_this_node() -> int:
    import ray

    here = ray.get_runtime_context().get_node_id()
    return next((int(node["Resources"].get("GPU", 0)) for node in ray.nodes() if node["NodeID"] == here), 0)


class SharedDetector:
    """The detector of a node as its tasks see it, a `FaceDetector`.

    Args:
        own: finds the faces while there is no other.
        start: returns the actor, a `NodeDetector`.
    """

    def __init__(self, own: FaceDetector, start: Callable[[], Any]):
        self.max_side_px: int | None = getattr(own, "max_side_px", None)
        self._own, self._start, self._faults = own, start, 0
        self._actor: Any = None
        self._opening: Any = None  # the reference to wait for; None once it is open
        self._is_open()

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[DetectedFace]]:
        import ray

        try:
            if not self._is_open():
                return self._own(images)
            small = [shrink(image, self.max_side_px) for image in images]
            found = ray.get(self._actor.detect.remote([image for image, _ in small]))
        except worker_deaths() as error:
            self._lost(error)
            return self._own(images)
        self._faults = 0
        scales = [scale for _, scale in small]
        return [[face.placed(1 / scale, 0, 0) for face in faces] for faces, scale in zip(found, scales, strict=True)]

    def _is_open(self) -> bool:
        """Whether the detector takes images; it is started if there is none."""
        import ray

        if self._faults >= FAULTS:
            return False
        if self._actor is None:
            self._actor = self._start()
            self._opening = self._actor.open.remote()
        if self._opening is None:
            return True
        if not ray.wait([self._opening], timeout=0)[0]:
            return False
        with own_errors():
            ray.get(self._opening)
        self._opening = None
        return True

    def _lost(self, error: Exception) -> None:
        self._actor, self._opening, self._faults = None, None, self._faults + 1
        if self._faults == FAULTS:
            reason = (str(error).strip().splitlines() or ["no reason given"])[-1].strip()
            warn(f"a face detector on a GPU died {FAULTS} times in a row; this task detects on its CPU: {reason}")


class NodeDetector:
    """The actor: a detector on a GPU, and the images that wait for it."""

    def __init__(self, spec: str):
        self._spec, self._lock = spec, threading.Lock()
        self._detector: FaceDetector | None = None
        self._waiting: SimpleQueue[tuple[list[np.ndarray], Future[list[list[DetectedFace]]]]] = SimpleQueue()

    def open(self) -> None:
        """Opens the detector on the GPU that Ray gave; raises InputError if it finds none."""
        import ray

        with self._lock:
            if self._detector is None:
                given = ray.get_runtime_context().get_accelerator_ids().get("GPU")
                self._detector = open_detector(self._spec, "cuda" if given else "cpu")
                threading.Thread(target=self._work, args=(self._detector,), daemon=True).start()

    def detect(self, images: list[np.ndarray]) -> list[list[DetectedFace]]:
        """Returns the faces of each image, found in one batch with those of other tasks."""
        answer: Future[list[list[DetectedFace]]] = Future()
        self._waiting.put((images, answer))
        return answer.result()

    def _work(self, detector: FaceDetector) -> None:
        while True:
            try:
                held = [self._waiting.get(timeout=IDLE_S)]
            except Empty:
                os._exit(0)
            while sum(len(images) for images, _ in held) < IMAGES and not self._waiting.empty():
                held.append(self._waiting.get())
            _answer(detector, held)


def _answer(
    detector: FaceDetector, held: Sequence[tuple[list[np.ndarray], "Future[list[list[DetectedFace]]]"]]
) -> None:
    """Gives each task its faces; where a batch fails, its halves are tried, as for want of memory."""
    try:
        images = [image for own, _ in held for image in own]
        found = detector(images)
        if len(found) != len(images):  # else those who wait would do so for ever
            raise ValueError(f"the detector returned {len(found)} lists of faces for {len(images)} images")
    except BaseException as error:
        if is_lasting(error):
            os._exit(1)
        if len(held) == 1:
            held[0][1].set_exception(error)
            return
        middle = len(held) // 2
        _answer(detector, held[:middle])
        _answer(detector, held[middle:])
        return
    start = 0
    for own, answer in held:
        answer.set_result(found[start : start + len(own)])
        start += len(own)
