"""The commands, in the order in which help lists them. Heavy imports stand inside them: help answers at once."""

# isort: off
from pipelines.commands import ingest, imports, inspect, query, search, browse, edit, analysis, upkeep
from pipelines.commands import association, evaluation, speech, generation, listening, quickstart
from pipelines.commands.shared import app

__all__ = [
    "analysis",
    "app",
    "association",
    "browse",
    "edit",
    "evaluation",
    "generation",
    "imports",
    "ingest",
    "inspect",
    "listening",
    "query",
    "quickstart",
    "search",
    "speech",
    "upkeep",
]
