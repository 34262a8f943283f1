"""A batch for which a GPU's memory is too small is halved, and no medium is lost or done twice."""

import numpy as np
import pytest
import torch

from vclip.encoders.batches import Batches


def _memory_for(count, calls):
    def embed(media):
        calls.append(len(media))
        if len(media) > count:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return np.array(media, np.float32).reshape(-1, 1)

    return embed


def test_batches_are_halved_until_they_fit_and_later_ones_stay_small():
    calls = []
    batches = Batches(_memory_for(3, calls), 16)
    assert batches(range(20)).ravel().tolist() == list(range(20))
    assert calls[:4] == [16, 8, 4, 2]
    assert max(calls[3:]) <= 2
    calls.clear()
    assert batches(range(4)).ravel().tolist() == [0, 1, 2, 3]
    assert calls == [2, 2]


def test_nothing_is_one_empty_batch_and_a_medium_that_never_fits_raises():
    assert Batches(_memory_for(3, []), 16)([]).shape == (0, 1)
    with pytest.raises(torch.OutOfMemoryError):
        Batches(_memory_for(0, []), 16)([1.0, 2.0])
