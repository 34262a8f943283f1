"""Read a photo and find the face in it, for generation and for importing pictures."""

from pathlib import Path

import cv2
import numpy as np

from pipelines.extraction.faces.detectors import Face, FaceDetector
from vclip.errors import InputError


def read_image(path: str | Path) -> np.ndarray:
    """Returns a picture, (height, width, 3) uint8 RGB, turned upright as its EXIF orientation says.

    Raises:
        InputError: there is no such file, or it is no picture; names it.
    """
    photo = read_photo(path)
    try:
        return decoded(photo)
    except InputError as error:
        raise InputError(f"photo {path}: {error}") from None


def read_photo(path: str | Path) -> bytes:
    """Returns the content of a picture's file; raises InputError, which names it, if it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"photo {path}: {error.strerror or error}; expected a JPEG, PNG or WebP file") from None


def decoded(photo: bytes) -> np.ndarray:
    """Returns the picture that a file holds, as `read_image`; raises InputError if it holds none."""
    # imdecode, unlike imread, says nothing on stderr and takes any file name. IMREAD_COLOR applies the orientation.
    image = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR) if photo else None
    if image is None:
        raise InputError(f"not a picture ({len(photo)} bytes); expected a JPEG, PNG or WebP file")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def face_in_photo(image: np.ndarray, detector: FaceDetector, index: int | None = None) -> tuple[Face, int, int]:
    """Returns the face to use, its number from the left, and how many there are.

    Args:
        image: (height, width, 3) uint8 RGB.
        detector: finds faces.
        index: which face, counted from the left from 0; None takes the largest. The caller says which was used.

    Raises:
        InputError: there is no face, or none of this index.
    """
    faces = detector(image)
    if not faces:
        raise InputError(f"no face found in a picture of {image.shape[1]}x{image.shape[0]} pixels; expected one face")
    from_left = sorted(range(len(faces)), key=lambda number: faces[number].box[0])
    if index is None:
        index = from_left.index(0)  # a detector gives the largest first
    if not 0 <= index < len(faces):
        raise InputError(f"face {index}: the picture holds {len(faces)}, numbered from 0 at the left")
    return faces[from_left[index]], index, len(faces)
