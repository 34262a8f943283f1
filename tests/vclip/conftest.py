"""The library's tests run without Ray, which tests of jobs may have left in their process."""

import sys

import pytest


@pytest.fixture(scope="session", autouse=True)
def without_ray() -> None:
    """Ends a cluster that this process started: its threads go on in the background, and the library needs none."""
    if ray := sys.modules.get("ray"):
        ray.shutdown()
