"""Small data is worked on by one thread, and threads that wait for each other sleep."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from vclip.threads import FEW_ROWS, threads_for, with_threads_for

LOOK = "import {}, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"


@pytest.mark.parametrize("package", ["vclip", "pipelines", "pipelines.cli"])
@pytest.mark.parametrize("given", [None, "ACTIVE"])
def test_waiting_threads_sleep_unless_the_user_says_otherwise(package, given):
    """torch's OpenMP reads the variable as it is loaded, so torch must not be there yet."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": given} if given else {}
    look = [sys.executable, "-c", LOOK.format(package)]
    printed = subprocess.run(look, env=environment, capture_output=True, text=True, check=True).stdout
    assert printed.split() == [given or "PASSIVE", "False"]


def most_threads():
    return max([torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())])


@pytest.fixture
def several_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_few_rows_take_one_thread_and_many_take_all(several_threads):
    with threads_for(FEW_ROWS):
        assert most_threads() == 1
    assert torch.get_num_threads() == 3
    with threads_for(FEW_ROWS + 1):
        assert torch.get_num_threads() == 3
    with pytest.raises(ZeroDivisionError), threads_for(1):
        _ = 1 / 0
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("rows", [5, FEW_ROWS + 1])
def test_a_function_is_limited_by_the_length_of_its_data(several_threads, rows):
    @with_threads_for("data")
    def work(first, data=()):
        """Works."""
        return first, torch.get_num_threads()

    data, expected = np.zeros(rows), ("a", 1 if rows == 5 else 3)
    assert work("a", data) == work("a", data=data) == expected
    assert work.__doc__ == "Works."
