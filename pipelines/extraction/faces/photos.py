"""Read a photo and find the face in it, for generation and for importing images."""

from pathlib import Path

import cv2
import numpy as np

from pipelines.extraction.faces.detectors import DetectedFace, FaceDetector
from vclip.errors import InputError


def read_image(path: str | Path) -> np.ndarray:
    """Returns an image, (height, width, 3) uint8 RGB, turned upright by its EXIF orientation.

    Raises:
        InputError: the file cannot be read or holds no image; the message names it.
    """
    photo = read_photo(path)
    try:
        return decoded(photo)
    except InputError as error:
        raise InputError(f"photo {path}: {error}") from None


def read_photo(path: str | Path) -> bytes:
    """Returns the bytes of an image file; raises InputError, which names the file, if it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"photo {path}: {error.strerror or error}; expected a JPEG, PNG or WebP file") from None


def decoded(photo: bytes) -> np.ndarray:
    """Returns the image in the bytes of a file, as `read_image`; raises InputError if they hold no image."""
    # imdecode, unlike imread, prints nothing and takes any file name. IMREAD_COLOR applies the orientation.
    image = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR) if photo else None
    if image is None:
        raise InputError(f"not an image ({len(photo)} bytes); expected a JPEG, PNG or WebP file")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def face_in_photo(
    image: np.ndarray, detector: FaceDetector, index: int | None = None
) -> tuple[DetectedFace, int, int]:
    """Returns the chosen face, its number from the left, and the number of faces.

    Args:
        image: (height, width, 3) uint8 RGB.
        detector: finds the faces.
        index: which face, counted from the left from 0; the largest where None.

    Raises:
        InputError: there is no face, or no face of this index.
    """
    faces = detector(image)
    if not faces:
        raise InputError(f"no face found in an image of {image.shape[1]}x{image.shape[0]} pixels; expected one face")
    from_left = sorted(range(len(faces)), key=lambda number: faces[number].box[0])
    if index is None:
        index = from_left.index(0)  # detectors return the largest first
    if not 0 <= index < len(faces):
        raise InputError(f"face {index}: the image holds {len(faces)}, numbered from 0 at the left")
    return faces[from_left[index]], index, len(faces)
