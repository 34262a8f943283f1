"""`vclip generate --text`: speech in new voices that suit the face in a photo, or in voices that were kept.

photo -> face -> vector -> scores of candidate voices (as the TTS will speak them) -> k voices -> WAV files

Several photos of one person or a prompt may take the place of the photo. A kept voice needs no choice (`speak`).
`pipelines.generation.batch` is for many faces, voices and texts.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
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
from pipelines.generation.models import open_models
from pipelines.generation.session import SpeechSession
from pipelines.generation.utterances import Utterance
from pipelines.progress import step
from pipelines.voices.collections import collections_of
from pipelines.voices.find import VoiceFinder
from stores import Store
from vclip.association.base import Association
from vclip.errors import InputError
from vclip.files import fitting
from vclip.marking.provenance import write_speech


@dataclass(frozen=True)
class GeneratedFile:
    """A WAV file that `generate` wrote, and its provenance record."""

    wav: Path
    score: float | None  # of the voice with the face; None for a voice that was chosen for none
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
    *,
    k: int = 3,
    face_index: int | None = None,
    evaluator_folder: Path | None = None,
    store_uri: str | None = None,
    same_person: bool = False,
    prompts: Sequence[str] = (),
    language: str = "",
) -> list[GeneratedFile]:
    """Writes a WAV file and its sidecar for each person, voice and text, and returns the files in this order.

    All inputs are read and checked before the first file is written and before the store records a run. If a run
    fails later, the files written so far stay and are recorded.

    Args:
        faces: the photos; empty if there are prompts.
        texts: the texts to speak.
        model_folder, speakers_folder: made by `train`, and by `fit-speakers` and `distill`.
        out: the folder for the files, which is made if it is missing.
        config: its sections `generate`, `marks`, `extraction` and `encoders`.
        k: the number of voices for each person.
        face_index: the face of a photo with several, from the left; None takes the largest.
        evaluator_folder: another association model, for the f2v of the speech.
        store_uri: a store that records the generated files.
        same_person: whether all photos show one person; otherwise each shows another.
        prompts: descriptions instead of photos, each of another person; experimental.
        language: the language of the texts, a tag of BCP 47; "" for the first language of the TTS.

    Raises:
        InputError, StoreError: an input cannot be used, or a file cannot be written.
    """
    _check_texts(texts)
    models = open_models(model_folder, speakers_folder, evaluator_folder, config.generate)
    store = Store.open(store_uri) if store_uri else None
    targets = _targets(faces, prompts, models.association, config, face_index, same_person)
    session = SpeechSession(models, config)
    spoken_language = session.language(language)
    session.synthesizer.open()
    tts = session.synthesizer.tts(session.config.generate.tts)
    for text in texts:
        # Raises if there is nothing to speak.
        next(tts.parts(text, models.generator.bank.vectors[0], spoken_language))

    vectors = np.concatenate([target.vectors for target in targets])
    chosen = session.chooser().choose(vectors, k, [0] * len(vectors) if same_person else None)

    stems = _numbered([_stem(prompt) for prompt in prompts] or [face.stem for face in faces][: len(targets)])
    utterances = [
        (stem, f"_voice{rank}", Utterance(session.voice(target, voice, rank), text, spoken_language, target))
        for stem, target, voices in zip(stems, targets, chosen, strict=True)
        for rank, voice in enumerate(voices, start=1)
        for text in texts
    ]
    command = {"job": "generate", "faces": [str(face) for face in faces], "prompts": list(prompts)}
    return _write(utterances, session, store, out, command)


def speak(
    voices: Sequence[str],
    texts: Sequence[str],
    out: Path,
    config: Config,
    store_uri: str | None = None,
    language: str = "",
) -> list[GeneratedFile]:
    """Writes a WAV file and its sidecar for each kept voice and text, and returns the files in this order.

    As with `generate`, nothing is written before all inputs are checked.

    Args:
        voices: names, or voice files, sidecars or WAV files of speech that `generate` made.
        texts, out: as `generate` takes them.
        config: its section `generate`; `generate.voices_from` is a folder in which names are looked up.
        store_uri: a store that has voices too, and records the generated files.
        language: as `generate` takes it.

    Raises:
        InputError, StoreError: an input cannot be used, or a file cannot be written.
    """
    _check_texts(texts)
    store = Store.open(store_uri) if store_uri else None
    session, shelves = SpeechSession(None, config), collections_of(config, store)
    finder = VoiceFinder(shelves, config.remote)
    known = [bank for shelf in shelves for bank in shelf.known_speakers()]
    kept = [session.kept(finder.find(value).voice, known) for value in voices]
    languages = [session.language(language, voice.tts) for voice in kept]
    for voice, spoken in zip(kept, languages, strict=True):
        for text in texts:
            next(session.synthesizer.tts(voice.tts).parts(text, voice.speaker, spoken))  # raises for an empty text
    stems = _numbered(
        voice.name or PurePosixPath(value.partition("?")[0]).stem for voice, value in zip(kept, voices, strict=True)
    )
    utterances = [
        (stem, "", Utterance(voice, text, spoken))
        for stem, voice, spoken in zip(stems, kept, languages, strict=True)
        for text in texts
    ]
    command = {"job": "generate", "voices": list(voices)}
    return _write(utterances, session, store, out, command)


def _check_texts(texts: Sequence[str]) -> None:
    if any(not text.strip() for text in texts):
        raise InputError("--text: found an empty text, expected something to say")


def _write(
    utterances: Sequence[tuple[str, str, Utterance]],
    session: SpeechSession,
    store: Store | None,
    out: Path,
    command: Mapping[str, Any],
) -> list[GeneratedFile]:
    """Speaks utterances, each with the beginning and the end of its file name's stem, and returns the files."""
    written = []
    session.say_notices()
    with session.recording(store, command) as recorder, step("speak", len(utterances), "files") as progress:
        for stem, of_voice, utterance in utterances:
            speech, spoken, record = session.synthesizer.speak(utterance)
            # The name depends on text and voice, so that a later run does not replace other speech.
            path = out / _speech_name(stem, f"{of_voice}_{utterance.generation_id[:8]}")
            write_speech(path, speech, record, signer=session.marks.signer)
            recorder.add(record, str(path))
            written.append(GeneratedFile(path, record.get("score"), spoken.seconds, record))
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
    """Returns the targets: the prompts, or the person in all photos, or the face of each photo."""
    detector = open_detector(config.extraction.tracks.detector) if photos else None
    found = read_photo_faces(photos, detector, face_index) if detector else []
    encoder = open_encoder(face_encoder_spec(model, config), model.face_space, config.generate.device)
    if prompts:
        return encode_prompts(prompts, encoder, model)
    faces = encode_faces(found, encoder)
    return [TargetPerson(tuple(faces))] if same_person else faces


def _speech_name(stem: str, of_voice: str) -> str:
    """Returns the name of a WAV file; there is room for that of the JSON file beside it."""
    return fitting(stem, f"{of_voice}.json").removesuffix(".json") + ".wav"


def _stem(prompt: str) -> str:
    """Returns the stem of a file name for a prompt."""
    return "-".join(re.findall(r"\w+", prompt.lower()))[:40].rstrip("-") or "prompt"


def _numbered(stems: Iterable[str]) -> list[str]:
    """Returns the stems, with a number added to each repeated one."""
    names: list[str] = []
    for stem in stems:
        numbered = (f"{stem}-{i}" for i in range(2, len(names) + 3))
        names.append(next(name for name in (stem, *numbered) if name not in names))
    return names
