"""The speech of one system: what `vclip generate` wrote, with the faces that it was made for."""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import soundfile

from pipelines.config import Config
from pipelines.extraction.faces.detectors import FaceDetector, open_detector
from pipelines.files.download import local_copy
from pipelines.files.remote import unreadable
from pipelines.generation.batch import RESULTS
from pipelines.generation.faces import cut_face
from pipelines.ingest.embed import decode_image
from stores import Store
from stores.sql import quoted
from vclip.audio import read_audio, resample
from vclip.errors import InputError
from vclip.marking.verify import verify
from vclip.tts.loudness import normalised

SIDE_PX = 256


@dataclass(frozen=True)
class Stimulus:
    """One face with one sound."""

    system: str  # which made the sound for the face
    face: str  # whose ratings belong together; equal for equal faces
    picture: np.ndarray  # (side, side, 3) uint8 RGB
    sound: np.ndarray  # (samples,) float32
    sample_rate_hz: int
    told: Mapping[str, Any]  # for the key: files and texts


def picture_file(picture: np.ndarray) -> bytes:
    """Returns a picture (side, side, 3) uint8 RGB as a JPEG of the size that all have."""
    sized = cv2.resize(picture, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", sized[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def sound_files(stimuli: Sequence[Stimulus]) -> list[bytes]:
    """Returns the sounds as FLAC, all at the lowest rate among them, of one loudness, without provenance."""
    rate = min(stimulus.sample_rate_hz for stimulus in stimuli)
    files = []
    for stimulus in stimuli:
        file = io.BytesIO()
        sound = normalised(resample(stimulus.sound, stimulus.sample_rate_hz, rate), rate)
        soundfile.write(file, sound, rate, format="FLAC", subtype="PCM_16")
        files.append(file.getvalue())
    return files


class Pictures:
    """The faces that speech was made for, cut out as the face encoder saw them."""

    def __init__(self, config: Config):
        self._config = config
        self._found: dict[str, np.ndarray] = {}

    def of(self, said: Mapping[str, Any]) -> np.ndarray:
        """Returns the face (side, side, 3) uint8 RGB that provenance names.

        Raises:
            InputError: the photo, or the face of the store, is not there, or is another one by now.
        """
        key = face_key(said)
        if key not in self._found:
            uri = said["face"]
            in_store = "#" in uri and not Path(uri).exists()
            self._found[key] = self._stored(said) if in_store else self._cut(said)
        return self._found[key]

    @cached_property
    def _detector(self) -> FaceDetector:
        return open_detector(self._config.extraction.tracks.detector)

    def _cut(self, said: Mapping[str, Any]) -> np.ndarray:
        uri = said["face"]
        try:
            with local_copy(uri, self._config.remote) as path:
                photo = Path(path).read_bytes()
        except OSError as error:
            where = "expected it where it was when the speech was made"
            raise InputError(f"photo {uri}: {unreadable(error)}; {where}") from None
        _check(photo, said)
        return cut_face(photo, uri, self._detector, said["face_index"]).crop

    def _stored(self, said: Mapping[str, Any]) -> np.ndarray:
        store, _, face_id = said["face"].rpartition("#")
        rows = Store.open(store).query("faces", ["image"], f"face_id = {quoted(face_id)}").to_pylist()
        if not rows or not rows[0]["image"]:
            raise InputError(f"face {said['face']}: the store has no picture of it; listeners must see one")
        _check(rows[0]["image"], said)
        return decode_image(rows[0]["image"])


def read_system(name: str, path: Path, most: int, seed: int, pictures: Pictures) -> list[Stimulus]:
    """Returns what one system said, at most so much: drawn so that several systems get the same faces and texts.

    Args:
        name: of the system.
        path: a folder of WAV files by `vclip generate`, or of a batch, or a batch's results.jsonl.
        most: stimuli.
        seed: of the draw.
        pictures: of the faces.

    Raises:
        InputError: nothing there, a file without or with another's provenance, or speech of several settings.
    """
    files = {wav: _said(wav) for wav in _wavs(path)}
    settings = {json.dumps(said["generate"] | {"seed": None}, sort_keys=True) for said in files.values()}
    if len(settings) > 1:
        raise InputError(f"system {name}, {path}: found speech by {len(settings)} settings, expected one a system")
    chosen = sorted(files, key=lambda wav: _rank(files[wav], seed))[:most]
    return [_stimulus(name, wav, files[wav], pictures) for wav in chosen]


def face_key(said: Mapping[str, Any]) -> str:
    """Returns the name of a face: equal for equal faces, whatever their files are called."""
    return f"{said['face_sha256'] or said['face']}/{said['face_index']}"


def _wavs(path: Path) -> list[Path]:
    results = path / RESULTS if path.is_dir() else path
    if results.is_file():
        try:
            lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
            # Files of equal name lie below the results, wherever these have been moved.
            wavs = [results.parent.joinpath(*Path(row["wav"]).parts[-3:]) for row in lines if row["state"] == "done"]
        except (ValueError, KeyError, TypeError, OSError):
            raise InputError(f"{results}: expected the {RESULTS} that `vclip generate --manifest` writes") from None
    else:
        wavs = sorted(path.glob("*.wav"))
    if not wavs:
        raise InputError(f"{path}: found no speech, expected a folder that `vclip generate` wrote, or its {RESULTS}")
    return list(dict.fromkeys(wavs))


def _said(wav: Path) -> dict[str, Any]:
    found = verify(wav)
    needed = {"face", "face_sha256", "face_index", "text", "voice", "generate"}
    problems = [*found.problems, *(f"its provenance lacks '{name}'" for name in sorted(needed - {*found.provenance}))]
    if problems:
        raise InputError(f"speech file {wav}: {problems[0]}")
    return found.provenance


def _rank(said: Mapping[str, Any], seed: int) -> str:
    """The same for the same face, text and place of the voice, whichever system speaks."""
    return hashlib.sha256(f"{seed}/{face_key(said)}/{said['voice']}/{said['text']}".encode()).hexdigest()


def _stimulus(name: str, wav: Path, said: Mapping[str, Any], pictures: Pictures) -> Stimulus:
    told = {"wav": str(wav), "photo": said["face"], "text": said["text"], "voice": said["voice"]}
    return Stimulus(name, face_key(said), pictures.of(said), *read_audio(wav), told)


def _check(picture: bytes, said: Mapping[str, Any]) -> None:
    if hashlib.sha256(picture).hexdigest() != said["face_sha256"]:
        raise InputError(f"face {said['face']}: is another picture than the one that the speech was made for")
