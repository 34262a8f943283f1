"""The configuration of all jobs, and the presets that ship with it.

A section is defined beside the code that uses it; sections that several jobs share are defined here.
"""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from pipelines.extraction.config import ExtractionConfig
from pipelines.files.remote import RemoteConfig
from vclip.association.training import TrainConfig
from vclip.columns import TranscriptConfig
from vclip.config import Settings, keys_of, load
from vclip.device import DEVICE, DEVICES
from vclip.errors import InputError
from vclip.marking.marks import MarksConfig
from vclip.speakers.generator_fit import GeneratorConfig
from vclip.speakers.signature import SignatureConfig
from vclip.speakers.voice_search import SearchConfig
from vclip.tts import AUTO, resolved_tts


class EncodersConfig(Settings):
    """The frozen encoders, as spec strings (see vclip.encoders)."""

    face: str = "mirrored:open_clip:ViT-B-32-quickgelu/openai"
    voice: str = "resemblyzer"


class IngestConfig(Settings):
    """How the ingest job uses its cluster."""

    extract_cpus: float = Field(default=1.0, gt=0, description="CPUs that one extraction task asks Ray for")
    embed_actors: int = Field(
        default=0, ge=0, description="embedding actors on GPUs, at most; 0: as many as the GPUs have room for"
    )
    embed_gpus: float = Field(
        default=1.0, gt=0, le=1, description="share of a GPU for each embedding actor; 0.5 starts two on each GPU"
    )
    detect_gpus: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of a GPU for each face detector, to which the tasks of its node send their frames; as "
        "many are started as embed_gpus leaves room for; 0: the tasks find the faces on their CPUs",
    )
    embed_batch: int = Field(
        default=8, ge=1, description="videos, or parts of long ones, that one call of an embedding actor takes"
    )
    commit_every: int = Field(default=256, ge=1, description="maximum number of videos in one fragment of the store")
    commit_mb: float = Field(
        default=512.0, gt=0, description="maximum size of one fragment in MB, which a node keeps in memory until then"
    )
    commit_every_s: float = Field(
        default=30.0, gt=0, description="seconds after which smaller fragments are written, times the number of nodes"
    )

    @model_validator(mode="after")
    def _one_gpu_has_room(self) -> "IngestConfig":
        if self.detect_gpus and self.detect_gpus + self.embed_gpus > 1:
            raise ValueError(
                f"detect_gpus = {self.detect_gpus:g} and embed_gpus = {self.embed_gpus:g}: expected at most 1 "
                "together, because a detector and an embedding actor share a GPU"
            )
        return self


# Keys that older stores do not know: left out of what a store compares while they have their defaults.
NEWER_KEYS = (("speaking", "backend"), ("tracks", "whole_s"))
# Defaults that have changed since, as they were: under the present ones a store keeps its clips of then.
FORMER_DEFAULTS = {("speaking", "threshold"): 0.5}

# Settings that do not change a video's clips: a store does not process its videos again where they differ.
EXECUTION = {
    "extraction": {
        "media": {
            "ffmpeg",
            "threads",
            "open_limit_s",
            "stall_limit_s",
            "slow_limit_s",
            "slow_limit_ratio",
            "memory_limit_mb",
        }
    }
}


class GenerateConfig(SearchConfig):
    """How voices are found for a face, and the TTS that speaks."""

    tts: str = Field(
        default=AUTO,
        description="the TTS that speaks; auto: that of the signature, else kokoro where installed, else morph",
    )
    known_similarity: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="maximum cosine to a known speaker; unset: what 90 % of them have with the nearest other",
    )
    device: str = Field(default="", pattern=DEVICES, description="of the models, and of a TTS in torch; " + DEVICE)
    centre: str = Field(
        default="", description="a store with faces like the photos, on whose mean face the association is centred"
    )
    voices_from: str = Field(default="", description="folder of kept voices, in which --voice finds a name")


