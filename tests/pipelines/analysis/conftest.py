"""The store that the tests of analysis read."""

import pytest
from analysis_world import made

from stores import Store


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Store:
    return made(tmp_path_factory.mktemp("analysis"))
