"""The one rule for where torch computes."""

import os

import numpy as np
import torch
from torch import Tensor

from vclip.errors import InputError

DEVICES = r"^(|cpu|cuda(:\d+)?|mps)$"  # of the key `device` in the sections of a configuration
DEVICE = "empty: a GPU if there is one, else the CPU"


def torch_device(name: str | torch.device | None = None) -> torch.device:
    """Returns the device that `name` names; for None and "" a GPU if there is one, else the CPU.

    Raises:
        InputError: `name` is a GPU, and torch finds none here.
    """
    if not name:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "for CPUs only"
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        raise InputError(
            f"device '{device}': torch {torch.__version__} on {os.uname().nodename} finds no GPU (built {built}"
            f"{'' if visible is None else f', CUDA_VISIBLE_DEVICES={visible!r}'}); install torch for CUDA and a "
            "driver that it supports, or choose the device 'cpu'"
        )
    return device


def with_float64(device: torch.device) -> torch.device:
    """Returns the device, or the CPU for one that has no float64, such as Apple's GPUs."""
    try:
        torch.zeros((), dtype=torch.float64, device=device)
    except TypeError:
        return torch.device("cpu")
    return device


def uploaded(array: np.ndarray, device: torch.device) -> Tensor:
    """Returns a writable array as a tensor on a device; a copy to a GPU runs beside what the CPU does next."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
