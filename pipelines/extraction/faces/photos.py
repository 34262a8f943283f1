"""Read a photo and find the face in it, for generation and for importing images.

The header is read before the pixels, by Pillow: a file of 109 kB can hold an image of 6 GB. JPEG, PNG and WebP are
decoded by OpenCV, as the frames of videos are; what it does not read, or not upright, by Pillow.
"""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from pipelines.extraction.faces.detectors import DetectedFace, FaceDetector, faces_of
from vclip.errors import InputError

# Formats of Pillow that are read: none that starts a program (EPS) or names other files.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM", "JPEG2000")
BY_OPENCV = {"JPEG", "MPO", "PNG", "WEBP"}
EXPECTED = "expected a JPEG, PNG, WebP, AVIF or TIFF file"
MOST_MPX = 68.0  # megapixels, as `media.max_picture_mpx`
END_OF_JPEG = b"\xff\xd9"
SURE = (
    0.65  # score of a face in a turned photo; 150 of 150 upright portraits score more, CenterFace finds from 0.5 on
)
# Of a second try for paintings and drawings: strokes and hatching vanish in a smaller image.
SMALLER = (0.5, 0.35)


def read_image(path: str | Path, most_mpx: float = MOST_MPX) -> np.ndarray:
    """Returns an image, (height, width, 3) uint8 RGB, turned upright by its EXIF orientation.

    Args:
        path: the image file.
        most_mpx: limit in megapixels.

    Raises:
        InputError: the file cannot be read, holds no image, a larger one, or is cut short; the message names it.
    """
    photo = read_photo(path)
    try:
        return decoded(photo, most_mpx)
    except InputError as error:
        raise InputError(f"photo {path}: {error}") from None


def read_photo(path: str | Path) -> bytes:
    """Returns the bytes of an image file; raises InputError, which names the file, if it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"photo {path}: {error.strerror or error}; {EXPECTED}") from None


def decoded(photo: bytes, most_mpx: float = MOST_MPX) -> np.ndarray:
    """Returns the image in the bytes of a file; arguments, result and errors as of `read_image`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images and of odd metadata
            with Image.open(io.BytesIO(photo), formats=FORMATS) as header:
                width, height = header.size
                if width * height > most_mpx * 1e6:
                    raise InputError(
                        f"{width}x{height} pixels ({width * height / 1e6:.0f} megapixels), more than {most_mpx:g} "
                        "(media.max_picture_mpx)"
                    )
                image = _by_opencv(photo, header.format) if header.format in BY_OPENCV else None
                return _by_pillow(header) if image is None else image
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"more than {most_mpx:g} megapixels (media.max_picture_mpx): {error}") from None
    except (OSError, ValueError, SyntaxError, EOFError, cv2.error) as error:
        if "truncated" in str(error) or "cut short" in str(error):
            raise InputError(f"cut short: the lower part of the image is missing ({len(photo)} bytes)") from None
        raise InputError(f"not an image ({len(photo)} bytes); {EXPECTED}") from None


def _by_opencv(photo: bytes, kind: str | None) -> np.ndarray | None:
    """Returns the image, or None where OpenCV does not decode it."""
    # imdecode, unlike imread, prints nothing and takes any file name. IMREAD_COLOR applies the orientation.
    image = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    if image is None and kind in ("JPEG", "MPO"):
        # A download may lack the last bytes. Where they held pixels, the blocks at the bottom are flat.
        ended = np.frombuffer(photo + END_OF_JPEG, np.uint8)
        image = cv2.imdecode(ended, cv2.IMREAD_COLOR)
        as_stored = cv2.imdecode(ended, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
        if as_stored is not None and not np.ptp(as_stored[-8:].astype(int), axis=0).any():
            raise OSError("cut short")
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _by_pillow(image: Image.Image) -> np.ndarray:
    upright = ImageOps.exif_transpose(image)
    return np.asarray(upright.convert("RGB"))


@dataclass(frozen=True)
class FaceInPhoto:
    """The chosen face of a photo."""

    image: np.ndarray  # (height, width, 3) uint8 RGB, upright
    face: DetectedFace
    index: int  # counted from the left, from 0
    count: int  # faces in the photo
    scale: float = 1.0  # of the image in which the detector found it; below 1 where only a smaller image showed it


def face_in_photo(
    image: np.ndarray, detector: FaceDetector, index: int | None = None, stylised: bool = False
) -> FaceInPhoto:
    """Returns the chosen face of a photo.

    A photo in which no face is found may lie on its side without saying so: it is tried in all four directions.

    Args:
        image: (height, width, 3) uint8 RGB.
        detector: finds the faces.
        index: which face, counted from the left from 0; the largest where None.
        stylised: whether the image may be a painting or a drawing. Where no face is found, smaller copies of it are
            tried, see benchmarks/portraits.py.

    Raises:
        InputError: there is no face, or no face of this index.
    """
    faces, scale = faces_of(detector, image), 1.0
    if not faces:
        image, faces = _turned(image, detector)
    if not faces and stylised:
        faces, scale = _smaller(image, detector)
    if not faces:
        also = ", nor in smaller copies of it" if stylised else ""
        raise InputError(
            f"no face found in an image of {image.shape[1]}x{image.shape[0]} pixels{also}; expected one face"
        )
    from_left = sorted(range(len(faces)), key=lambda number: faces[number].box[0])
    if index is None:
        index = from_left.index(0)  # detectors return the largest first
    if not 0 <= index < len(faces):
        raise InputError(f"face {index}: the image holds {len(faces)}, numbered from 0 at the left")
    return FaceInPhoto(image, faces[from_left[index]], index, len(faces), scale)


def _turned(image: np.ndarray, detector: FaceDetector) -> tuple[np.ndarray, list[DetectedFace]]:
    """Returns the image turned so that its best face is upright, and its faces; none where none is sure enough."""
    best, found, most = image, [], SURE
    for quarters in (1, 2, 3):
        turned = np.ascontiguousarray(np.rot90(image, quarters))
        faces = faces_of(detector, turned)
        score = max((face.score for face in faces), default=0.0)
        if score > most:
            best, found, most = turned, faces, score
    return best, found


def _smaller(image: np.ndarray, detector: FaceDetector) -> tuple[list[DetectedFace], float]:
    """Returns the faces of the first smaller copy that shows any, in pixels of the image, and the copy's scale."""
    for scale in SMALLER:
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if faces := faces_of(detector, small):
            return [face.placed(1 / scale, 0, 0) for face in faces], scale
    return [], 1.0
