"""The plugin under test: opened once for all tests, and how far two of its answers may differ."""

import functools
from typing import Any

from vclip.registry import Registry

SAME = 1e-4  # largest difference of an element of two vectors that count as the same


@functools.cache
def opened(registry: Registry[Any], spec: str) -> Any:
    """Returns the plugin of a spec on the CPU; every call gives the same one."""
    return registry.open(spec, device="cpu")
