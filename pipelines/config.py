"""The configuration of all jobs: one section a room, each defined beside the code that uses it."""

from pydantic import Field

from pipelines.extraction.config import ExtractionConfig
from pipelines.inputs.remote import RemoteConfig
from vclip.association.training import TrainConfig
from vclip.config import Settings
from vclip.speakers.generator import GeneratorConfig
from vclip.speakers.signature import SignatureConfig


class EncodersConfig(Settings):
    """The frozen encoders, as spec strings (see vclip.encoders)."""

    face: str = "open_clip:ViT-B-32-quickgelu/openai"
    voice: str = "resemblyzer"


class IngestConfig(Settings):
    """How the ingest job uses its cluster."""

    extract_cpus: float = Field(1.0, gt=0, description="CPUs that one extraction task asks Ray for")
    embed_actors: int = Field(0, ge=0, description="embedding actors; 0 takes one per GPU, or one on CPU")
    embed_batch: int = Field(8, ge=1, description="videos that one embedding call takes")
    commit_every: int = Field(32, ge=1, description="videos in one commit")
    commit_every_s: float = Field(30.0, gt=0, description="seconds after which a smaller commit is made")


class GenerateConfig(Settings):
    """How voices are found for a face."""

    tts: str = "morph"
    candidates: int = Field(5000, ge=1, description="speakers drawn from the generator")
    score: str = Field(
        "informed", pattern="^(informed|naive)$", description="informed (by the TTS signature) or naive"
    )
    max_similarity: float = Field(
        0.8, gt=0, le=1, description="cosine between chosen voices, at most; 1: plain top k"
    )
    seed: int = 0


class Config(Settings):
    """All of it."""

    encoders: EncodersConfig = EncodersConfig()
    extraction: ExtractionConfig = ExtractionConfig()
    ingest: IngestConfig = IngestConfig()
    remote: RemoteConfig = RemoteConfig()
    train: TrainConfig = TrainConfig()
    speakers: GeneratorConfig = GeneratorConfig()
    signature: SignatureConfig = SignatureConfig()
    generate: GenerateConfig = GenerateConfig()
