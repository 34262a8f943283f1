"""The protocol of column functions: values for the rows of a store, computed from their media."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

SAMPLE_RATE_HZ = 16_000


class ColumnFunction(Protocol):
    """Computes the values of one or several columns of `faces` or `voices`, as `vclip embed --column` asks for.

    Two further attributes are read where a function has them: `sample_rate_hz`, of the samples that it takes (16,000
    otherwise), and `gains_from_gpu`, by which a job on a cluster with GPUs opens it with `device="cuda"` in actors.
    """

    table: str  # faces or voices
    columns: Mapping[str, type]  # name -> float, int, bool or str
    version: str  # of the values; where it changes, all rows are computed again

    def __call__(self, media: Sequence[np.ndarray]) -> Mapping[str, Sequence[Any]]:
        """Returns column -> n values, None where the function cannot tell.

        Args:
            media: n face crops (side, side, 3) uint8 RGB, or n utterances (samples,) float32 in -1..1, as stored.
        """
        ...


def sample_rate_of(function: ColumnFunction) -> int:
    """Returns the rate in Hz of the samples that a function of `voices` takes."""
    return int(getattr(function, "sample_rate_hz", SAMPLE_RATE_HZ))
