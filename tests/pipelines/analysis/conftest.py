"""The store that the tests of analysis read."""

import pytest

from stores import Store
from tests.support.analysis_world import analysis_store


@pytest.fixture(scope="session")
def world(new_uri) -> Store:
    return analysis_store(new_uri())
