"""Face encoders from ONNX files, on crops aligned as for ArcFace (Deng et al., 2019).

The network gets 112x112 pixels in which the centres of the eyes, the tip of the nose and the corners of the mouth are
as near to REFERENCE as a similarity brings them. The rule that cut the crop has already put eyes and mouth into
place, and dlib's 5 landmarks correct it. `tools/fit_alignment.py` fitted the numbers to five points by two detectors:
on the other half of 283 faces, pixels of the face are 2.5 px from where those put them (2.8 px by the rule alone, and
3.0 px with dlib's 68 landmarks, which are not for commercial use).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
from pydantic import BeforeValidator, Field

from vclip.encoders.dlib import landmarks_of
from vclip.encoders.face_crop import CROP_RULE
from vclip.encoders.onnx_network import Network, NetworkSettings, digest, read_settings
from vclip.onnx_session import has_gpu

KIND = "onnx-face"
SIDE_PX = 112
# Left eye, right eye, nose, left and right mouth corner of ArcFace's training images, as the viewer sees them.
REFERENCE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
ALIGNMENT = "rule-and-landmarks-1"
# By the crop rule: an aligned pixel is RULE_SCALE times the share of the crop's side, plus RULE_SHIFT.
RULE_SCALE, RULE_SHIFT = 133.0, (-10.5, 6.0)
# The centres of the left and right eye and the base of the nose, by dlib's landmarks, in an aligned crop.
LANDMARKS = np.array([[38.6, 53.3], [72.9, 53.0], [55.8, 79.0]])
LANDMARKS_WEIGHT = 0.2
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
    """Returns a crop (side, side, 3) uint8 RGB, cut by the crop rule, as an aligned one (112, 112, 3) uint8 RGB."""
    scale = RULE_SCALE / len(crop)
    by_rule = np.array([[scale, 0, RULE_SHIFT[0]], [0, scale, RULE_SHIFT[1]]])
    by_landmarks = similarity(three_points(crop), LANDMARKS)
    matrix = (1 - LANDMARKS_WEIGHT) * by_rule + LANDMARKS_WEIGHT * by_landmarks  # such a mean is a similarity too
    return cv2.warpAffine(crop, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def three_points(crop: np.ndarray) -> np.ndarray:
    """Returns the left eye, the right eye and the base of the nose (3, 2) in pixels of a crop, by dlib."""
    points = np.array([(point.x, point.y) for point in landmarks_of(crop).parts()], np.float64)
    return np.array([points[2:4].mean(0), points[:2].mean(0), points[4]])


def similarity(points: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Returns the rotation, scale and shift (2, 3) that bring points (n, 2) nearest to others in least squares."""
    centre, target = points.mean(0), onto.mean(0)
    z, w = (points - centre) @ [1, 1j], (onto - target) @ [1, 1j]
    turn = (z.conj() @ w) / max(float(np.square(np.abs(z)).sum()), 1e-12)
    rotation = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([rotation, target - rotation @ centre])
