"""The models that a generation needs, opened and checked against each other."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.config import Config
from pipelines.generation.fit_speakers import load_speakers
from pipelines.progress import say
from vclip import __version__, checkpoint
from vclip.association.base import Association
from vclip.association.methods import load as load_association
from vclip.errors import InputError, SpaceError
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.signature import TTSSignature
from vclip.tts import TTS


@dataclass(frozen=True)
class Models:
    """What chooses the voices, and what judges them."""

    association: Association
    generator: SpeakerGenerator
    signature: TTSSignature | None  # None for the naive score
    evaluator: Association | None
    named: dict[str, Any]  # as provenance names them: folder and hash, and the spaces


def open_models(model_folder: Path, speakers_folder: Path, evaluator_folder: Path | None, config: Config) -> Models:
    """Returns the models of these folders.

    Raises:
        InputError: one is missing or damaged, or they do not fit each other.
    """
    model = load_association(model_folder)
    generator, signature = load_speakers(speakers_folder, config.generate.score)
    evaluator = load_association(evaluator_folder) if evaluator_folder else None
    if evaluator and evaluator_folder:
        check_evaluator(evaluator, evaluator_folder, model, model_folder)
    folders = {"association": model_folder, "generator": Path(speakers_folder) / "generator"}
    folders |= {"signature": Path(speakers_folder) / "signature"} if signature else {}
    folders |= {"evaluator": evaluator_folder} if evaluator_folder else {}
    named = {
        "vclip": __version__,
        **{name: {"folder": str(folder), "sha256": checkpoint.digest(folder)} for name, folder in folders.items()},
        "face_space": model.face_space,
        "voice_space": model.voice_space,
    }
    return Models(model, generator, signature, evaluator, named)


def with_tts(named: dict[str, Any], tts: TTS) -> dict[str, Any]:
    """Returns the named models and the TTS."""
    return {**named, "tts": {"name": tts.name, **tts.made_of}}


def check_tts(generator: SpeakerGenerator, tts: TTS) -> None:
    """Raises SpaceError if the generator's speakers are not such as the TTS takes."""
    if generator.space != tts.space:
        raise SpaceError(generator.space, tts.space, f"speakers for the TTS '{tts.name}'")


def check_evaluator(evaluator: Association, folder: Path, model: Association, model_folder: Path) -> None:
    """Tells where the two were trained on the same people.

    Raises:
        InputError: they are one model, or of different spaces.
    """
    if (evaluator.face_space, evaluator.voice_space) != (model.face_space, model.voice_space):
        found, expected = (f"{m.face_space} and {m.voice_space}" for m in (evaluator, model))
        raise SpaceError(found, expected, f"evaluator {folder}")
    if checkpoint.digest(folder) == checkpoint.digest(model_folder):
        raise InputError(f"--evaluator {folder}: found the model itself, expected another to judge it")
    if np.isin(evaluator.seen, model.seen).any():
        say(f"evaluator {folder}: was trained on some of the same people as {model_folder}")
