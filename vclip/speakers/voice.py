"""A voice that is kept and used again: a speaker vector, the TTS that it was chosen with, and its provenance.

A voice file is a small safetensors file: the tensor `speaker`, and the rest in the metadata of its header. A voice is
also read from the WAV file or the sidecar of speech that `vclip generate` made with it: the label of either holds the
vector bit for bit.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from vclip.errors import InputError, SpaceError
from vclip.files import whole_file
from vclip.marking.provenance import SYNTHETIC, plain_json
from vclip.marking.verify import verify
from vclip.registry import PYTHON
from vclip.tables import nfc
from vclip.tts import TTS, open_tts
from vclip.tts.wav import StreamedSpeech

FILE, SIDECAR, WAV = ".safetensors", ".json", ".wav"
SUFFIXES = (FILE, SIDECAR, WAV)
KIND = "vclip voice 1"
FILE_BYTES = 1 << 20  # at most, of a voice file; a voice of 256 numbers takes 4 KB
SIDECAR_BYTES = 64 << 20  # at most, of a sidecar, which holds the spoken text
NAME_BYTES = 120  # at most, of a name in UTF-8
DIM = 1 << 16  # at most, numbers in a vector
_JOINERS = "\u200c\u200d"  # in Persian and Hindi names
# The entries of a speech file's label that are about its voice, and not about the text or the samples.
_MADE_FOR = ("face", "face_sha256", "face_content_hash", "face_index", "faces_in_photo", "photos", "prompt")
ABOUT_VOICE = (
    *("notice", *_MADE_FOR, "voice", "score", "scores", "nearest_known_cosine", "known_similarity_limit"),
    *("seed", "models", "generate"),
)
_OF_SPEECH = {"scores": ("f2v",), "models": ("evaluator",)}  # parts of these entries that are about one speech file


@dataclass(frozen=True, eq=False)
class Voice:
    """A voice: the same voice and text give the same samples on one machine.

    Example:
        >>> import numpy as np
        >>> Voice(np.eye(1, 256, dtype=np.float32)[0], "resemblyzer/ge2e-256", "morph", name="ann")
        Voice('ann', 256-d, space 'resemblyzer/ge2e-256', tts 'morph')
    """

    speaker: np.ndarray  # (dim,) float32, the vector that the TTS is given
    space: str  # of the vector
    tts: str  # the spec of the TTS that the voice was chosen with
    provenance: Mapping[str, Any] = field(default_factory=dict)  # JSON; the entries of a label in ABOUT_VOICE
    name: str = ""

    def __repr__(self) -> str:
        return f"Voice({self.name!r}, {len(self.speaker)}-d, space '{self.space}', tts '{self.tts}')"

    @property
    def sha256(self) -> str:
        """The hash of the vector and its space, equal for equal voices whatever their names."""
        vector = np.ascontiguousarray(self.speaker, "<f4").tobytes()
        return hashlib.sha256(f"{self.space}\n".encode() + vector).hexdigest()

    @property
    def label(self) -> dict[str, Any]:
        """The entries of a speech file's label that name the voice; from them, `of_label` makes it again."""
        tts = {"tts": dict(self.provenance.get("models", {}).get("tts", {})) | {"name": self.tts}}
        return {
            **self.provenance,
            "models": {**self.provenance.get("models", {}), **tts},
            **({"voice_name": self.name} if self.name else {}),
            "voice_sha256": self.sha256,
            "speaker_space": self.space,
            "speaker_vector": np.asarray(self.speaker, np.float32).tolist(),
        }

    @classmethod
    def of_label(cls, label: Mapping[str, Any], where: str) -> "Voice":
        """Returns the voice of a speech file.

        Args:
            label: the provenance label of the file.
            where: names the file in messages.

        Raises:
            InputError: the label names no voice, is of an older vclip, or its vector was changed.
        """
        if not isinstance(label, Mapping) or label.get("synthetic") is not True:
            raise InputError(f"{where}: found no label of speech by `vclip generate`, expected one")
        if "speaker_vector" in label and "voice_sha256" not in label:
            raise InputError(
                f"{where}: an older vclip made this speech and rounded the speaker vector, so the voice cannot be "
                "recovered exactly; make the speech again with `vclip generate`"
            )
        try:
            about = {name: label[name] for name in ABOUT_VOICE if name in label}
            for name, parts in _OF_SPEECH.items():
                if name in about:
                    about[name] = {part: value for part, value in about[name].items() if part not in parts}
            vector = np.asarray(label["speaker_vector"], np.float32)
            tts, name = label["models"]["tts"]["name"], label.get("voice_name", "")
            voice = cls(vector, label["speaker_space"], tts, about, name)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
            raise InputError(f"{where}: its label names no voice; expected speech by `vclip generate`") from None
        return _checked(voice, label.get("voice_sha256"), where)

    @classmethod
    def of_content(cls, content: bytes, where: str) -> "Voice":
        """Returns the voice of a voice file's content.

        Args:
            content: at most FILE_BYTES.
            where: names the file in messages.

        Raises:
            InputError: the content is damaged, or not of a voice file.
        """
        try:
            speaker = load_tensors(content).get("speaker", np.zeros(0))
            header = plain_json(content[8 : 8 + int.from_bytes(content[:8], "little")])
            about = header.get("__metadata__", {})
            if about.get("kind") != KIND:
                found = f"kind '{about['kind'][:40]}'" if "kind" in about else "another safetensors file"
                raise InputError(f"{where}: found {found}, expected a voice file by `vclip voices keep`")
            provenance = plain_json(about["provenance"].encode())
            carried = {name: provenance[name] for name in ABOUT_VOICE if name in provenance}
            voice = cls(speaker, about["space"], about["tts"], carried, checked_name(about["name"]))
        except InputError:
            raise
        except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise InputError(f"{where}: damaged ({str(error).splitlines()[0]}); copy the file again") from None
        return _checked(voice, about.get("sha256"), where)

    @classmethod
    def load(cls, path: str | Path) -> "Voice":
        """Returns the voice of a voice file (.safetensors), of a WAV file by `vclip generate`, or of its sidecar.

        Raises:
            InputError: the file is missing, damaged or of another kind, its label does not belong to its audio, or
                an older vclip made it.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            raise InputError(f"voice {path}: expected a name that ends in {', '.join(SUFFIXES)}")
        if not path.is_file():
            found = "not a regular file" if path.exists() else "no such file"
            raise InputError(f"voice {path}: {found}; expected a voice file, or speech by `vclip generate`")
        if suffix == FILE:
            return _read(path)
        wav = path.with_suffix(WAV)  # of a name that is cut there is none, and the sidecar is read alone
        if suffix == SIDECAR and not wav.is_file():
            return cls.of_label(_sidecar(path), f"voice {path}")
        verified = verify(wav if suffix == SIDECAR else path)
        if verified.problems:
            raise InputError(f"voice {path}: {verified.problems[0]}")
        return cls.of_label(verified.provenance, f"voice {path}")

    def save(self, path: str | Path) -> Path:
        """Writes a voice file, whole or not at all, and returns its path; missing folders are created.

        A voice without a name gets that of the file.

        Raises:
            InputError: the path does not end in .safetensors or cannot be written, or the name cannot be used.
        """
        path = Path(path)
        if path.suffix.lower() != FILE:
            raise InputError(f"voice {path}: expected a name that ends in {FILE}")
        voice = self if self.name else self.named(path.stem)
        with whole_file(path) as draft:
            draft.write_bytes(voice.content())
        return path

    def content(self) -> bytes:
        """Returns the content of the voice's file."""
        about = {"name": self.name, "space": self.space, "tts": self.tts, "sha256": self.sha256}
        text = json.dumps(SYNTHETIC | dict(self.provenance), ensure_ascii=False, default=np.generic.item)
        tensors = {"speaker": np.ascontiguousarray(self.speaker, np.float32)}
        return save_tensors(tensors, {"kind": KIND, **about, "provenance": text})

    def named(self, name: str) -> "Voice":
        """Returns the voice under a name; raises InputError as `checked_name` does."""
        return replace(self, name=checked_name(name))

    def check(self, tts: TTS) -> None:
        """Checks that a TTS is the one that the voice was chosen with.

        Raises:
            InputError: it is another backend.
            SpaceError: its speaker vectors are in another space.
        """
        if _backend(tts.name) != _backend(self.tts):
            raise InputError(
                f"voice {self.name or self.sha256[:8]}: was chosen with the TTS '{self.tts}', found '{tts.name}', "
                "which would give it another voice; leave generate.tts as it is"
            )
        if tts.space != self.space:
            raise SpaceError(self.space, tts.space, f"voice {self.name or self.sha256[:8]} for the TTS '{tts.name}'")

    def opens(self) -> str:
        """Returns the spec of the TTS that the voice was chosen with, if that may be opened because a file names it.

        Raises:
            InputError: the spec names any Python object, which would run what the file's author chose.
        """
        if PYTHON in self.tts.split(":"):
            raise InputError(
                f"voice {self.name or self.sha256[:8]}: names the TTS '{self.tts}', which runs any code; if you "
                f"trust it, give --set generate.tts={self.tts}, or open it yourself"
            )
        return self.tts

    def speak(self, text: str, tts: TTS | None = None, language: str = "") -> StreamedSpeech:
        """Returns a text spoken in this voice.

        Args:
            text: the text.
            tts: the TTS that the voice was chosen with, if it is open already.
            language: a tag of BCP 47; "" for the first language of the TTS.

        Raises:
            InputError: the TTS cannot be opened or is another one, or cannot speak the text.
        """
        tts = open_tts(self.opens()) if tts is None else tts
        self.check(tts)
        return StreamedSpeech(tts.parts(text, self.speaker, language), tts.sample_rate_hz)


