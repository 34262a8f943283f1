"""Seeded random numbers of torch that leave the caller's own generators as they were."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

State = tuple[torch.Tensor, torch.Tensor | None]


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """A context that seeds torch's global generators, and restores the caller's state at its end.

    Args:
        seed: of the CPU generator and of the device's.
        device: the device of the work; generators of other devices are not touched.
    """
    before = random_state(device)
    try:
        seed_all(seed, device)
        yield
    finally:
        restore(before, device)


def seed_all(seed: int, device: torch.device) -> None:
    """Seeds the generators of the CPU and the device; to be called inside `seeded`, which restores them."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def random_state(device: torch.device) -> State:
    """Returns the state of the CPU generator and of the device's own generator, if it has one."""
    if device.type == "cuda":
        return torch.get_rng_state(), torch.cuda.get_rng_state(device)
    return torch.get_rng_state(), torch.mps.get_rng_state() if device.type == "mps" else None


def restore(state: State, device: torch.device) -> None:
    """Sets the generators back to a state from `random_state`."""
    torch.set_rng_state(state[0])
    if state[1] is not None:
        if device.type == "cuda":
            torch.cuda.set_rng_state(state[1], device)
        else:
            torch.mps.set_rng_state(state[1])
