"""All commands, registered with the app. Heavy imports stand inside them, so `vclip --help` answers at once."""

from pipelines.cli import (
    analysis,
    association,
    benchmark_association,
    edit,
    generation,
    hub,
    listening,
    look,
    maintenance,
    plugins,
    runs,
    start,
    voices,
)
from pipelines.cli.app import app

__all__ = [
    "analysis",
    "app",
    "association",
    "benchmark_association",
    "edit",
    "generation",
    "hub",
    "listening",
    "look",
    "maintenance",
    "plugins",
    "runs",
    "start",
    "voices",
]