def checked_name(name: str) -> str:
    """Returns the name of a voice in Unicode's NFC, without surrounding spaces.

    Raises:
        InputError: it is empty, too long, or could be taken for a path.
    """
    plain = nfc(name)
    if not plain:
        raise InputError("voice: found an empty name, expected one such as ann")
    shown = ascii(plain[:60])[1:-1] if not plain.isprintable() else plain[:60]
    if any(c in "/\\" or not (c.isprintable() or c in _JOINERS) for c in plain) or plain.startswith("."):
        raise InputError(f"voice '{shown}': expected a name without /, \\, line ends and a dot in front")
    if plain.lower().endswith(SUFFIXES):
        raise InputError(f"voice '{shown}': expected a name that does not end in {', '.join(SUFFIXES)}, as files do")
    if len(plain.encode()) > NAME_BYTES:
        raise InputError(
            f"voice '{shown}…': found a name of {len(plain.encode())} bytes, expected at most {NAME_BYTES}"
        )
    return plain


def made_for(label: Mapping[str, Any]) -> str:
    """Returns the name of the photo, face or description that the label of a voice names, for people and tables."""
    if "face" in label:
        return label["face"]
    return f"prompt: {label['prompt']}" if "prompt" in label else f"voice: {label.get('voice_name', '')}"


