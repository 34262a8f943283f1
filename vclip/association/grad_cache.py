"""Exact gradients of a contrastive loss over batches of any size, in bounded memory (Gao et al., 2021, "GradCache").

The loss needs the embeddings of the whole batch at once, but the networks do not. So all rows are first embedded
without a graph, the loss then gives the gradient of each embedding, and the rows are embedded again in parts, each
with its share of that gradient. In a distributed run, each process embeds its share of the rows.
"""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor

from vclip.association.distributed import Distributed
from vclip.association.randomness import random_state, restore

Embed = Callable[[Tensor], Tensor]


def backward(
    loss: Callable[[Tensor, Tensor], Tensor],
    embeds: Sequence[Embed],
    rows: Sequence[Tensor],
    chunk: int = 0,
    group: Distributed = Distributed(),
) -> float:
    """Adds the gradients of `loss(embeds[0](rows[0]), embeds[1](rows[1]))` to all parameters; returns the loss.

    Args:
        loss: takes the embeddings (batch, dim) of both sides and returns a scalar.
        embeds: the two networks; both passes over a row draw the same random numbers.
        rows: the inputs (batch, ...) of each network, the same in all processes.
        chunk: rows embedded at a time; 0 embeds all at once.
        group: the processes that share the batch; each adds its part of the gradients, whose sum is the whole.
    """
    shares = [x[group.share(len(x))] for x in rows]
    twice = 0 < chunk < max(map(len, shares))
    parts = [
        [_Part(embed, part, twice) for part in share.split(chunk if twice else len(share))]
        for embed, share in zip(embeds, shares, strict=True)
    ]
    embedded = [
        group.gathered(torch.cat([part.value for part in side]), len(x)).requires_grad_()
        for side, x in zip(parts, rows, strict=True)
    ]
    value = loss(*embedded)
    if group.first:
        value.backward()
        gradients = [cast(Tensor, x.grad) for x in embedded]
    else:  # parameters of the loss itself, such as a temperature, count once
        gradients = torch.autograd.grad(value, embedded)
    for side, gradient in zip(parts, gradients, strict=True):
        mine = gradient[group.share(len(gradient))]
        for part, of_it in zip(side, mine.split([len(part.value) for part in side]), strict=True):
            part.backward(of_it)
    return float(value.detach())


class _Part:
    """The rows of one pass."""

    def __init__(self, embed: Embed, rows: Tensor, twice: bool):
        self.embed, self.rows, self.twice = embed, rows, twice
        self.random_state = random_state(rows.device) if twice else None
        with torch.set_grad_enabled(not twice):
            self.value = embed(rows)

    def backward(self, gradient: Tensor) -> None:
        """Adds the gradients of the network, given the gradient of the embeddings."""
        if self.random_state is None:
            _backward(self.value, gradient)
            return
        after = random_state(self.rows.device)
        restore(self.random_state, self.rows.device)
        _backward(self.embed(self.rows), gradient)
        restore(after, self.rows.device)


def _backward(value: Tensor, gradient: Tensor) -> None:
    if value.requires_grad:  # a side may have no trainable weights
        value.backward(gradient)
