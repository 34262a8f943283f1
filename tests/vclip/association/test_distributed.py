"""Several processes that share every batch take the steps that one takes.

Tolerances: float32 sums in another order, which twenty steps amplify; a weight may differ by a fiftieth of what
training moved it. Runs with noise of their own differ by the noise.
"""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from tests.support import ROOT
from tests.support.distributed_world import RUNS, trained
from vclip.association.distributed import Distributed

COUNT = 2
TOGETHER_S = 300


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Runs by name: what each of two processes came to."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, "-m", "tests.support.distributed_driver"]
    processes = [subprocess.Popen([*command, str(number), str(COUNT), folder], cwd=ROOT) for number in range(COUNT)]
    assert [process.wait(TOGETHER_S) for process in processes] == [0] * COUNT
    return {
        name: [np.load(folder / f"{name}{number}.npz") for number in range(COUNT)] for name in (*RUNS, "interrupted")
    }


@pytest.mark.parametrize("name", RUNS)
def test_all_ranks_have_one_model(together, name):
    first, other = together[name]
    for key in first.files:
        np.testing.assert_array_equal(first[key], other[key], key)


@pytest.mark.parametrize("name", ["whole", "in_parts", "sge2e"])
def test_it_is_the_model_that_one_process_trains(together, name):
    model, history = trained(RUNS[name])
    found = together[name][0]
    np.testing.assert_allclose(found["loss"][1:], history.loss[1:], atol=1e-4)
    start, _ = trained({**RUNS[name], "max_steps": 0})
    for (key, before), after in zip(start.state_dict().items(), model.state_dict().values(), strict=True):
        moved = float((after - before).abs().max())
        np.testing.assert_allclose(found[key], after.numpy(), atol=1e-5 + 0.02 * moved, err_msg=key)
    assert float((model.log_scale - start.log_scale).detach().abs()) > 0.01  # what was compared has learned something


def test_ranks_draw_noise_of_their_own(together):
    """Were it one draw for both, or none, the loss would be that of one process to the last digits."""
    _, alone = trained(RUNS["noisy"])
    found = together["noisy"][0]["loss"][1:]
    assert np.abs(found - alone.loss[1:]).max() > 1e-4
    np.testing.assert_allclose(found, alone.loss[1:], atol=0.3)


def test_interrupted_and_started_again_comes_to_the_same(together):
    for found, expected in zip(together["interrupted"], together["noisy"], strict=True):
        for key in expected.files:
            np.testing.assert_allclose(found[key], expected[key], atol=1e-6, err_msg=key)


@pytest.mark.parametrize(("size", "count"), [(31, 2), (1024, 8), (7, 7), (10, 3)])
def test_the_shares_of_all_ranks_are_the_batch(size, count):
    rows = [list(range(size))[Distributed(number, count).share(size)] for number in range(count)]
    assert np.concatenate(rows).tolist() == list(range(size))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_alone_nothing_is_sent():
    ranks, net = Distributed.here(), nn.Linear(2, 2)
    assert ranks == Distributed(0, 1)
    x = torch.randn(3, 2)
    torch.testing.assert_close(ranks.gathered(x, 3), x)
    ranks.sum_gradients(net)
    assert net.weight.grad is None
    assert ranks.from_first(lambda: 5) == 5
