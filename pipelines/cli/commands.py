"""All commands, registered with the app. Heavy imports stand inside them, so `vclip --help` answers at once."""

from pipelines.cli import (  # noqa: F401 - each registers its commands
    analysis,
    association,
    benchmark_association,
    edit,
    evaluate_generation,
    generate,
    hub,
    listening,
    look,
    maintenance,
    plugins,
    runs,
    speakers,
    start,
    verify,
    voices,
)
from pipelines.cli.app import app

__all__ = ["app"]
