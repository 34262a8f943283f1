"""The fixture that every test here starts from."""

import pytest
from store_world import FACES, VOICES

from stores import Store


@pytest.fixture
def store(tmp_path) -> Store:
    """An empty store."""
    return Store.create(str(tmp_path / "store"), FACES, VOICES)
