"""Fit how crops are aligned for ArcFace's networks, on one half of a folder of faces, and test it on the other.

    python tools/fit_alignment.py FOLDER --yunet YUNET.onnx

The folder has photos of one face each. The target is the similarity that brings five points, the mean of those of
CenterFace and YuNet, nearest to ArcFace's. The numbers go into vclip/encoders/onnx_face.py.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.extraction.faces.detectors import CenterFaceDetector, YuNetDetector, faces_of
from pipelines.ingest.embed import decode_image
from vclip.encoders.face_crop import crop_face
from vclip.encoders.onnx_face import LANDMARKS, REFERENCE, RULE_SCALE, RULE_SHIFT, SIDE_PX, similarity, three_points

PLACES = np.array([[20, 30], [92, 30], [20, 102], [92, 102], [56, 66.0]])  # of a face, in an aligned crop
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)


@dataclass(frozen=True)
class Face:
    """A crop, by its points and its alignment; both for a crop of side 1."""

    points: np.ndarray  # (3, 2), by dlib's landmarks
    alignment: np.ndarray  # (2, 3), by two detectors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--yunet", type=Path, required=True)
    parser.add_argument("--every", type=int, default=3, help="take every so many photos")
    options = parser.parse_args()
    detectors = CenterFaceDetector(), YuNetDetector(options.yunet)
    files = sorted(options.folder.glob("*.jpg"))[1 :: options.every]
    faces = [face for file in files if (face := read(file, *detectors))]
    fitted, others = faces[::2], faces[1::2]
    scale = float(np.mean([face.alignment[0, 0] for face in fitted]))
    down = float(np.mean([face.alignment[1, 2] for face in fitted]))
    rule = np.array([[scale, 0, (SIDE_PX - scale) / 2], [0, scale, down]])
    landmarks = np.mean([onto(face.alignment, face.points) for face in fitted], axis=0)
    print(
        f"{len(faces)} faces: scale {scale:.1f}, shift {rule[:, 2].round(1)}, landmarks {landmarks.round(1).tolist()}"
    )
    shipped = np.array([[RULE_SCALE, 0, RULE_SHIFT[0]], [0, RULE_SCALE, RULE_SHIFT[1]]])
    for name, by_rule, at in (("fitted", rule, landmarks), ("shipped", shipped, LANDMARKS)):
        for weight in WEIGHTS:

            def aligned(face: Face, by_rule=by_rule, at=at, weight=weight) -> np.ndarray:
                return (1 - weight) * by_rule + weight * similarity(face.points, at)

            found = f"px {errors(fitted, aligned)}, others {errors(others, aligned)}"
            print(f"{name}, weight of the landmarks {weight}: {found}")


def read(file: Path, *detectors: Callable) -> Face | None:
    """Returns the face of a photo; None where a detector finds none."""
    image = decode_image(file.read_bytes())
    found = faces_of(detectors[0], image)
    if not found:
        return None
    crop = crop_face(image, found[0].landmarks)
    again = [faces_of(detector, crop) for detector in detectors]
    if not all(again):
        return None
    points = np.mean([np.asarray(faces[0].landmarks) for faces in again], axis=0)
    return Face(three_points(crop) / len(crop), similarity(points / len(crop), REFERENCE))


def errors(faces: list[Face], aligned: Callable[[Face], np.ndarray]) -> str:
    """Returns the mean, the 90th percentile and the maximum over faces of the distance at PLACES, in pixels."""
    found = []
    for face in faces:
        in_crop = (PLACES - face.alignment[:, 2]) @ np.linalg.inv(face.alignment[:, :2]).T
        found.append(np.linalg.norm(onto(aligned(face), in_crop) - PLACES, axis=1).mean())
    return f"{np.mean(found):.2f} (90 % under {np.quantile(found, 0.9):.2f}, all under {max(found):.1f})"


def onto(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


if __name__ == "__main__":
    main()