class BatchConfig(Settings):
    """How a manifest is processed on the cluster."""

    task_cpus: float = Field(default=1.0, gt=0, description="CPUs that one task asks Ray for")
    task_utterances: int = Field(
        default=64, ge=1, description="maximum number of utterances in one task; those of a text stay together"
    )
    record_every: int = Field(
        default=1024, ge=1, description="maximum number of utterances in one commit to the store"
    )


class Config(Settings):
    """The configuration of every job, a section each."""

    encoders: EncodersConfig = EncodersConfig()
    extraction: ExtractionConfig = ExtractionConfig()
    ingest: IngestConfig = IngestConfig()
    remote: RemoteConfig = RemoteConfig()
    train: TrainConfig = TrainConfig()
    speakers: GeneratorConfig = GeneratorConfig()
    signature: SignatureConfig = SignatureConfig()
    generate: GenerateConfig = GenerateConfig()
    marks: MarksConfig = MarksConfig()
    batch: BatchConfig = BatchConfig()
    transcript: TranscriptConfig = TranscriptConfig()

    def with_tts(self, spec: str = "", made_for: str = "") -> "Config":
        """Returns the configuration with the backend that `spec`, or else `generate.tts`, means on this machine.

        Args:
            spec: the TTS; "" for `generate.tts`.
            made_for: the TTS that the signature was made for, which `auto` means where there is one.
        """
        spec = resolved_tts(spec or self.generate.tts, made_for)
        return self.model_copy(update={"generate": self.generate.model_copy(update={"tts": spec})})

    def clip_settings(self) -> dict[str, Any]:
        """The settings that decide which clips a video gives: encoders and extraction without EXECUTION.

        A store's ledger holds their hash, so that a video is extracted again where one of them changes.
        """
        values = self.model_dump(include={"encoders", "extraction"}, exclude=EXECUTION)
        usual = ExtractionConfig().model_dump()
        for section, key in NEWER_KEYS:
            if values["extraction"][section][key] == usual[section][key]:
                del values["extraction"][section][key]
        return values

    def former_clip_settings(self) -> dict[str, Any]:
        """The `clip_settings` of an earlier version for this configuration; the same where no default has changed.

        Clips of these stay: a default that changes with a version of this package does not extract videos again.
        """
        values, usual = self.clip_settings(), ExtractionConfig().model_dump()
        for (section, key), former in FORMER_DEFAULTS.items():
            if values["extraction"][section][key] == usual[section][key]:
                values["extraction"][section][key] = former
        return values


PRESETS = Path(__file__).parent / "presets"  # links to the files of configs/, which the wheel holds as files


def resolve(given: str | Path | None, overrides: Sequence[str], keys: Sequence[str]) -> Config:
    """The configuration of one job: the defaults, then a preset or file, then `overrides`; later values win.

    Args:
        given: the name of a preset, such as "offline", or a YAML file. It may have sections that the job does not
            use, since one preset serves many jobs.
        overrides: `section.key=value` each.
        keys: the keys that the job uses: sections, such as "train", or single keys, such as "train.seed".

    Raises:
        InputError: there is no such preset or file, a value is wrong, or the job does not use the key of an override.
    """
    config = load(Config, preset(given), overrides)
    for override in overrides:
        key = override.partition("=")[0]
        if not any(key == used or key.startswith(f"{used}.") for used in keys):
            known = [name for name in keys_of(Config) if any(name == k or name.startswith(f"{k}.") for k in keys)]
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
            hint = f"did you mean '{near[0]}'?" if near else f"it uses {', '.join(keys)}"
            raise InputError(f"override '{override}': this command does not use '{key}'; {hint}")
    return config


def preset(given: str | Path | None) -> Path | None:
    """The YAML file of a preset, or the given file; None if nothing was given.

    Raises:
        InputError: it is neither a preset nor a file.
    """
    if given is None:
        return None
    if os.path.isfile(given):  # unlike Path, also where the name is too long for a file
        return Path(given)
    shipped = PRESETS / f"{given}.yaml"
    if Path(given).name == str(given) and os.path.isfile(shipped):
        return shipped
    names = ", ".join(sorted(path.stem for path in PRESETS.glob("*.yaml")))
    raise InputError(f"configuration {given}: no such file; expected a YAML file, or a preset: {names}")
