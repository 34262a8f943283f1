"""Embeds many media in batches that the memory of a GPU has room for."""

from collections.abc import Callable, Sequence

import numpy as np
import torch


class Batches:
    """Embeds media a batch at a time; a batch for which a GPU's memory is too small is halved, and so are later ones.

    Args:
        embed: returns vectors (n, dim) for n media.
        size: media in a batch, at first.
    """

    def __init__(self, embed: Callable[[Sequence[np.ndarray]], np.ndarray], size: int):
        self._embed, self.size = embed, size

    def __call__(self, media: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the vectors (n, dim) of n media.

        Raises:
            torch.OutOfMemoryError: the memory is too small for a single one.
        """
        vectors, done = [], 0
        while done < len(media) or not vectors:
            batch = media[done : done + self.size]
            embedded = self._tried(batch)
            if embedded is None:
                self.size = len(batch) // 2
                torch.cuda.empty_cache()
            else:
                vectors.append(embedded)
                done += len(batch)
        return np.concatenate(vectors)

    def _tried(self, batch: Sequence[np.ndarray]) -> np.ndarray | None:
        try:
            return self._embed(batch)
        except torch.OutOfMemoryError:
            if len(batch) < 2:
                raise
            return None  # the error, which holds the tensors, ends here