def name_key(name: str) -> str:
    """Returns what is equal for equal names of voices: they are compared as tables compare names of columns."""
    return nfc(name).casefold()


def _read(path: Path) -> Voice:
    if (size := path.stat().st_size) > FILE_BYTES:
        raise InputError(f"voice {path}: found {size / 1e6:.1f} MB, expected a voice file of a few KB")
    try:
        return Voice.of_content(path.read_bytes(), f"voice {path}")
    except OSError as error:
        raise InputError(f"voice {path}: {error.strerror or error}") from None


def _sidecar(path: Path) -> Any:
    if (size := path.stat().st_size) > SIDECAR_BYTES:
        raise InputError(f"voice {path}: found {size / 1e6:.0f} MB, expected the sidecar of a speech file")
    try:
        return plain_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"voice {path}: not JSON ({error}); expected the sidecar of a speech file") from None


def _checked(voice: Voice, sha256: Any, where: str) -> Voice:
    """Returns a voice that was read from a file; raises InputError if its parts cannot be those of a voice."""
    vector, texts = voice.speaker, (voice.space, voice.tts, voice.name)
    usable = vector.ndim == 1 and vector.dtype == np.float32 and 0 < len(vector) <= DIM
    if not usable or not np.isfinite(vector).all() or not vector.any():
        raise InputError(
            f"{where}: found no usable speaker vector, expected finite float32 numbers that are not all 0"
        )
    if not all(isinstance(text, str) and (text or text is voice.name) for text in texts):
        raise InputError(f"{where}: lacks its space or its TTS; copy the file again")
    models = voice.provenance.get("models", {})
    if not isinstance(models, Mapping) or not isinstance(models.get("tts", {}), Mapping):
        raise InputError(f"{where}: its provenance names no models; use the file as it was made")
    if voice.sha256 != sha256:
        raise InputError(
            f"{where}: the speaker vector is not the one that the file was written for; use the file as it was made"
        )
    return replace(voice, name=checked_name(voice.name)) if voice.name else voice


def _backend(spec: str) -> str:
    """Returns the name of a spec without its argument, which may be a path; the space tells its weights apart."""
    return spec.rpartition(" @ ")[0].partition(":")[0] or spec.partition(":")[0]
