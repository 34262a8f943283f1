"""Face encoders from ONNX files, on crops aligned as for ArcFace (Deng et al., 2019).

The five points come from dlib's 68 landmarks of the crop: the centres of the eyes, the tip of the nose and the
corners of the mouth. On 283 faces the aligned crops of dlib, CenterFace and YuNet differ by 3.2 to 4.4 of 112 pixels
from each other, dlib's as little as any (docs/encoders.md).
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from pydantic import BeforeValidator, Field

from vclip.encoders.dlib import FACE_IN_CROP, dlib, weights_path
from vclip.encoders.face_crop import CROP_RULE
from vclip.encoders.onnx_network import Network, NetworkSettings, digest, read_settings
from vclip.onnx_session import has_gpu

KIND = "onnx-face"
SIDE_PX = 112
# Left eye, right eye, nose, left and right mouth corner of ArcFace's training images, as the viewer sees them.
REFERENCE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
ALIGNMENT = "dlib68-arcface5"
Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
FOR_ALL = BeforeValidator(lambda value: (value,) * 3 if isinstance(value, int | float) else value)


class FaceSettings(NetworkSettings):
    """The YAML beside a face network."""

    channels: Literal["RGB", "BGR"]
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    mean: Annotated[tuple[Number, Number, Number], FOR_ALL] = Field(
        description="one number, or one for each channel in the network's order"
    )
    std: Annotated[tuple[Positive, Positive, Positive], FOR_ALL] = Field(
        description="likewise; the network takes (pixel - mean) / std of pixels in 0..255"
    )


class OnnxFace:
    """Aligns each crop to 112x112 pixels and embeds it with a network from an ONNX file.

    Args:
        file: the ONNX file; `FILE.yaml` is beside it.
        device: "cpu", "cuda", ...; None selects a GPU if there is one.

    Raises:
        InputError: a file is missing, the YAML is wrong, or the network does not fit it.
    """

    def __init__(self, file: str, device: str | None = None):
        spec, path = f"face encoder {KIND}:{file}", Path(file)
        settings = self._settings = read_settings(spec, path, FaceSettings)
        self.space = "/".join((KIND, settings.name, settings.version, digest(path, settings, ALIGNMENT), CROP_RULE))
        self._network = Network(spec, path, settings, device)
        self.dim, self.licence, self.gains_from_gpu = settings.size, settings.licence, has_gpu()
        self.prepare = aligned
        sides = {"C": 3, "H": SIDE_PX, "W": SIDE_PX}
        self._network.expect(*(sides[axis] for axis in settings.layout[1:]))
        noise = np.random.default_rng(0).integers(0, 256, (2, SIDE_PX, SIDE_PX, 3), np.uint8)
        self._network.check([self._input(one) for one in noise])

    def embed(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """Returns vectors (n, dim) float32, unit norm, for n crops (side, side, 3) uint8 RGB."""
        return self.embed_prepared([self.prepare(crop) for crop in crops])

    def embed_prepared(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the vectors of `embed` for n aligned crops (112, 112, 3) uint8 RGB."""
        return self._network([self._input(one) for one in prepared])

    def _input(self, crop: np.ndarray) -> np.ndarray:
        settings = self._settings
        pixels = crop[..., ::-1] if settings.channels == "BGR" else crop
        pixels = ((pixels - np.array(settings.mean)) / settings.std).astype(np.float32)
        return pixels.transpose(2, 0, 1) if settings.layout == "NCHW" else pixels


def aligned(crop: np.ndarray) -> np.ndarray:
    """Returns a crop (side, side, 3) uint8 RGB aligned to the reference points, (112, 112, 3) uint8 RGB."""
    matrix = similarity(five_points(crop), REFERENCE)
    return cv2.warpAffine(crop, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def five_points(crop: np.ndarray) -> np.ndarray:
    """Returns the five points (5, 2) of the face in a crop (side, side, 3) uint8 RGB, in pixels."""
    image = np.ascontiguousarray(crop)
    x0, y0, x1, y1 = (round(share * len(image)) for share in FACE_IN_CROP)
    parts = _predictor()(image, dlib.rectangle(x0, y0, x1, y1)).parts()
    points = np.array([(point.x, point.y) for point in parts], np.float64)
    return np.array([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])


def similarity(points: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Returns the rotation, scale and shift (2, 3) that bring points (n, 2) nearest to others in least squares."""
    centre, target = points.mean(0), onto.mean(0)
    z, w = (points - centre) @ [1, 1j], (onto - target) @ [1, 1j]
    turn = (z.conj() @ w) / max(float(np.square(np.abs(z)).sum()), 1e-12)
    rotation = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([rotation, target - rotation @ centre])


@cache
def _predictor() -> Any:
    """dlib's predictor of 68 landmarks, 0.1 GB, once for each process."""
    return dlib.shape_predictor(weights_path("shape_predictor_68_face_landmarks.dat"))
