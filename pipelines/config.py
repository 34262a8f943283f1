"""The configuration of all jobs, and the presets that ship with it.

A section is defined beside the code that uses it; sections that several jobs share are defined here.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from pipelines.extraction.config import ExtractionConfig
from pipelines.files.remote import RemoteConfig
from vclip.association.training import TrainConfig
from vclip.config import Settings, load
from vclip.errors import InputError
from vclip.speakers.generator import GeneratorConfig
from vclip.speakers.signature import SignatureConfig
from vclip.speakers.voice_search import SearchConfig


class EncodersConfig(Settings):
    """The frozen encoders, as spec strings (see vclip.encoders)."""

    face: str = "open_clip:ViT-B-32-quickgelu/openai"
    voice: str = "resemblyzer"


class IngestConfig(Settings):
    """How the ingest job uses its cluster."""

    extract_cpus: float = Field(default=1.0, gt=0, description="CPUs that one extraction task asks Ray for")
    embed_actors: int = Field(
        default=0, ge=0, description="embedding actors; 0: one per GPU; without GPUs tasks embed too"
    )
    embed_batch: int = Field(default=8, ge=1, description="videos that one call of an embedding actor takes")
    commit_every: int = Field(default=256, ge=1, description="videos in one commit, at most")
    commit_mb: float = Field(default=128.0, gt=0, description="crops and speech in one commit, in megabytes, at most")
    commit_every_s: float = Field(default=30.0, gt=0, description="seconds after which a smaller commit is made")


# Settings of how a video is read that do not change its clips: a store does not process its videos again for these.
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
    """How voices are found for a face, and who speaks."""

    tts: str = "morph"
    known_similarity: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="cosine to a known speaker, at most; unset: what 90 % of them keep from each other",
    )


class BatchConfig(Settings):
    """How a manifest is spoken on the cluster."""

    task_cpus: float = Field(default=1.0, gt=0, description="CPUs that one task asks Ray for")
    task_utterances: int = Field(
        default=64, ge=1, description="utterances of one task, at most; all of a text's together"
    )
    record_every: int = Field(default=1024, ge=1, description="utterances in one commit to the store, at most")


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
    batch: BatchConfig = BatchConfig()

    def deciding(self) -> dict[str, Any]:
        """Returns the settings that decide which clips a video gives, and so what is done: all but EXECUTION."""
        values = self.model_dump(include={"encoders", "extraction"}, exclude=EXECUTION)
        if not self.extraction.speaking.backend:  # a key that older stores do not know
            del values["extraction"]["speaking"]["backend"]
        return values


PRESETS = Path(__file__).parent / "presets"  # links to the files of configs/, which the wheel holds as files


def resolve(given: str | Path | None, overrides: Sequence[str], keys: Sequence[str]) -> Config:
    """Returns the configuration of one job: the defaults, a preset or file over them, overrides over both.

    Args:
        given: the name of a preset, as "offline", or a YAML file. It may have sections that the job does not use: one
            preset serves many jobs.
        overrides: `section.key=value` each.
        keys: what the job uses: sections, as "train", or single keys, as "train.seed".

    Raises:
        InputError: there is no such preset or file, a value is wrong, or an override is of a key that is not used.
    """
    config = load(Config, preset(given), overrides)
    for override in overrides:
        key = override.partition("=")[0]
        if not any(key == used or key.startswith(f"{used}.") for used in keys):
            known = [name for name in _leaves(Config) if any(name == k or name.startswith(f"{k}.") for k in keys)]
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
            hint = f"did you mean '{near[0]}'?" if near else f"it uses {', '.join(keys)}"
            raise InputError(f"override '{override}': this command does not use '{key}'; {hint}")
    return config


def preset(given: str | Path | None) -> Path | None:
    """Returns the YAML file of a preset, or the file that was given; None where none was given.

    Raises:
        InputError: it is neither a preset nor a file.
    """
    if given is None or Path(given).is_file():
        return None if given is None else Path(given)
    shipped = PRESETS / f"{given}.yaml"
    if Path(given).name == str(given) and shipped.is_file():
        return shipped
    names = ", ".join(sorted(path.stem for path in PRESETS.glob("*.yaml")))
    raise InputError(f"configuration {given}: no such file; expected a YAML file, or a preset: {names}")


def _leaves(model: type[BaseModel], prefix: str = "") -> list[str]:
    names = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += _leaves(kind, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names
