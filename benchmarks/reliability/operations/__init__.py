"""The operations that are tried: what each does, where it starts, and what readers see of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reliability.states import State


@dataclass
class Operation:
    """An operation that writes, and what readers see of what it writes.

    Args:
        name: in the table.
        prepare: makes the folder or prefix in which it runs.
        act: runs it there.
        state: what readers see.
        whole: whether readers may only see all of the old or all of the new.
        bucket: whether it can run in a bucket.
    """

    name: str
    prepare: Callable[[str], None]
    act: Callable[[str], Any]
    state: Callable[[str], State]
    whole: bool = True
    bucket: bool = True


def every_operation(world: Path | None) -> list[Operation]:
    """Returns all operations; those of models and speech only with a world, the folder of a `vclip quickstart`."""
    from benchmarks.reliability.operations import commits, deletion, edits, embedding, files, kept_voices, maintenance

    modules = (commits, maintenance, edits, embedding, deletion, kept_voices, files)
    every = [operation for module in modules for operation in module.OPERATIONS]
    if world:
        from benchmarks.reliability.operations.speech import model_operations

        every += model_operations(world.resolve())
    return every
