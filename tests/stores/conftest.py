"""The fixture that every test here starts from."""

import pytest

from stores import Store
from tests.support.store_world import FACES, VOICES


@pytest.fixture
def store(new_uri) -> Store:
    """An empty store."""
    return Store.create(new_uri(), FACES, VOICES)
