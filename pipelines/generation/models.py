"""The models that choose voices, opened from their folders and checked against each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.association.centring import centred_on
from pipelines.config import GenerateConfig
from pipelines.progress import warn
from stores import Store
from vclip import __version__, checkpoint
from vclip.association.base import Association, training_people
from vclip.association.methods import load as load_association
from vclip.errors import InputError, SpaceError
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.signature import TTSSignature


@dataclass(frozen=True)
class Models:
    """The models that choose voices, and the one that evaluates them."""

    association: Association
    generator: SpeakerGenerator
    signature: TTSSignature | None  # None for the naive score
    evaluator: Association | None
    provenance: Mapping[str, Any]  # name -> folder and SHA-256; and the spaces


def open_models(
    model_folder: Path, speakers_folder: Path, evaluator_folder: Path | None, settings: GenerateConfig
) -> Models:
    """Returns the models of these folders.

    Args:
        model_folder: the association model, made by `train`.
        speakers_folder: the generator and the signature, made by `fit-speakers` and `distill`.
        evaluator_folder: another association model, or None.
        settings: the score, since the naive one needs no signature; the store to centre the faces on; and the device
            of model and signature. The evaluator is on the CPU, since it is sent to workers that have no GPU.

    Raises:
        InputError: a model is missing or damaged, or their spaces differ.
    """
    model = load_association(model_folder, settings.device)
    generator, signature = load_speakers(speakers_folder, settings.score, settings.device)
    evaluator = load_association(evaluator_folder, "cpu") if evaluator_folder else None
    if evaluator and evaluator_folder:
        check_evaluator(evaluator, evaluator_folder, model, model_folder)
    folders = {"association": model_folder, "generator": Path(speakers_folder) / "generator"}
    folders |= {"signature": Path(speakers_folder) / "signature"} if signature else {}
    folders |= {"evaluator": evaluator_folder} if evaluator_folder else {}
    if settings.centre:
        store = Store.open(settings.centre)
        model = centred_on(model, store.snapshot(), store.uri, voices=False)
    provenance = {
        "vclip": __version__,
        **({"centred_on": settings.centre} if settings.centre else {}),
        **{name: {"folder": str(folder), "sha256": checkpoint.digest(folder)} for name, folder in folders.items()},
        "face_space": model.face_space,
        "voice_space": model.voice_space,
    }
    return Models(model, generator, signature, evaluator, provenance)


def load_speakers(folder: Path, score: str, device: str = "") -> tuple[SpeakerGenerator, TTSSignature | None]:
    """Returns the generator and the signature of a folder, or None for a signature that is missing and not needed.

    Raises:
        InputError: the generator is missing, or the signature that the score needs.
    """
    generator = SpeakerGenerator.load(Path(folder) / "generator")
    if not (Path(folder) / "signature").is_dir():
        if score == "naive":
            return generator, None
        raise InputError(
            f"speakers {folder}: found no TTS signature, which the {score} score needs; run "
            f"`vclip distill --speakers {folder} --out {folder}`, or give --set generate.score=naive"
        )
    return generator, TTSSignature.load(Path(folder) / "signature", device)


def check_evaluator(evaluator: Association, folder: Path, model: Association, model_folder: Path) -> None:
    """Checks that an evaluator is another model of the same spaces, and reports shared training people on stderr.

    Raises:
        InputError: the evaluator is the model itself, or its spaces differ.
    """
    if (evaluator.face_space, evaluator.voice_space) != (model.face_space, model.voice_space):
        found, expected = (f"{m.face_space} and {m.voice_space}" for m in (evaluator, model))
        raise SpaceError(found, expected, f"evaluator {folder}")
    if checkpoint.digest(folder) == checkpoint.digest(model_folder):
        raise InputError(f"--evaluator {folder}: found the model itself, expected another model to judge it")
    if np.isin(training_people(evaluator), training_people(model)).any():
        warn(f"evaluator {folder}: was trained on some of the same people as {model_folder}")


def check_speaker_space(generator: SpeakerGenerator, space: str, tts: str) -> None:
    """Raises SpaceError unless the generator draws speaker vectors in the space of the TTS."""
    if generator.space != space:
        raise SpaceError(generator.space, space, f"speakers for the TTS '{tts}'")
