"""Fixtures for the whole tree."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data that VCLIP_SHARED points at; tests that ask for it are marked `shared`."""
    folder = os.environ.get("VCLIP_SHARED")
    if not folder:
        pytest.skip("VCLIP_SHARED is not set: no real data here")
    assert (Path(folder) / "data").is_dir(), f"VCLIP_SHARED={folder} holds no data/"
    return Path(folder)
