"""Thumbnails for pages."""

import cv2
import numpy as np

SIDE_PX = 96


def thumbnail(jpeg: bytes, side_px: int = SIDE_PX) -> bytes:
    """The image shrunk to a square JPEG; empty where it cannot be decoded."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if image is None:
        return b""
    small = cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
