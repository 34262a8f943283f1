"""The fixture that every test here starts from."""

import pytest
from store_world import FACES, VOICES

from stores import Store


@pytest.fixture
def store(new_uri) -> Store:
    """An empty store."""
    return Store.create(new_uri(), FACES, VOICES)
