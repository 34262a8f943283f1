"""One video -> clips of visible people speaking: plain functions on plain data, no Ray."""

from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.pipeline import extract
from pipelines.extraction.types import Clip, Extraction, FaceCrop, SpeechSegment

__all__ = ["Clip", "Extraction", "ExtractionConfig", "FaceCrop", "SpeechSegment", "extract"]
