"""Extraction: one video -> clips of visible people speaking, by plain functions on plain data, without Ray.

`pipeline.extract` is the whole way from top to bottom; `filters` holds what a candidate has to pass.
"""

from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.filters import FILTERS, Filter
from pipelines.extraction.pipeline import extract
from pipelines.extraction.types import Clip, Extraction, FaceCrop, SpeechSegment

__all__ = ["FILTERS", "Clip", "Extraction", "ExtractionConfig", "FaceCrop", "Filter", "SpeechSegment", "extract"]
