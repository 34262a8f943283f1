"""As many threads as the matrices can use: on small ones, several threads wait for each other more than they work."""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import torch
from threadpoolctl import threadpool_limits

FEW_ROWS = 20_000

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def threads_for(rows: int) -> Iterator[None]:
    """Limits torch, BLAS and OpenMP to one thread in the block where the data has at most FEW_ROWS rows."""
    if rows > FEW_ROWS:
        yield
        return
    before = torch.get_num_threads()
    with threadpool_limits(1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def with_threads_for(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorates a function that takes data of some length under this name: it runs in `threads_for` its rows."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def limited(*args: P.args, **kwargs: P.kwargs) -> R:
            with threads_for(len(signature.bind(*args, **kwargs).arguments[name])):
                return function(*args, **kwargs)

        return limited

    return decorate
