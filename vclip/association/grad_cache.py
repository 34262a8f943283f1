"""Exact gradients of a contrastive loss over batches of any size, in bounded memory (Gao et al., 2021, "GradCache").

The loss needs the embeddings of the whole batch at once, the networks do not: first all rows are embedded without a
graph, then the loss gives the gradient of each embedding, and then the rows are embedded again, part by part, each
with its share of that gradient. Several ranks embed a share of the rows each.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vclip.association.distributed import Distributed

Embed = Callable[[Tensor], Tensor]


def backward(
    loss: Callable[[Tensor, Tensor], Tensor],
    embeds: Sequence[Embed],
    rows: Sequence[Tensor],
    chunk: int = 0,
    ranks: Distributed = Distributed(),
) -> float:
    """Leaves the gradients of `loss(embeds[0](rows[0]), embeds[1](rows[1]))` in all parameters; returns the loss.

    Args:
        loss: of the embeddings of both sides.
        embeds: the networks; what they draw at random is drawn alike both times.
        rows: what each embeds, (batch, ...); all ranks are given the same.
        chunk: rows that are embedded at a time; 0 embeds all at once.
        ranks: of several, each is left with its part of the gradients: their sum is the whole.
    """
    shares = [x[ranks.share(len(x))] for x in rows]
    twice = 0 < chunk < max(map(len, shares))
    parts = [
        [_Part(embed, part, twice) for part in share.split(chunk if twice else len(share))]
        for embed, share in zip(embeds, shares, strict=True)
    ]
    embedded = [
        ranks.gathered(torch.cat([part.value for part in side]), len(x)).requires_grad_()
        for side, x in zip(parts, rows, strict=True)
    ]
    value = loss(*embedded)
    if ranks.first:
        value.backward()
        gradients = [x.grad for x in embedded]
    else:  # what the loss itself has learnt of, as a temperature, counts once
        gradients = torch.autograd.grad(value, embedded)
    for side, gradient in zip(parts, gradients, strict=True):
        mine = gradient[ranks.share(len(gradient))]
        for part, of_it in zip(side, mine.split([len(part.value) for part in side]), strict=True):
            part.backward(of_it)
    return float(value.detach())


class _Part:
    """Rows that are embedded at a time."""

    def __init__(self, embed: Embed, rows: Tensor, twice: bool):
        self.embed, self.rows, self.twice = embed, rows, twice
        self.random_state = _random_state(rows.device) if twice else None
        with torch.set_grad_enabled(not twice):
            self.value = embed(rows)

    def backward(self, gradient: Tensor) -> None:
        """Leaves the gradients of the network, given that of the embeddings."""
        value = self.value
        if self.twice:
            after = _random_state(self.rows.device)
            _set_random_state(self.random_state, self.rows.device)
            value = self.embed(self.rows)
        if value.requires_grad:  # a side may have nothing to learn
            value.backward(gradient)
        if self.twice:
            _set_random_state(after, self.rows.device)


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random_state(state: Tensor, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
