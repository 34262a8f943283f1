"""How much of a mapped file is in memory."""

from pathlib import Path

import numpy as np


def resident_kb(mapped: np.ndarray) -> int:
    """How much of a mapped file is in this process's memory."""
    maps = Path("/proc/self/smaps").read_text().split(f"{mapped.ctypes.data:x}-")[1]
    return int(maps.split("Rss:")[1].split()[0])
