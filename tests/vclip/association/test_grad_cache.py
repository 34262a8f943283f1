"""In parts or at once, the gradients are the same, dropout and all.

Tolerances: float32 sums in another order.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vclip.association.grad_cache import backward
from vclip.association.losses import clip_loss


def world(dropout):
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.Linear(d, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 8)) for d in (10, 7)]
    return nets, [torch.randn(37, 10), torch.randn(37, 7)], nn.Parameter(torch.tensor(1.0))


def gradients(chunk, dropout=0.0, seed=5):
    nets, rows, scale = world(dropout)
    torch.manual_seed(seed)
    embeds = [lambda x, net=net: F.normalize(net(x), dim=-1) for net in nets]
    loss = backward(lambda x, e: clip_loss(x, e, scale), embeds, rows, chunk)
    return loss, [p.grad for net in nets for p in net.parameters()] + [scale.grad]


@pytest.mark.parametrize("chunk", [1, 8, 36])
def test_parts_give_the_gradients_of_the_whole(chunk):
    loss, expected = gradients(0)
    found_loss, found = gradients(chunk)
    assert found_loss == pytest.approx(loss, abs=1e-6)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-4)


def test_what_is_dropped_is_dropped_both_times():
    """The gradient of the embeddings only fits the networks that made them."""
    nets, rows, scale = world(dropout=0.5)
    chunk, made = 10, []
    embeds = [lambda x, net=net: made.append(F.normalize(net(x), dim=-1)) or made[-1] for net in nets]
    backward(lambda x, e: clip_loss(x, e, scale), embeds, rows, chunk)
    parts = len(made) // 2
    assert parts == 8
    for first, second in zip(made[:parts], made[parts:], strict=True):
        torch.testing.assert_close(first, second, atol=0, rtol=0)
    torch.manual_seed(0)
    assert not torch.equal(nets[0](rows[0]), nets[0](rows[0]))  # it does drop


def test_the_random_numbers_that_follow_are_not_those_that_were():
    states = []
    for chunk in (5, 10):
        gradients(chunk, dropout=0.5)
        states.append(torch.rand(3))
    torch.manual_seed(5)
    assert not torch.equal(states[0], torch.rand(3))


@pytest.mark.parametrize("chunk", [0, 8])
def test_a_side_may_have_nothing_to_learn(chunk):
    nets, rows, scale = world(dropout=0.0)
    nets[1].requires_grad_(False)
    embeds = [lambda x, net=net: F.normalize(net(x), dim=-1) for net in nets]
    backward(lambda x, e: clip_loss(x, e, scale), embeds, rows, chunk)
    assert all(p.grad is None for p in nets[1].parameters())
    _, expected = gradients(0)
    for mine, theirs in zip(nets[0].parameters(), expected, strict=False):
        torch.testing.assert_close(mine.grad, theirs, atol=1e-6, rtol=1e-4)
