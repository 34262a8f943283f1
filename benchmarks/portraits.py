"""Paintings, drawings and grey photographs: how often is the face found, and how well does it still match the voice?

    python benchmarks/portraits.py --pairs pairs.csv --model work/model [--people 100] [--json portraits.json]

Takes people of a table of pairs (as `vclip import pairs` reads it) whom the model was not trained on, and makes
stylised copies of their photos by OpenCV. For each style:

found           share of the copies in which the detector finds a face, as in ingest
second try      share after the second try of `vclip generate`, in smaller copies of the image
f2v             cosine of the face and the person's own voice under the model, for the faces that were found
AUC             of verification, these faces against the voices of all
same face       cosine of the faces of copy and photo under the model

Intervals of 95 % by bootstrap over people. Prints Markdown.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from pipelines.config import Config
from pipelines.extraction.faces.detectors import FaceDetector, open_detector
from pipelines.extraction.faces.photos import face_in_photo, read_image
from pipelines.files.tables import read_columns
from pipelines.generation.faces import face_encoder_spec, open_encoder
from pipelines.progress import say, step
from vclip.association.base import training_people
from vclip.association.hashes import hashes_of
from vclip.association.methods import load
from vclip.association.metrics import Figure, draw_people
from vclip.association.metrics.bootstrap import DRAWS
from vclip.audio import prepare_speech, read_audio
from vclip.encoders import FaceEncoder, open_voice_encoder, spec_of_space
from vclip.encoders.face_crop import crop_face
from vclip.errors import InputError

Image = np.ndarray  # (height, width, 3) uint8 RGB


def grey(photo: Image) -> Image:
    return cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def lines(photo: Image) -> Image:
    smooth = cv2.medianBlur(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), 5)
    drawn = cv2.adaptiveThreshold(smooth, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 9, 4)
    return cv2.cvtColor(drawn, cv2.COLOR_GRAY2RGB)


def pencil(photo: Image, coloured: bool) -> Image:
    one, three = cv2.pencilSketch(photo, sigma_s=60, sigma_r=0.07, shade_factor=0.05)
    return three if coloured else cv2.cvtColor(one, cv2.COLOR_GRAY2RGB)


STYLES: dict[str, Callable[[Image], Image]] = {
    "photo": lambda photo: photo,
    "grey": grey,
    "four levels of each colour": lambda photo: photo // 64 * 64 + 32,
    "edges kept, areas smoothed": lambda photo: cv2.edgePreservingFilter(photo, flags=1, sigma_s=60, sigma_r=0.4),
    "painting": lambda photo: cv2.stylization(photo, sigma_s=60, sigma_r=0.45),
    "pencil, coloured": lambda photo: pencil(photo, True),
    "pencil, grey": lambda photo: pencil(photo, False),
    "line drawing": lines,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, config = load(args.model), Config()
    detector = open_detector(config.extraction.tracks.detector)
    encoder = open_encoder(face_encoder_spec(model, config), model.face_space)
    voice_encoder = open_voice_encoder(spec_of_space(model.voice_space, model.encoders, config.encoders.voice))
    people = unseen(args.pairs, training_people(model), args.people, args.seed)
    voices, found = [], {name: [] for name in STYLES}
    with step("portraits", len(people), "people") as progress:
        for photo, recording in people:
            speech = prepare_speech(*read_audio(recording), voice_encoder.sample_rate_hz)
            voices.append(voice_encoder.embed([speech])[0])
            image = read_image(photo)
            for name, style in STYLES.items():
                found[name].append(look(style(image), detector, encoder))
            progress.advance()
    heard = model.embed_voices(np.stack(voices))
    seen = {name: [(tries, None if v is None else model.embed_faces(v[None])[0]) for tries, v in each]
            for name, each in found.items()}  # fmt: skip
    result = {name: figures(seen[name], seen["photo"], heard) for name in STYLES}
    table(result)
    if args.json:
        args.json.write_text(json.dumps(vars(args) | {"styles": result}, indent=2, default=str) + "\n")


def unseen(pairs: Path, seen: np.ndarray, count: int, seed: int) -> list[tuple[Path, Path]]:
    """Returns the photo and the recording of `count` people of a table whose identities are not in `seen`."""
    rows = [row.values for row in read_columns(pairs, ["identity", "face", "voice"], []) if not row.problem]
    first = {row["identity"]: row for row in reversed(rows) if row["identity"]}
    names = np.array(sorted(first), dtype=str)
    names = names[~np.isin(hashes_of("identity", names), seen)]
    if not len(names):
        raise InputError(f"table {pairs}: found no person whom the model was not trained on")
    say(f"table {pairs}: {len(names)} people whom the model was not trained on")
    chosen = np.random.default_rng(seed).permutation(names)[:count]
    return [(pairs.parent / first[name]["face"], pairs.parent / first[name]["voice"]) for name in chosen]


def look(image: Image, detector: FaceDetector, encoder: FaceEncoder) -> tuple[int, np.ndarray | None]:
    """Returns the number of tries that found the face (0: none), and its vector (d_face,)."""
    for tries, stylised in ((1, False), (2, True)):
        try:
            face = face_in_photo(image, detector, stylised=stylised)
        except InputError:
            continue
        return tries, encoder.embed([crop_face(face.image, face.face.landmarks)])[0]
    return 0, None


def figures(copies: list, photos: list, voices: np.ndarray) -> dict:
    """Returns the figures of one style: rates over all people, the others over people whose face was found."""
    tries = np.array([one for one, _ in copies])
    both = [n for n, (copy, photo) in enumerate(zip(copies, photos, strict=True)) if copy[0] and photo[0]]
    everyone, there = draw_people(len(copies), DRAWS), draw_people(len(both), DRAWS)
    faces = np.stack([copies[n][1] for n in both])
    scores = faces @ voices[both].T
    own = scores.diagonal()
    same = np.array([copies[n][1] @ photos[n][1] for n in both])
    return {
        "found": mean(tries == 1, everyone),
        "second_try": mean(tries > 0, everyone),
        "f2v": mean(own, there),
        "auc": vars(Figure.of(auc(scores, np.ones(len(both))), [auc(scores, times) for times in there])),
        "same_face": mean(same, there),
        "lost_f2v": mean(own - np.array([photos[n][1] @ voices[n] for n in both]), there),
    }


def mean(values: np.ndarray, times: np.ndarray) -> dict:
    values = values.astype(float)
    return vars(Figure.of(float(values.mean()), times @ values / len(values)))


def auc(scores: np.ndarray, times: np.ndarray) -> float:
    """Returns the share of a person's impostor voices that score below their own, the mean over people."""
    above = (scores.diagonal()[:, None] > scores) + 0.5 * (scores.diagonal()[:, None] == scores)
    weights = np.outer(times, times) * (1 - np.eye(len(scores)))
    return float((above * weights).sum() / weights.sum())


def table(result: dict) -> None:
    shown = {"found": "found", "second_try": "with a second try", "f2v": "f2v", "lost_f2v": "f2v, copy minus photo",
             "auc": "AUC", "same_face": "cosine of copy and photo"}  # fmt: skip
    print(f"| | {' | '.join(shown.values())} |\n|{'---|' * (len(shown) + 1)}")
    for style, row in result.items():
        cells = [f"{row[name]['value']:.3f} ({row[name]['low']:.3f} to {row[name]['high']:.3f})" for name in shown]
        print(f"| {style} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
