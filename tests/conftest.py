"""Fixtures for the whole tree."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from tests.support.ffmpeg import put_broken_one_on_path
from tests.support.places import BUCKET, IN_BUCKET

put_broken_one_on_path()
# Folders of tests that read the small world and the Ray of tests/pipelines/conftest.py, which are made once.
APART = ("extraction", "files", "html")


def pytest_collection_modifyitems(items):
    """Gives the tests of jobs to one of the two processes, and every other file whole to whichever is free."""
    jobs = Path(__file__).parent / "pipelines"
    for item in items:
        path = Path(item.path)
        of_jobs = path.is_relative_to(jobs) and path.relative_to(jobs).parts[0] not in APART
        item.add_marker(pytest.mark.xdist_group("jobs" if of_jobs else str(path)))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data that VCLIP_SHARED points at; tests that ask for it are marked `shared`."""
    folder = os.environ.get("VCLIP_SHARED")
    if not folder:
        pytest.skip("VCLIP_SHARED is not set: no real data here")
    assert (Path(folder) / "data").is_dir(), f"VCLIP_SHARED={folder} holds no data/"
    return Path(folder)


@pytest.fixture(scope="session")
def new_uri(tmp_path_factory) -> Iterator[Callable[[], str]]:
    """Returns, each time that it is called, an address where a store can be made; see `places`."""
    if not IN_BUCKET:
        yield lambda: str(tmp_path_factory.mktemp("stores") / "store")
        return
    import boto3

    from tests.support.loopback import bucket_service

    numbers = count()
    with ExitStack() as stack:
        environment, _ = stack.enter_context(bucket_service())
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in environment.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield lambda: f"s3://{BUCKET}/{next(numbers)}/store"
