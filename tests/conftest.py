"""Fixtures for the whole tree, and the order of its tests."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from tests.support.ffmpeg import put_broken_one_on_path
from tests.support.places import BUCKET, IN_BUCKET

put_broken_one_on_path()
# Fixtures of tests/pipelines/conftest.py that take long to make; each process that asks for one makes its own.
WORLD = {"sample", "ingested", "pair_files", "pairs_store", "model", "speakers", "photo"}


def pytest_collection_modifyitems(items):
    """Puts files with tests of the small world first, and other files with slow tests where the second half begins.

    With `-n 2 --dist worksteal` one process begins with the first and the other with the second; what they take from
    each other in the end are quick tests, so neither ends minutes before the other.
    """
    of_world = {item.path for item in items if WORLD & set(item.fixturenames)}
    slow = {item.path for item in items if item.get_closest_marker("slow")} - of_world
    first = [item for item in items if item.path in of_world]
    second = [item for item in items if item.path in slow]
    quick = [item for item in items if item.path not in of_world | slow]
    middle = max(0, len(items) // 2 - len(first))
    while 0 < middle < len(quick) and quick[middle].path == quick[middle - 1].path:
        middle += 1
    items[:] = first + quick[:middle] + second + quick[middle:]


@pytest.hookimpl(wrapper=True, tryfirst=True)  # after the short summary
def pytest_terminal_summary(terminalreporter):
    yield
    skipped = sum(report.nodeid.startswith("tests/gpu/") for report in terminalreporter.stats.get("skipped", []))
    if skipped:
        terminalreporter.write_line(
            f"gpu: {skipped} tests were skipped, because torch finds no GPU; with one: pytest -m gpu -s tests/gpu"
        )


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
