"""One video -> clips of visible people speaking: plain functions on plain data, no Ray."""

from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.extract import extract
from pipelines.extraction.rows import Clip, Extraction, FaceCrop, SpeechSegment

__all__ = ["Clip", "Extraction", "ExtractionConfig", "FaceCrop", "SpeechSegment", "extract"]
