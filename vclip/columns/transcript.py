"""Text and language of stored speech, by Whisper (Radford et al., 2022) in the implementation of faster-whisper."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from vclip.config import Settings
from vclip.errors import InputError

WEIGHTS = "model.bin"  # of a folder in CTranslate2's format


class TranscriptConfig(Settings):
    """The speech recogniser of `vclip embed --column transcript`."""

    model: str = Field(
        default="",
        description="folder of a Whisper model in CTranslate2's format, or its name on the Hugging Face Hub",
    )
    device: str = Field(
        default="",
        pattern="^(|cpu|cuda)$",
        description="cpu keeps it off the GPUs of the cluster, cuda insists on them",
    )


class Transcript:
    """Fills `voices.transcript` and `voices.spoken_language`; both null where Whisper finds no words.

    Without sampling, so that equal speech has an equal transcript; each segment is transcribed on its own.

    Args:
        transcript: the weights. A name is resolved by faster-whisper: `tiny` and the like, or `owner/name`; the files
            are downloaded unless the cache of the Hub has them.
        device: where the network computes, `cpu` or `cuda`.

    Raises:
        InputError: faster-whisper is not installed, or the weights are not named, not there or not of this format, or
            cannot be downloaded.
    """

    table, sample_rate_hz = "voices", 16_000
    columns: Mapping[str, type] = {"transcript": str, "spoken_language": str}

    def __init__(self, transcript: TranscriptConfig | None = None, device: str | None = None):
        try:
            from faster_whisper import WhisperModel  # pyright: ignore[reportMissingImports]
        except ModuleNotFoundError as error:
            raise InputError(
                f"column function 'transcript': needs the package '{error.name}', which is not installed; pip "
                "install 'vclip[transcripts]'"
            ) from None
        transcript = transcript or TranscriptConfig()
        self._open, self._device = WhisperModel, device or "cpu"
        self._folder = _folder_of(transcript.model)
        self.gains_from_gpu, self.needs_gpu = transcript.device != "cpu", transcript.device == "cuda"

    @cached_property
    def version(self) -> str:
        """The hash of the weights: a file of the same content has the same transcripts, wherever it is."""
        with (self._folder / WEIGHTS).open("rb") as file:
            return f"whisper {hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"

    def __call__(self, media: Sequence[np.ndarray]) -> Mapping[str, Sequence[str | None]]:
        """Returns texts and language codes, as "en", of utterances (samples,) at 16 kHz."""
        found = [self._heard(np.ascontiguousarray(samples, np.float32)) for samples in media]
        return {"transcript": [text for text, _ in found], "spoken_language": [language for _, language in found]}

    @cached_property
    def _model(self) -> Any:
        kind = "float32" if self._device == "cpu" else "default"  # CPUs have no 16-bit arithmetic; it warns otherwise
        return self._open(
            str(self._folder), device=self._device, compute_type=kind, cpu_threads=1, local_files_only=True
        )

    def _heard(self, samples: np.ndarray) -> tuple[str | None, str | None]:
        segments, about = self._model.transcribe(
            samples, beam_size=5, temperature=0.0, condition_on_previous_text=False, without_timestamps=True
        )
        text = " ".join(segment.text.strip() for segment in segments).strip()
        return (text, about.language) if text else (None, None)


def _folder_of(model: str) -> Path:
    """Returns the folder of the weights, after a download where they are named."""
    expected = f"expected a folder with {WEIGHTS} in CTranslate2's format, or a name, as tiny or owner/model"
    if not model:
        raise InputError(f"transcript.model is empty: {expected}; as in --set transcript.model=tiny")
    folder = Path(model).expanduser()
    if not folder.is_dir():
        if model.count("/") > 1 or model.startswith((".", "~", "/")):
            raise InputError(f"transcript.model {model}: no such folder; {expected}")
        from faster_whisper import download_model  # pyright: ignore[reportMissingImports]

        try:
            folder = Path(download_model(model))
        except Exception as error:  # of several libraries: no network, no such name
            why = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"transcript.model {model}: cannot be downloaded ({why}); {expected}") from None
    if not (folder / WEIGHTS).is_file():
        raise InputError(f"transcript.model {model}: found no {WEIGHTS} in the folder; {expected}")
    return folder
