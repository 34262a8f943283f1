"""`vclip generate`: a face photo and text into speech in new voices that suit the face.

photo -> face -> crop -> vector -> scored against candidates (as the TTS will make them) -> k voices -> WAV files
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.config import Config
from pipelines.extraction.faces.detectors import FaceDetector, open_detector
from pipelines.extraction.faces.photos import face_in_photo, read_image
from pipelines.progress import say, step
from pipelines.speakers import load_speakers
from stores import Store, generation_id, run_id
from vclip import __version__, checkpoint
from vclip.association.methods import load as load_association
from vclip.association.protocol import Association
from vclip.audio import prepare_speech
from vclip.encoders import open_face_encoder, open_voice_encoder, spec_of_space
from vclip.encoders.face_crop import crop_face
from vclip.errors import InputError, SpaceError
from vclip.speakers.metrics import f2v
from vclip.speakers.retrieval import expected_voices, pick, suitability
from vclip.tts import open_tts
from vclip.tts.wav import write_speech


@dataclass(frozen=True)
class Portrait:
    """One photo's face, ready to be encoded."""

    path: str
    sha256: str  # of the file
    name: str  # stem of the files made for it
    crop: np.ndarray  # (side, side, 3) uint8 RGB
    face_index: int  # which face of the photo, from the left
    faces: int  # how many the photo has


@dataclass(frozen=True)
class Voice:
    """One voice chosen for a face."""

    speaker: np.ndarray  # (dim,) float32, the vector given to the TTS
    expected: np.ndarray  # (d_voice,) float32, what it will sound like
    score: float  # cosine with the face
    log_likelihood: float  # under the speaker generator


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
) -> list[dict[str, Any]]:
    """Writes a WAV file and its sidecar for each face, voice and text; returns the sidecars with the files' names.

    Everything is read and checked before the first file is written.

    Args:
        faces: photos.
        texts: what to say.
        model_folder, speakers_folder: made by `train`, and by `fit-speakers` and `distill`.
        out: folder for the files, made if it is missing.
        config: its section `generate`.
        k: voices per face.
        face_index: which face of a photo with several, from the left; None takes the largest.
        evaluator_folder: another association model, for the f2v of what was spoken.
        store_uri: a store that records the generations.

    Raises:
        InputError, StoreError: an input that cannot be used.
    """
    if any(not text.strip() for text in texts):
        raise InputError("--text: found an empty text, expected something to say")
    settings = config.generate
    model = load_association(model_folder)
    generator, signature = load_speakers(speakers_folder, settings.score)
    evaluator = load_association(evaluator_folder) if evaluator_folder else None
    if evaluator:
        if (evaluator.face_space, evaluator.voice_space) != (model.face_space, model.voice_space):
            found, expected = (f"{m.face_space} and {m.voice_space}" for m in (evaluator, model))
            raise SpaceError(found, expected, f"evaluator {evaluator_folder}")
        if checkpoint.digest(evaluator_folder) == checkpoint.digest(model_folder):
            raise InputError(f"--evaluator {evaluator_folder}: found the model itself, expected another to judge it")
        if np.isin(evaluator.seen, model.seen).any():
            say(f"evaluator {evaluator_folder}: was trained on some of the same people as {model_folder}")
    store = Store.open(store_uri) if store_uri else None
    portraits = read_portraits(faces, open_detector(config.extraction.tracks.detector), face_index)
    vectors = _face_encoder(model, config).embed([portrait.crop for portrait in portraits])
    tts = open_tts(settings.tts)
    if generator.space != tts.space:
        raise SpaceError(generator.space, tts.space, f"speakers for the TTS '{tts.name}'")
    for text in texts:
        tts.synthesize(text, generator.bank.vectors[0])  # raises where there is nothing to say, and is remembered
    chosen = choose_voices(vectors, model, generator, signature, config, k)
    listener = open_voice_encoder(spec_of_space(model.voice_space)) if evaluator else None
    folders = {"association": model_folder, "generator": Path(speakers_folder) / "generator"}
    folders |= {"signature": Path(speakers_folder) / "signature"} if signature else {}
    folders |= {"evaluator": evaluator_folder} if evaluator_folder else {}
    models = {
        "vclip": __version__,
        **{name: {"folder": str(folder), "sha256": checkpoint.digest(folder)} for name, folder in folders.items()},
        "face_space": model.face_space,
        "voice_space": model.voice_space,
        "tts": tts.name,
    }
    written = []
    with step("speak", len(portraits) * k * len(texts), "files") as progress:
        for portrait, vector, voices in zip(portraits, vectors, chosen, strict=True):
            for rank, voice in enumerate(voices, start=1):
                for text in texts:
                    wave = tts.synthesize(text, voice.speaker)
                    scores = {settings.score: voice.score, "log_likelihood": voice.log_likelihood}
                    if evaluator and listener:
                        heard = listener.embed([prepare_speech(wave, tts.sample_rate_hz)])
                        scores["f2v"] = float(f2v(evaluator, vector[None], heard)[0])
                    # A name of its own for each text and voice: a later run must not put other speech in its place.
                    name = generation_id(portrait.sha256, text, voice.speaker)
                    path = out / f"{portrait.name}_voice{rank}_{name[:8]}.wav"
                    row = {
                        "generation_id": name,
                        "wav": str(path),
                        "text": text,
                        "face": portrait.path,
                        "face_sha256": portrait.sha256,
                        "face_index": portrait.face_index,
                        "faces_in_photo": portrait.faces,
                        "voice": rank,
                        "score": voice.score,
                        "scores": scores,
                        "seconds": len(wave) / tts.sample_rate_hz,
                        "models": models,
                        "generate": settings.model_dump(),
                        "speaker_vector": [round(float(v), 6) for v in voice.speaker],
                        "notice": "Synthetic speech. The voice was made to suit the face; it is nobody's own voice.",
                    }
                    write_speech(path, wave, tts.sample_rate_hz, row)
                    written.append(row)
                    progress.advance()
    if store:
        record(store, written, tts.name, tts.space)
    return written


