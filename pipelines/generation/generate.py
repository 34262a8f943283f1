"""`vclip generate --face --text`: a face photo and text into speech in new voices that suit the face.

photo -> face -> vector -> scored against candidates (as the TTS will speak them) -> k voices -> WAV files

Instead of one photo: several of one person, or a prompt. Many faces and texts: `pipelines.generation.batch`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.config import Config
from pipelines.extraction.faces.detectors import open_detector
from pipelines.generation.faces import (
    Target,
    TargetPerson,
    encode_faces,
    encode_prompts,
    face_encoder_spec,
    open_encoder,
    read_photo_faces,
)
from pipelines.generation.session import SpeechSession, open_models
from pipelines.generation.utterances import Utterance
from pipelines.progress import step
from stores import Store
from vclip.association.base import Association
from vclip.errors import InputError
from vclip.marking.provenance import write_speech


@dataclass(frozen=True)
class GeneratedFile:
    """A WAV file that `generate` wrote, and its provenance record."""

    wav: Path
    score: float  # of the voice with the face
    seconds: float
    provenance: Mapping[str, Any]  # as the WAV file carries it

    def to_json(self) -> dict[str, Any]:
        """Returns the provenance record, with the name of the file as `wav`."""
        return {**self.provenance, "wav": str(self.wav)}


def generate(
    faces: Sequence[Path],
    texts: Sequence[str],
    model_folder: Path,
    speakers_folder: Path,
    out: Path,
    config: Config,
    k: int = 3,
    face_index: int | None = None,
    evaluator_folder: Path | None = None,
    store_uri: str | None = None,
    same_person: bool = False,
    prompts: Sequence[str] = (),
) -> list[GeneratedFile]:
    """Writes a WAV file and its sidecar for each person, voice and text, and returns the files in this order.

    Everything is read and checked before the first file is written.

    Args:
        faces: photos; none where there are prompts.
        texts: what to speak.
        model_folder, speakers_folder: made by `train`, and by `fit-speakers` and `distill`.
        out: folder for the files, made if it is missing.
        config: its sections `generate`, `extraction` and `encoders`.
        k: voices per person.
        face_index: which face of a photo with several, from the left; None takes the largest.
        evaluator_folder: another association model, for the f2v of the speech.
        store_uri: a store that records the generations.
        same_person: whether all photos show one person; else each shows another.
        prompts: descriptions instead of photos, each of another person; experimental.

    Raises:
        InputError, StoreError: an input that cannot be used.
    """
    if any(not text.strip() for text in texts):
        raise InputError("--text: found an empty text, expected something to say")
    models = open_models(model_folder, speakers_folder, evaluator_folder, config.generate.score)
    store = Store.open(store_uri) if store_uri else None
    targets = _targets(faces, prompts, models.association, config, face_index, same_person)
    session = SpeechSession(models, config)
    for text in texts:
        next(session.tts.parts(text, models.generator.bank.vectors[0]))  # raises where there is nothing to speak

    vectors = np.concatenate([target.vectors for target in targets])
    chosen = session.chooser().choose(vectors, k, [0] * len(vectors) if same_person else None)

    stems = _numbered([_stem(prompt) for prompt in prompts] or [face.stem for face in faces][: len(targets)])
    command = {"job": "generate", "faces": [str(face) for face in faces], "prompts": list(prompts)}
    written = []
    with (
        session.recording(store, command) as recorder,
        step("speak", len(targets) * k * len(texts), "files") as progress,
    ):
        for stem, target, voices in zip(stems, targets, chosen, strict=True):
            for rank, voice in enumerate(voices, start=1):
                for text in texts:
                    utterance = Utterance(target, voice, rank, text)
                    speech, spoken, record = session.synthesizer.speak(utterance)
                    # Each text and voice has its own name, so a later run does not put other speech in its place.
                    path = out / f"{stem}_voice{rank}_{utterance.generation_id[:8]}.wav"
                    write_speech(path, speech, record)
                    recorder.add(record, str(path))
                    written.append(GeneratedFile(path, voice.score, spoken.seconds, record))
                    progress.advance()
    return written


def _targets(
    photos: Sequence[Path],
    prompts: Sequence[str],
    model: Association,
    config: Config,
    face_index: int | None,
    same_person: bool,
) -> Sequence[Target]:
    """Returns what voices are made for: each prompt; or the person on all photos; or the face of each photo."""
    detector = open_detector(config.extraction.tracks.detector) if photos else None
    found = read_photo_faces(photos, detector, face_index) if detector else []
    encoder = open_encoder(face_encoder_spec(model, config), model.face_space)
    if prompts:
        return encode_prompts(prompts, encoder, model)
    faces = encode_faces(found, encoder)
    return [TargetPerson(tuple(faces))] if same_person else faces


def _stem(prompt: str) -> str:
    """Returns the beginning of a file's name for a prompt."""
    return "-".join(re.findall(r"\w+", prompt.lower()))[:40].rstrip("-") or "prompt"


def _numbered(stems: Iterable[str]) -> list[str]:
    """Returns the stems, a number added to each repeated one."""
    names: list[str] = []
    for stem in stems:
        numbered = (f"{stem}-{i}" for i in range(2, len(names) + 3))
        names.append(next(name for name in (stem, *numbered) if name not in names))
    return names
