"""One precision for the built-in torch encoders: a space must mean one vector on every device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Computes in float32 during the block: without autocast, also a caller's, and without TF32.

    Under bfloat16 autocast the vectors of GE2E differ from those in float32 by up to 9e-3 an element (cosine .998, on
    a CPU), and a store may be embedded on GPUs, CPUs or both while searches embed their photos on a CPU. Matrix
    products outside cuDNN are in float32 too, whatever the program has set by `torch.set_float32_matmul_precision`.
    On a CUDA device this is not tested.
    """
    cudnn, before = torch.backends.cudnn, torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False), cudnn.flags(enabled=cudnn.enabled, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