def read_portraits(paths: Sequence[Path], detector: FaceDetector, index: int | None) -> list[Portrait]:
    """Returns the chosen face of each photo, and tells where a photo has several.

    Raises:
        InputError: unreadable, no face, or none of that index; names the file.
    """
    portraits, names = [], set()
    for path in paths:
        image = read_image(path)
        try:
            face, used, count = face_in_photo(image, detector, index)
        except InputError as error:
            raise InputError(f"photo {path}: {error}") from None
        if count > 1:
            say(f"photo {path}: {count} faces, used number {used} from the left; choose with --face-index")
        name = next(n for n in (path.stem, *(f"{path.stem}-{i}" for i in range(2, len(paths) + 2))) if n not in names)
        names.add(name)
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        portraits.append(Portrait(str(path), digest, name, crop_face(image, face.landmarks), used, count))
    return portraits


def choose_voices(
    faces: np.ndarray, model: Association, generator: Any, signature: Any, config: Config, k: int
) -> list[list[Voice]]:
    """Returns k voices for each face vector (n, d_face): the best candidates that differ from each other."""
    settings = config.generate
    candidates = generator.sample(settings.candidates, settings.seed)
    expected = expected_voices(candidates, generator.space, model, signature)
    scores = suitability(model, faces, expected)  # (faces, candidates)
    likelihood = generator.log_likelihood(candidates)
    chosen = []
    for row in scores:
        picked, limit = pick(row, expected, k, settings.max_similarity)
        if limit > settings.max_similarity:
            say(f"no {k} voices differ by {settings.max_similarity:.2f}; took {limit:.2f} (generate.max_similarity)")
        chosen.append([Voice(candidates[i], expected[i], float(row[i]), float(likelihood[i])) for i in picked])
    return chosen


def _face_encoder(model: Association, config: Config) -> Any:
    """The encoder that the model needs; the configuration names it only where the space does not."""
    try:
        spec = spec_of_space(model.face_space)
    except InputError:
        spec = config.encoders.face
    encoder = open_face_encoder(spec)
    if encoder.space != model.face_space:
        raise SpaceError(encoder.space, model.face_space, f"face encoder '{spec}'")
    return encoder


def record(store: Store, written: Sequence[dict[str, Any]], tts: str, space: str) -> None:
    """Adds generated files to the table `generations`."""
    run = run_id()
    store.add_generations(
        [
            {
                "generation_id": row["generation_id"],
                "run_id": run,
                "face": row["face"],
                "text": row["text"],
                "tts": tts,
                "space": space,
                "speaker_vector": row["speaker_vector"],
                "score": row["score"],
                "scores": row["scores"],
                "audio_uri": row["wav"],
                "models": row["models"],
            }
            for row in written
        ]
    )
