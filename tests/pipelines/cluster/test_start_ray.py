"""A Ray that cannot start says why, in one error and within seconds."""

import os
import socket
import subprocess
import sys
import time

import pytest

START = """
from pipelines.cluster.session import start_ray
from vclip.errors import InputError
try:
    start_ray()
except InputError as error:
    print("InputError", error)
"""


def _started(**environment):
    """Returns what a fresh process prints that starts Ray, and the seconds that it took."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | environment
    start_s = time.monotonic()
    done = subprocess.run([sys.executable, "-c", START], env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout, time.monotonic() - start_s


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_does_not_answer_is_named_within_seconds(scheme):
    with socket.socket() as closed:  # bound, so that nobody else listens there, but not listening
        closed.bind(("127.0.0.1", 0))
        address = f"{scheme}127.0.0.1:{closed.getsockname()[1]}"
        printed, took_s = _started(RAY_ADDRESS=address)
    assert printed.startswith(f"InputError RAY_ADDRESS={address}: nothing answers there (Connection refused)")
    # 5 s of trying and the imports; Ray itself takes more than two minutes.
    assert took_s < 40


def test_an_address_without_a_port_that_can_be_is_refused():
    assert _started(RAY_ADDRESS="head:no")[0].startswith("InputError RAY_ADDRESS=head:no: Port could not be cast")


def test_a_local_start_that_fails_is_told_with_rays_reason(tmp_path):
    (tmp_path / "file").touch()
    printed, _ = _started(RAY_TMPDIR=str(tmp_path / "file" / "ray"))
    assert printed.startswith("InputError Ray: cannot start here (NotADirectoryError: ")
    assert str(tmp_path / "file") in printed
    assert "Traceback" not in printed
    too_long = tmp_path / ("x" * 100)
    assert "path length cannot exceed 107 bytes" in _started(RAY_TMPDIR=str(too_long))[0]
