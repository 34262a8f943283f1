"""Quality of a face image: size, sharpness, frontality and exposure, each 0..1 with 1 the best.

None of them needs weights. They rank faces and remove the worst; they are not calibrated against human ratings.
"""

from dataclasses import dataclass

import cv2
import numpy as np

# Where a score is one half: the width of the face; the energy of the Laplacian relative to the contrast.
HALF_SIZE_PX = 64.0
HALF_SHARPNESS = 0.10


@dataclass(frozen=True)
class FaceQuality:
    """Four scores 0..1; `overall` is their geometric mean, so three good ones do not outweigh a bad one."""

    size: float
    sharpness: float
    frontality: float
    exposure: float

    @property
    def overall(self) -> float:
        parts = np.array([self.size, self.sharpness, self.frontality, self.exposure])
        return float(np.prod(parts) ** 0.25)


def face_quality(crop: np.ndarray, landmarks: np.ndarray, size_px: float) -> FaceQuality:
    """Returns the quality of a face.

    Args:
        crop: (side, side, 3) uint8 RGB, the upright crop.
        landmarks: (5, 2) pixels, at any scale.
        size_px: the shorter side of the face's box.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    return FaceQuality(
        size=size_px / (size_px + HALF_SIZE_PX),
        sharpness=sharpness(grey),
        frontality=frontality(landmarks),
        exposure=exposure(grey),
    )


def sharpness(grey: np.ndarray) -> float:
    """Returns the sharpness 0..1: the energy of the Laplacian relative to the contrast, at a fixed scale.

    Args:
        grey: (side, side) uint8, an upright face. Larger ones are shrunk to 96 pixels, so that size does not count
            as blur.
    """
    side = min(96, min(grey.shape))
    small = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    middle = small[side // 6 : -side // 6, side // 6 : -side // 6]
    energy = _spread(cv2.Laplacian(middle, cv2.CV_32F)) / (_spread(middle) + 8.0)
    return energy / (energy + HALF_SHARPNESS)


def _spread(image: np.ndarray) -> float:
    return float(cv2.meanStdDev(image)[1][0, 0])  # several times as fast as numpy's on small images


def frontality(landmarks: np.ndarray) -> float:
    """Returns the frontality: 1 seen from the front, falling to 0 in profile and with the head far up or down.

    Args:
        landmarks: (5, 2) pixels.
    """
    left_eye, right_eye, nose, left_mouth, right_mouth = np.asarray(landmarks, np.float64)
    eyes, mouth = (left_eye + right_eye) / 2, (left_mouth + right_mouth) / 2
    down = mouth - eyes
    length = max(np.hypot(*down), 1e-6)
    down = down / length
    across = np.array([down[1], -down[0]])
    # Yaw: the nose leaves the middle line, and the eyes close in on each other. Pitch: it leaves the middle height.
    aside = abs((nose - (eyes + mouth) / 2) @ across) / length
    spread = abs((right_eye - left_eye) @ across) / length
    height = (nose - eyes) @ down / length
    yaw = np.clip(1 - aside / 0.5, 0, 1) * np.clip(spread / 0.8, 0, 1)
    pitch = np.clip(1 - max(0.0, abs(height - 0.55) - 0.1) / 0.35, 0, 1)
    return float(yaw * pitch)


def exposure(grey: np.ndarray) -> float:
    """Returns the exposure: 1 for a well-exposed face, less where it is dark, glaring, clipped or flat.

    Args:
        grey: (side, side) uint8, an upright face.
    """
    side = grey.shape[0]
    middle = grey[side // 5 : -side // 5, side // 5 : -side // 5]
    mean, contrast = float(middle.mean()), float(middle.std())
    clipped = float(((middle < 8) | (middle > 247)).mean())
    light = np.clip(mean / 70, 0, 1) * np.clip((255 - mean) / 60, 0, 1)
    return float(light * np.clip(contrast / 25, 0, 1) * (1 - clipped))
