"""How the lips of a face move, frame by frame, apart from how the face moves.

A patch around the face is turned upright and scaled by its landmarks. Dense optical flow from one patch to the next
is fitted by an affine motion over the upper face, which has no lips. The rest of the flow around the mouth is the
motion of the lips: a face that pans, turns, nods or is zoomed as a whole has none.
"""

from typing import Any, cast

import cv2
import numpy as np

PATCH_PX = 96
# The patch reaches this many eye distances (or eye-mouth distances, the larger) across.
SIDE_IN_EYE_DISTANCES = 3.0
# Rows of a patch in its own pixels: the five landmarks of a frontal face are at about
# eyes (32, 32) and (64, 32), nose (48, 48), mouth corners (35, 64) and (61, 64).
UPPER_FACE = (slice(18, 52), slice(20, 76))
UPPER_LIP = (slice(52, 64), slice(34, 62))
LOWER_LIP = (slice(66, 86), slice(34, 62))
MOUTH = (slice(54, 84), slice(30, 66))
# Grey levels. A repeated frame does not differ at all, or only by what a codec does to a block that it skips.
REPEATED_CHANGE = 0.005

SIGNALS = ("opening", "lips", "upper_face", "change", "upper_change", "darkness")


class LipMotion:
    """Measures `SIGNALS` in the frames of one track, given in order.

    opening: speed at which the lower lip leaves the upper one, in patch pixels a frame; negative when it closes.
    lips, upper_face: mean length of the remaining flow around the mouth and over the upper face.
    change, upper_change: mean change of brightness there once the motion is removed, in grey levels.
    darkness: how much darker the mouth's darkest tenth is than the face, in grey levels; open mouths are dark.
    """

    def __init__(self):
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._grey: np.ndarray | None = None  # the last frame
        self.patch: np.ndarray | None = None  # of the last frame that differed from its predecessor

    def _repeats(self, grey: np.ndarray, landmarks: np.ndarray) -> bool:
        """Returns whether the face and what is around it repeat the frame before."""
        reach = np.ptp(landmarks, axis=0).max()
        (x0, y0), (x1, y1) = landmarks.min(0) - reach / 2, landmarks.max(0) + reach / 2
        before, self._grey = self._grey, grey
        if before is None:
            return False
        part = slice(max(0, int(y0)), max(1, int(y1))), slice(max(0, int(x0)), max(1, int(x1)))
        return before[part].size > 0 and float(cv2.absdiff(before[part], grey[part]).mean()) < REPEATED_CHANGE

    def __call__(self, grey: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Returns the signals of the next frame, (len(SIGNALS),) float32.

        All but the darkness are NaN for the first frame and for one that repeats the frame before, as frames from a
        source of a lower rate do: the next frame that differs then holds the motion of all of them.

        Args:
            grey: (height, width) uint8.
            landmarks: (5, 2) pixels.
        """
        patch, repeats = upright_patch(grey, landmarks), self._repeats(grey, landmarks)
        signals = np.full(len(SIGNALS), np.nan, np.float32)
        signals[5] = float(patch[UPPER_FACE].mean()) - _darkest_tenth(patch[MOUTH])
        if repeats:
            return signals
        before, self.patch = self.patch, patch
        if before is None:
            return signals
        flow = self._flow.calc(before, patch, cast("Any", None))
        of_face = (_GRID @ (_FIT @ flow[UPPER_FACE].reshape(-1, 2))).reshape(PATCH_PX, PATCH_PX, 2)
        own = flow - of_face
        moved = cv2.remap(
            patch, _PIXELS + of_face, cast("Any", None), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        change = cv2.absdiff(before, moved)
        length = cv2.magnitude(own[..., 0], own[..., 1])
        signals[0] = own[LOWER_LIP][..., 1].mean() - own[UPPER_LIP][..., 1].mean()
        signals[1:5] = (
            length[MOUTH].mean(),
            length[UPPER_FACE].mean(),
            change[MOUTH].mean(),
            change[UPPER_FACE].mean(),
        )
        return signals


def upright_patch(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Returns the patch around a face with the eyes level, (PATCH_PX, PATCH_PX) or (PATCH_PX, PATCH_PX, 3) uint8.

    Args:
        image: (height, width) or (height, width, 3) uint8.
        landmarks: (5, 2) pixels. The patch has a fixed size in eye distances.
    """
    eyes, mouth = landmarks[:2].mean(0), landmarks[3:].mean(0)
    across, down = landmarks[1] - landmarks[0], mouth - eyes
    side = SIDE_IN_EYE_DISTANCES * max(np.hypot(*across), np.hypot(*down), 4.0)
    axis = across + np.array([down[1], -down[0]])
    axis = axis / max(np.hypot(*axis), 1e-6) * PATCH_PX / side
    turn = np.array([[axis[0], axis[1]], [-axis[1], axis[0]]])
    matrix = np.hstack([turn, (PATCH_PX / 2 - turn @ (eyes + mouth) / 2)[:, None]])
    return cv2.warpAffine(image, matrix, (PATCH_PX, PATCH_PX), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)


def _darkest_tenth(pixels: np.ndarray) -> float:
    """Returns the tenth percentile, interpolated as numpy does; faster than `np.percentile`."""
    place = 0.1 * (pixels.size - 1)
    below = int(place)
    low, high = np.partition(pixels, (below, below + 1), axis=None)[below : below + 2].tolist()
    return low + (place - below) * (high - low)


_PIXELS = np.stack(np.meshgrid(*2 * [np.arange(PATCH_PX, dtype=np.float32)]), -1)  # x and y of each
_BASIS = np.concatenate([np.ones_like(_PIXELS[..., :1]), _PIXELS - PATCH_PX / 2], -1)  # of affine motion
# (pixels, 3) and its inverse over the upper face, (3, pixels of the upper face)
_GRID, _FIT = _BASIS.reshape(-1, 3), np.linalg.pinv(_BASIS[UPPER_FACE].reshape(-1, 3))
