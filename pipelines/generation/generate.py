"""`vclip generate --face --text`: a face photo and text into speech in new voices that suit the face.

photo -> face -> crop -> vector -> scored against candidates (as the TTS will make them) -> k voices -> WAV files

Instead of one photo: several of one person, or a prompt.

Many faces and texts at once: `pipelines.generation.batch`.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.config import Config
from pipelines.extraction.faces.detectors import open_detector
from pipelines.generation.faces import (
    Person,
    Subject,
    described,
    encoded,
    face_encoder_spec,
    open_encoder,
    read_portraits,
)
from pipelines.generation.models import check_tts, open_models, with_tts
from pipelines.generation.utterances import Judge, Utterance, provenance, speak, store_row
from pipelines.generation.voices import choose_voices
from pipelines.progress import step
from stores import Store
from vclip.errors import InputError
from vclip.marking.provenance import write_speech
from vclip.tts import open_tts


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
) -> list[dict[str, Any]]:
    """Writes a WAV file and its sidecar for each person, voice and text; returns the sidecars with the files' names.

    Everything is read and checked before the first file is written.

    Args:
        faces: photos; none where there are prompts.
        texts: what to say.
        model_folder, speakers_folder: made by `train`, and by `fit-speakers` and `distill`.
        out: folder for the files, made if it is missing.
        config: its section `generate`.
        k: voices per person.
        face_index: which face of a photo with several, from the left; None takes the largest.
        evaluator_folder: another association model, for the f2v of what was spoken.
        store_uri: a store that records the generations.
        same_person: whether all photos show one person; else each shows another.
        prompts: descriptions instead of photos, each of another person; experimental.

    Raises:
        InputError, StoreError: an input that cannot be used.
    """
    if any(not text.strip() for text in texts):
        raise InputError("--text: found an empty text, expected something to say")
    models = open_models(model_folder, speakers_folder, evaluator_folder, config)
    store = Store.open(store_uri) if store_uri else None
    portraits = read_portraits(faces, open_detector(config.extraction.tracks.detector), face_index) if faces else []
    encoder = open_encoder(face_encoder_spec(models.association, config), models.association.face_space)
    subjects: Sequence[Subject] = encoded(portraits, encoder)
    if same_person:
        subjects = [Person(tuple(subjects))]
    if prompts:
        subjects = described(prompts, encoder, models.association)
    tts = open_tts(config.generate.tts)
    check_tts(models.generator, tts)
    for text in texts:
        next(tts.parts(text, models.generator.bank.vectors[0]))  # raises where there is nothing to say
    vectors = np.concatenate([subject.vectors for subject in subjects])
    person = [0] * len(vectors) if same_person else None
    chosen = choose_voices(vectors, models.association, models.generator, models.signature, config, k, person)
    judge = Judge(models.evaluator) if models.evaluator else None
    stems = [_stem(prompt) for prompt in prompts] or [face.stem for face in faces][: len(subjects)]
    named, written = with_tts(models.named, tts), []
    with step("speak", len(subjects) * k * len(texts), "files") as progress:
        for name, subject, voices in zip(_names(stems), subjects, chosen, strict=True):
            for rank, voice in enumerate(voices, start=1):
                for text in texts:
                    utterance = Utterance(subject, voice, rank, text)
                    speech, spoken = speak(utterance, tts, judge)
                    said = provenance(utterance, spoken, config.generate, named)
                    # A name of its own for each text and voice: a later run must not put other speech in its place.
                    path = out / f"{name}_voice{rank}_{utterance.generation_id[:8]}.wav"
                    write_speech(path, speech, said)
                    written.append(said | {"wav": str(path)})
                    progress.advance()
    if store:
        command = {"job": "generate", "faces": [str(face) for face in faces], "prompts": list(prompts)}
        with store.run(command, config.model_dump()) as run:
            store.add_generations([store_row(row, run.run_id, tts.space, row["wav"]) for row in written])
    return written


def _stem(prompt: str) -> str:
    """Returns a prompt as a file's name may begin."""
    return "-".join(re.findall(r"\w+", prompt.lower()))[:40].rstrip("-") or "prompt"


def _names(stems: Iterable[str]) -> list[str]:
    """Returns the stems, numbered where one comes again."""
    names: list[str] = []
    for stem in stems:
        numbered = (f"{stem}-{i}" for i in range(2, len(names) + 3))
        names.append(next(name for name in (stem, *numbered) if name not in names))
    return names
