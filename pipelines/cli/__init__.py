"""The commands, in the order in which help lists them. Heavy imports stand inside them: help answers at once."""

# isort: off
from pipelines.cli import ingest, imports, inspect, query, search, browse, edit, analysis, maintenance
from pipelines.cli import train, evaluate, generate, evaluate_generation, listening, quickstart
from pipelines.cli.app import app

__all__ = [
    "analysis",
    "app",
    "browse",
    "edit",
    "evaluate",
    "evaluate_generation",
    "generate",
    "imports",
    "ingest",
    "inspect",
    "listening",
    "maintenance",
    "query",
    "quickstart",
    "search",
    "train",
]
