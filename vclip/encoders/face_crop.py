"""The rule by which a face is cut out of a frame or photo, in ingest, import and generation.

The crop is an upright square (the eyes are level). Its centre lies between eyes and mouth, and their distances give
its size, so it does not depend on the detector's box. The name of the rule is part of every face encoder's `space`.
"""

import cv2
import numpy as np

CROP_RULE = "crop1"

# In units of the larger of two distances: between the eyes, and from the eyes to the mouth.
SIDE_IN_EYE_DISTANCES = 3.4
MAX_SIDE_PX = 256
MIN_SIDE_PX = 48


def crop_face(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Returns the upright square crop around a face.

    Args:
        image: (height, width, 3) uint8 RGB.
        landmarks: (5, 2) pixels (x, y): left eye, right eye, nose, left and right mouth corner, where left and right
            are those of the image.

    Returns:
        The crop (side, side, 3) uint8 RGB, with `side` at most MAX_SIDE_PX. Only crops under MIN_SIDE_PX are
        enlarged, to that size. Pixels outside the image repeat its border.
    """
    centre, side, angle_rad = crop_geometry(landmarks)
    size = int(np.clip(round(side), MIN_SIDE_PX, MAX_SIDE_PX))
    scale = size / side
    cos, sin = scale * np.cos(angle_rad), scale * np.sin(angle_rad)
    turn = np.array([[cos, sin], [-sin, cos]])
    matrix = np.hstack([turn, (size / 2 - turn @ centre)[:, None]])
    # warpAffine interpolates between four pixels, so a large face is first shrunk by area averaging (antialiasing).
    shrink = int(1 / scale)
    if shrink >= 2:
        image = cv2.resize(image, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
        matrix[:, :2] *= shrink
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def crop_geometry(landmarks: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Returns the crop's centre (2,) in pixels, its side in pixels and the roll of the eyes in radians."""
    left_eye, right_eye, _, left_mouth, right_mouth = np.asarray(landmarks, dtype=np.float64)
    eyes, mouth = (left_eye + right_eye) / 2, (left_mouth + right_mouth) / 2
    across, down = right_eye - left_eye, mouth - eyes
    side = SIDE_IN_EYE_DISTANCES * max(np.hypot(*across), np.hypot(*down), 1.0)
    # In profile the eyes coincide and their line has no direction; the line from eyes to mouth always has one.
    axis = across + np.array([down[1], -down[0]])
    return (eyes + mouth) / 2, float(side), float(np.arctan2(axis[1], axis[0]))
