"""The store that the tests of analysis read."""

import pytest
from analysis_world import made

from stores import Store


@pytest.fixture(scope="session")
def world(new_uri) -> Store:
    return made(new_uri())
