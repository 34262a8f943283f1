"""All commands, registered with the app. Heavy imports stand inside them, so `vclip --help` answers at once."""

from pipelines.cli import (
    analysis,
    browse,
    edit,
    evaluate,
    evaluate_generation,
    generate,
    imports,
    ingest,
    inspect,
    listening,
    maintenance,
    plugins,
    query,
    quickstart,
    search,
    train,
)
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
    "plugins",
    "query",
    "quickstart",
    "search",
    "train",
]
