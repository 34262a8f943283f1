"""The stimuli of one system: speech files that `vclip generate` wrote, with the faces that they were made for.

All images and all audio are brought to one form, because their form would tell which system made them.
"""

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
from pipelines.generation.faces import cut_face, face_key
from pipelines.ingest.embed import decode_image
from stores import Store
from stores.sql import quoted
from vclip.audio import read_audio, resample
from vclip.errors import InputError
from vclip.marking.signature import FLAC, MIXED, Signer
from vclip.marking.verify import verify
from vclip.tts.loudness import normalised

SIDE_PX = 256
# Signed into every item, so that signatures do not tell recordings from synthetic speech.
ABOUT_ITEMS = "An item of a listening test, which mixes recorded and synthetic speech; its key says which is which."


@dataclass(frozen=True)
class Stimulus:
    """One face with the audio of one voice."""

    system: str  # that made the audio for the face
    face: str  # equal for equal faces, whose ratings belong together
    image: np.ndarray  # (side, side, 3) uint8 RGB
    audio: np.ndarray  # (samples,) float32
    sample_rate_hz: int
    sources: Mapping[str, Any]  # for the key: files and texts, or ids of the store


def image_file(image: np.ndarray) -> bytes:
    """Returns an image (side, side, 3) uint8 RGB as a JPEG of SIDE_PX x SIDE_PX."""
    sized = cv2.resize(image, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", sized[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def audio_files(stimuli: Sequence[Stimulus], signer: Signer | None = None) -> list[bytes]:
    """Returns the audio as FLAC files, all at the lowest rate among them, of one loudness, without provenance.

    With a signer, each carries the same signed statement: that it belongs to a test which mixes recorded and
    synthetic speech.
    """
    rate = min(stimulus.sample_rate_hz for stimulus in stimuli)
    files = []
    for stimulus in stimuli:
        file = io.BytesIO()
        audio = normalised(resample(stimulus.audio, stimulus.sample_rate_hz, rate), rate)
        soundfile.write(file, audio, rate, format="FLAC", subtype="PCM_16")
        content = file.getvalue()
        files.append(b"".join(signer.sign([content], FLAC, MIXED, ABOUT_ITEMS)) if signer else content)
    return files


class FaceImages:
    """The faces that speech was made for, cut out as for the face encoder; each is read once."""

    def __init__(self, config: Config):
        self._config = config
        self._found: dict[str, np.ndarray] = {}

    def of(self, record: Mapping[str, Any]) -> np.ndarray:
        """Returns the face (side, side, 3) uint8 RGB that a provenance record names.

        Raises:
            InputError: the photo, or the face of the store, is missing, or has changed since.
        """
        key = face_key(record)
        if key not in self._found:
            uri = record["face"]
            in_store = "#" in uri and not Path(uri).exists()
            self._found[key] = self._stored(record) if in_store else self._cut(record)
        return self._found[key]

    @cached_property
    def _detector(self) -> FaceDetector:
        return open_detector(self._config.extraction.tracks.detector)

    def _cut(self, record: Mapping[str, Any]) -> np.ndarray:
        uri = record["face"]
        try:
            with local_copy(uri, self._config.remote) as path:
                photo = Path(path).read_bytes()
        except OSError as error:
            where = "expected it where it was when the speech was made"
            raise InputError(f"photo {uri}: {unreadable(error)}; {where}") from None
        _check(photo, record)
        return cut_face(photo, uri, self._detector, record["face_index"]).crop

    def _stored(self, record: Mapping[str, Any]) -> np.ndarray:
        store, _, face_id = record["face"].rpartition("#")
        rows = Store.open(store).query("faces", ["image"], f"face_id = {quoted(face_id)}").to_pylist()
        if not rows or not rows[0]["image"]:
            raise InputError(f"face {record['face']}: the store has no image of it; listeners must see one")
        _check(rows[0]["image"], record)
        return decode_image(rows[0]["image"])


def read_system(name: str, path: Path, most: int, seed: int, images: FaceImages) -> list[Stimulus]:
    """Returns stimuli of one system, drawn so that several systems get the same faces and texts.

    Args:
        name: of the system.
        path: a folder of WAV files by `vclip generate`, or of a batch, or a batch's results.jsonl.
        most: stimuli, at most.
        seed: of the draw.
        images: the images of faces.

    Raises:
        InputError: no speech there, a file without its own provenance, or speech of several settings.
    """
    files = {wav: _record(wav) for wav in _wavs(path)}
    settings = {json.dumps(record["generate"] | {"seed": None}, sort_keys=True) for record in files.values()}
    if len(settings) > 1:
        raise InputError(f"system {name}, {path}: found speech by {len(settings)} settings, expected one per system")
    chosen = sorted(files, key=lambda wav: _order(files[wav], seed))[:most]
    return [_stimulus(name, wav, files[wav], images) for wav in chosen]


def _wavs(path: Path) -> list[Path]:
    results = path / RESULTS if path.is_dir() else path
    if results.is_file():
        try:
            lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
            # The results may have been moved; the WAV files lie below them under the same names.
            wavs = [results.parent.joinpath(*Path(row["wav"]).parts[-3:]) for row in lines if row["state"] == "done"]
        except (ValueError, KeyError, TypeError, OSError):
            raise InputError(f"{results}: expected the {RESULTS} that `vclip generate --manifest` writes") from None
    else:
        wavs = sorted(path.glob("*.wav"))
    if not wavs:
        raise InputError(f"{path}: found no speech, expected a folder that `vclip generate` wrote, or its {RESULTS}")
    return list(dict.fromkeys(wavs))


def _record(wav: Path) -> dict[str, Any]:
    found = verify(wav)
    needed = {"face", "face_sha256", "face_index", "text", "voice", "generate"}
    problems = [*found.problems, *(f"its provenance lacks '{name}'" for name in sorted(needed - {*found.provenance}))]
    marks = found.provenance.get("marks")
    if isinstance(marks, dict) and marks.get("announcement"):
        problems.append(
            "it announces that it is synthetic, which would tell listeners; generate it without --announce"
        )
    if problems:
        raise InputError(f"speech file {wav}: {problems[0]}")
    return found.provenance


def _order(record: Mapping[str, Any], seed: int) -> str:
    """Returns a random key that is the same for the same face, text and rank of the voice in all systems."""
    return hashlib.sha256(f"{seed}/{face_key(record)}/{record['voice']}/{record['text']}".encode()).hexdigest()


def _stimulus(name: str, wav: Path, record: Mapping[str, Any], images: FaceImages) -> Stimulus:
    sources = {"wav": str(wav), "photo": record["face"], "text": record["text"], "voice": record["voice"]}
    return Stimulus(name, face_key(record), images.of(record), *read_audio(wav), sources)


def _check(image: bytes, record: Mapping[str, Any]) -> None:
    if hashlib.sha256(image).hexdigest() != record["face_sha256"]:
        raise InputError(f"face {record['face']}: is not the image that the speech was made for")
