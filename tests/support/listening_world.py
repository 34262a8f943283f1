"""Speech of two systems for three faces, and listeners who answer as they are told."""

import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipelines.config import GenerateConfig
from pipelines.generation.faces import TargetFace
from pipelines.generation.synthesize import files_of
from pipelines.generation.utterances import Spoken
from pipelines.listening.page import QUESTIONS
from pipelines.quickstart.sample import draw_people, portrait_of
from tests.support.generation_world import Beeper, utterance
from vclip.marking.provenance import write_speech
from vclip.tts.wav import StreamedSpeech

TEXTS = ("Hello there.", "Good night.")


def photos(folder: Path) -> list[Path]:
    """Writes three photos of one face each."""
    paths = [folder / f"face{i}.png" for i in range(3)]
    for path, person in zip(paths, draw_people(3, seed=5), strict=True):
        cv2.imwrite(str(path), portrait_of(person)[..., ::-1])
    return paths


def say(folder: Path, score: str, faces: list[Path], batch: bool = False) -> Path:
    """Writes what a system says for faces, as `generate` does, or as a batch does; two texts each."""
    settings, lines = GenerateConfig(score=score), []
    tts = Beeper(folder.with_suffix(".journal"), 0.0)
    for number, path in enumerate(faces):
        speaker = np.random.default_rng([number, len(score)]).random(256)
        face = TargetFace(str(path), _sha256(path), 0, 1, np.zeros(4, np.float32))
        for text in TEXTS:
            said = utterance(text, speaker, face, {"tts": {"name": score}}, settings.model_dump())
            wave = tts.synthesize(text, speaker)
            record = said.record(Spoken(0.6, {}))
            name = files_of(said)[0] if batch else f"{path.stem}_{said.generation_id[:8]}.wav"
            write_speech(folder / name, StreamedSpeech([wave], tts.sample_rate_hz), record)
            lines.append({"state": "done", "wav": f"s3://elsewhere/batch/{name}"})
    if batch:
        lines.append({"state": "failed", "reason": "no face"})
        (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def answers(path: Path, key: dict[str, Any], rating_of) -> Path:
    """Writes the answers of one listener; `rating_of(question, item of the key)`."""
    cells = [(question, name) for question in QUESTIONS for name in key["items"]]
    ratings = [{"question": q, "item": name, "rating": rating_of(q, key["items"][name])} for q, name in cells]
    path.write_text(json.dumps({"test": key["test"], "listener": path.stem, "ratings": ratings}))
    return path


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
